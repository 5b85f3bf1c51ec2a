//! Entries as text: TSV with escapes and JSON lines, both of which round-trip any bytes, and plain lines, which
//! are for files that something else wrote.

pub mod jsonl;
pub mod tsv;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

use clap::ValueEnum;

/// How `dump` and `export` write entries.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// KEY, a tab, VALUE, with the escapes \t \n \r \\ \xNN
    Tsv,
    /// {"key":"…","value":"…"}, or key_base64 and value_base64 for what is not UTF-8
    Jsonl,
}

impl OutputFormat {
    pub fn write(self, out: &mut impl Write, key: &[u8], value: &[u8]) -> io::Result<()> {
        match self {
            OutputFormat::Tsv => tsv::write(out, key, value),
            OutputFormat::Jsonl => jsonl::write(out, key, value),
        }
    }
}

/// How `import` reads a line.
pub enum Decoder {
    /// Everything before the first delimiter is the key, everything behind it the value, byte for byte.
    Lines { delimiter: Vec<u8> },
    /// As [`OutputFormat::Tsv`] writes it.
    Tsv,
    /// As [`OutputFormat::Jsonl`] writes it.
    Jsonl,
}

pub type Entry<'l> = (Cow<'l, [u8]>, Cow<'l, [u8]>);

impl Decoder {
    /// The key and the value in a line without its end.
    pub fn decode<'l>(&self, line: &'l [u8]) -> Result<Entry<'l>, Malformed> {
        match self {
            Decoder::Lines { delimiter } => {
                let (key, value) = split(line, delimiter).ok_or_else(|| {
                    Malformed(format!("expected KEY{}VALUE, found {}", escape(delimiter), quoted(line)))
                })?;
                Ok((key.into(), value.into()))
            }
            Decoder::Tsv => tsv::read(line),
            Decoder::Jsonl => jsonl::read(line),
        }
    }
}

/// Why a line is not an entry: what was expected and what was found.
#[derive(Debug)]
pub struct Malformed(pub String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes as one line of text that is safe to show on a terminal.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    tsv::write_escaped(&mut out, bytes).expect("writing to memory does not fail");
    String::from_utf8(out).expect("what is not UTF-8 is escaped")
}

/// The same, cut to a number of characters.
pub fn escape_short(bytes: &[u8], max_chars: usize) -> String {
    // A character stands for at most four bytes: these are more than fit.
    let text = escape(&bytes[..bytes.len().min(4 * max_chars + 4)]);
    match text.char_indices().nth(max_chars) {
        Some(_) => text.chars().take(max_chars - 1).chain(['…']).collect(),
        None => text,
    }
}

/// A line as an error message shows it.
fn quoted(line: &[u8]) -> String {
    const MAX_CHARS: usize = 40;
    match line {
        [] => "an empty line".to_owned(),
        _ => format!("'{}'", escape_short(line, MAX_CHARS)),
    }
}

fn split<'l>(line: &'l [u8], delimiter: &[u8]) -> Option<(&'l [u8], &'l [u8])> {
    let at = line.windows(delimiter.len()).position(|window| window == delimiter)?;
    Some((&line[..at], &line[at + delimiter.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_at_the_first_delimiter_and_keep_every_byte() {
        let decoder = Decoder::Lines { delimiter: b"::".to_vec() };
        let (key, value) = decoder.decode(b"a:b::c\\t::\xff").unwrap();
        assert_eq!((&*key, &*value), (&b"a:b"[..], &b"c\\t::\xff"[..]));
        assert!(decoder.decode(b"no delimiter").unwrap_err().0.contains("expected KEY::VALUE"));
    }

    #[test]
    fn a_long_key_is_cut_with_an_ellipsis() {
        assert_eq!(escape_short(b"abcdef", 6), "abcdef");
        assert_eq!(escape_short(b"abcdefg", 6), "abcde…");
        assert_eq!(escape_short("ääääääää".as_bytes(), 4), "äää…");
    }
}
