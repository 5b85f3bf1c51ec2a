//! The medians as a picture: a panel for each of the main rows, a bar for each engine, readable on light and on
//! dark ground.

use std::fmt::Write;

use crate::engines::Kind;
use crate::measure::Results;
use crate::rows::Row;
use crate::table::figure;

const PANELS: [Row; 13] = [
    Row::Fill,
    Row::Get,
    Row::Miss,
    Row::Overwrite,
    Row::Add,
    Row::Remove,
    Row::Iterate,
    Row::YcsbA,
    Row::YcsbB,
    Row::YcsbC,
    Row::TwoReaders,
    Row::LargeReads,
    Row::LargeWrites,
];

const WIDTH: usize = 960;
const COLUMNS: usize = 2;
const PANEL_WIDTH: usize = WIDTH / COLUMNS;
const LABEL_WIDTH: usize = 104;
/// What is left beside the longest bar, for its figure.
const FIGURE_WIDTH: usize = 72;
const BAR_HEIGHT: usize = 13;
const BAR_PITCH: usize = 17;
const HEADING_HEIGHT: usize = 30;
const TOP: usize = 34;

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 13px }
.heading { font-weight: 600 }
.label { text-anchor: end }
.peer { fill: #a8b1bb }
.memory { fill: none; stroke: #a8b1bb; stroke-dasharray: 3 2 }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.peer { fill: #57606a }
.memory { stroke: #8b949e }
.ours { fill: #58a6ff }
}";

pub fn draw(results: &Results, title: &str) -> String {
    let panels: Vec<Row> = PANELS.into_iter().filter(|row| !bars(results, *row).is_empty()).collect();
    let tallest = panels.iter().map(|row| bars(results, *row).len()).max().unwrap_or(0);
    let panel_height = HEADING_HEIGHT + tallest * BAR_PITCH + 12;
    let height = TOP + panels.len().div_ceil(COLUMNS) * panel_height;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>{title}</title>\n<style>\n{STYLE}\n</style>\n\
         <text class=\"title\" x=\"12\" y=\"20\">{title}</text>\n",
        title = escaped(title),
    );
    for (place, row) in panels.iter().enumerate() {
        let (left, top) = (place % COLUMNS * PANEL_WIDTH, TOP + place / COLUMNS * panel_height);
        panel(&mut svg, results, *row, left, top);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, results: &Results, row: Row, left: usize, top: usize) {
    let bars = bars(results, row);
    let longest = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let bar_left = left + LABEL_WIDTH;
    let room = (PANEL_WIDTH - LABEL_WIDTH - FIGURE_WIDTH) as f64;
    // Writing into a string can't fail.
    let _ = writeln!(
        svg,
        "<text class=\"heading\" x=\"{bar_left}\" y=\"{}\">{}</text>",
        top + HEADING_HEIGHT - 9,
        escaped(row.title())
    );
    for (place, (kind, value)) in bars.iter().enumerate() {
        let bar_top = top + HEADING_HEIGHT + place * BAR_PITCH;
        let base = bar_top + BAR_HEIGHT - 2;
        let length = (value / longest * room).max(1.0);
        let _ = writeln!(
            svg,
            "<text class=\"label\" x=\"{}\" y=\"{base}\">{}</text>\
             <rect class=\"{}\" x=\"{bar_left}\" y=\"{bar_top}\" width=\"{length:.1}\" height=\"{BAR_HEIGHT}\"/>\
             <text x=\"{:.1}\" y=\"{base}\">{}</text>",
            bar_left - 6,
            escaped(kind.name()),
            class(*kind),
            bar_left as f64 + length + 5.0,
            figure(row.unit(), *value),
        );
    }
}

fn bars(results: &Results, row: Row) -> Vec<(Kind, f64)> {
    results.engines().into_iter().filter_map(|kind| Some((kind, results.median(row, kind)?))).collect()
}

fn class(kind: Kind) -> &'static str {
    match kind {
        _ if kind.is_ours() => "ours",
        _ if kind.is_in_memory() => "memory",
        _ => "peer",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Measurement;

    fn results() -> Results {
        let mut results = Results::default();
        for kind in [Kind::Tophash, Kind::Lmdb, Kind::TkrzwUntold, Kind::Hashbrown] {
            for (place, row) in [Row::Fill, Row::Get, Row::YcsbA].into_iter().enumerate() {
                results.add(kind, Measurement { row, value: 1000.0 * (place + 1) as f64 });
            }
        }
        results
    }

    /// Every tag is closed by its own name, in order, and no `<` or `&` stands alone.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        for part in svg.split('<').skip(1) {
            let (tag, text) = part.split_once('>').expect("a tag ends");
            assert!(text.split('&').skip(1).all(|entity| entity.contains(';')), "{text}");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None if tag.ends_with('/') => {}
                None => open.push(tag.split_whitespace().next().expect("a tag has a name")),
            }
        }
        assert!(open.is_empty(), "{open:?} left open");
    }

    #[test]
    fn the_picture_is_well_formed_and_has_every_bar() {
        let svg = draw(&results(), "1,000 entries & <more>");
        assert_well_formed(&svg);
        assert_eq!(svg.matches("<rect").count(), 12);
        assert_eq!(svg.matches("class=\"ours\"").count(), 3);
        assert!(svg.contains("1,000 entries &amp; &lt;more&gt;"));
    }

    #[test]
    fn no_bar_leaves_its_panel() {
        let mut results = results();
        results.add(Kind::Redb, Measurement { row: Row::Get, value: 0.0 });
        for rect in draw(&results, "").split("<rect").skip(1) {
            let number = |name: &str| -> f64 {
                rect.split_once(&format!("{name}=\"")).unwrap().1.split('"').next().unwrap().parse().unwrap()
            };
            assert!(number("width") >= 1.0);
            assert!(number(" x") + number("width") <= WIDTH as f64);
        }
    }

    #[test]
    #[should_panic(expected = "left open")]
    fn what_is_not_closed_is_noticed() {
        assert_well_formed("<svg><text>never closed</text>");
    }
}
