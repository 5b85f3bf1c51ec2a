//! Aligned columns without lines between them.

use indicatif::HumanBytes;
use tabled::builder::Builder;
use tabled::settings::object::{Columns as Column, Object, Rows};
use tabled::settings::{Alignment, Padding, Style};

use super::{count_of, dim, heading};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A table with a header line.
pub struct Columns {
    aligns: Vec<Align>,
    builder: Builder,
}

impl Columns {
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let mut builder = Builder::new();
        builder.push_record(columns.iter().map(|(name, _)| dim(name)));
        Columns { aligns: columns.iter().map(|&(_, align)| align).collect(), builder }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.builder.push_record(cells);
    }
}

impl std::fmt::Display for Columns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&lay_out(self.builder.clone(), &self.aligns))
    }
}

/// What a report says in lines of name, value and note, under headings.
pub struct Sheet {
    align: Align,
    builder: Builder,
}

impl Sheet {
    /// `align` is that of the values: right for numbers, left for words.
    pub fn new(align: Align) -> Self {
        Sheet { align, builder: Builder::new() }
    }

    pub fn heading(&mut self, text: &str) {
        if self.builder.count_records() > 0 {
            self.builder.push_record(["", "", ""]);
        }
        self.builder.push_record([heading(text).as_str(), "", ""]);
    }

    pub fn line(&mut self, name: &str, value: impl Into<String>, note: impl Into<String>) {
        let note = note.into();
        let note = if note.is_empty() { note } else { dim(&note) };
        self.builder.push_record([format!("{INDENT}{name}"), value.into(), note]);
    }

    /// A size as people grasp it, with the exact number beside it.
    pub fn size(&mut self, name: &str, bytes: u64) {
        let exact = if bytes < 1024 { String::new() } else { count_of(bytes, "byte") };
        self.line(name, HumanBytes(bytes).to_string(), exact);
    }
}

impl std::fmt::Display for Sheet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&lay_out(self.builder.clone(), &[Align::Left, self.align, Align::Left]))
    }
}

/// Of what stands under a heading.
const INDENT: &str = "  ";

fn lay_out(builder: Builder, aligns: &[Align]) -> String {
    const GAP: usize = 2;
    let mut table = builder.build();
    table.with(Style::empty()).modify(Rows::new(..), Padding::new(0, GAP, 0, 0));
    for (column, align) in aligns.iter().enumerate() {
        let align = match align {
            Align::Left => Alignment::left(),
            Align::Right => Alignment::right(),
        };
        table.modify(Column::one(column).not(Rows::new(..0)), align);
    }
    // The padding of the last column, which would only make lines wrap.
    table.to_string().lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
