//! How reports look: a table for people, JSON for programs.

mod bar;
mod progress;
mod sheet;

use std::io::{self, BufWriter, StdoutLock, Write};

use anstream::AutoStream;
use indicatif::HumanCount;
use owo_colors::OwoColorize;
use serde_json::Value;

use crate::failure::Failure;

pub use bar::bar;
pub use progress::Progress;
pub use sheet::{Align, Columns, Sheet};

/// Standard output for data: the bytes as they are.
pub fn data() -> BufWriter<StdoutLock<'static>> {
    const BUFFER_BYTES: usize = 64 << 10;
    BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock())
}

/// Shows a report for people. Its colours are dropped unless the terminal, NO_COLOR and `--color` want them.
pub fn show(report: &str) -> Result<(), Failure> {
    let mut out = AutoStream::auto(io::stdout().lock());
    out.write_all(report.as_bytes())?;
    Ok(out.flush()?)
}

/// Shows a report for programs.
pub fn show_json(report: &Value) -> Result<(), Failure> {
    let mut out = data();
    serde_json::to_writer_pretty(&mut out, report).map_err(io::Error::from)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

pub fn count(n: u64) -> String {
    HumanCount(n).to_string()
}

/// `1 bucket`, `2,048 buckets`.
pub fn count_of(n: u64, what: &str) -> String {
    format!("{} {what}{}", count(n), if n == 1 { "" } else { "s" })
}

pub fn percent(part: u64, whole: u64) -> String {
    let share = if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
    format!("{share:.1} %")
}

pub fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

pub fn heading(text: &str) -> String {
    text.bold().to_string()
}

pub fn dim(text: &str) -> String {
    text.dimmed().to_string()
}

pub fn good(text: &str) -> String {
    text.green().to_string()
}

pub fn bad(text: &str) -> String {
    text.red().to_string()
}

pub fn moved(text: &str) -> String {
    text.yellow().to_string()
}
