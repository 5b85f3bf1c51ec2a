//! Entries as text: TSV with escapes and JSON lines, both of which round-trip any bytes, and plain lines, which
//! are for files that something else wrote.

pub mod jsonl;
pub mod tsv;

use std::borrow::Cow;
use std::io::{self, Write};

use clap::ValueEnum;

use crate::text::{Malformed, escape, quoted, split};
use crate::types::{Type, Types};

/// How `dump` and `export` write entries.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// KEY, a tab, VALUE, with the escapes \t \n \r \\ \xNN; of a set, KEY alone
    Tsv,
    /// {"key":"…","value":"…"}, numbers as numbers; key_base64 and value_base64 for what is not UTF-8
    Jsonl,
}

impl OutputFormat {
    pub fn write(self, out: &mut impl Write, types: Types, key: &[u8], value: &[u8]) -> io::Result<()> {
        match self {
            OutputFormat::Tsv => tsv::write(out, types, key, value),
            OutputFormat::Jsonl => jsonl::write(out, types, key, value),
        }
    }
}

/// How `import` reads a line.
pub enum Decoder {
    /// Everything before the first delimiter is the key, everything behind it the value, without escapes.
    Lines { delimiter: Vec<u8> },
    /// As [`OutputFormat::Tsv`] writes it.
    Tsv,
    /// As [`OutputFormat::Jsonl`] writes it.
    Jsonl,
}

pub type Entry<'l> = (Cow<'l, [u8]>, Cow<'l, [u8]>);

impl Decoder {
    /// The key and the value in a line without its end, as a file of these types keeps them.
    pub fn decode<'l>(&self, line: &'l [u8], types: Types) -> Result<Entry<'l>, Malformed> {
        match self {
            Decoder::Lines { delimiter } => {
                let (key, value) = split_entry(line, delimiter, types).ok_or_else(|| {
                    Malformed(format!("expected KEY{}VALUE, found {}", escape(delimiter), quoted_line(line)))
                })?;
                Ok((types.key.parse(key)?, types.value.parse(value)?))
            }
            Decoder::Tsv => tsv::read(line, types),
            Decoder::Jsonl => jsonl::read(line, types),
        }
    }
}

fn quoted_line(line: &[u8]) -> String {
    quoted(line, "an empty line")
}

/// What stands before and behind the delimiter. In a set there need be none.
fn split_entry<'l>(line: &'l [u8], delimiter: &[u8], types: Types) -> Option<(&'l [u8], &'l [u8])> {
    let key_alone = (types.value == Type::Unit).then_some((line, &[][..]));
    split(line, delimiter).or(key_alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_at_the_first_delimiter_and_keep_every_byte() {
        let decoder = Decoder::Lines { delimiter: b"::".to_vec() };
        let (key, value) = decoder.decode(b"a:b::c\\t::\xff", Types::BYTES).unwrap();
        assert_eq!((&*key, &*value), (&b"a:b"[..], &b"c\\t::\xff"[..]));
        assert!(decoder.decode(b"no delimiter", Types::BYTES).unwrap_err().0.contains("expected KEY::VALUE"));
    }
}
