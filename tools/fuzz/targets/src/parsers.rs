//! What the command parses: lines of entries, escapes, arguments.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::Parser as _;
use tophash_cli::args::Cli;
use tophash_cli::entry::{Decoder, OutputFormat};
use tophash_cli::text::{escape, escape_short, unescape};
use tophash_cli::types::{Type, Types};

/// Files that lines are read for: between them, every kind of type.
const TYPES: [Types; 7] = [
    Types::BYTES,
    Types { key: Type::Unsigned { width: 8 }, value: Type::Signed { width: 16 } },
    Types { key: Type::Signed { width: 1 }, value: Type::Float { width: 8 } },
    Types { key: Type::Str, value: Type::Float { width: 4 } },
    Types { key: Type::Array { width: 3 }, value: Type::Unit },
    Types { key: Type::Bool, value: Type::Foreign { width: None } },
    Types { key: Type::Foreign { width: Some(2) }, value: Type::Bytes },
];

/// The first byte says what the rest is: lines, an entry, arguments, or bytes to show.
pub fn parsers(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    match choice % 4 {
        0 => lines(rest),
        1 => entry(rest),
        2 => arguments(rest),
        _ => text(rest),
    }
}

/// Lines as `import` splits them: whatever decodes is written and read back the same.
fn lines(bytes: &[u8]) {
    let (delimiter, text) = bytes.split_at(bytes.len().min(2));
    // `import` refuses an empty one.
    let delimiters = [b"\t".to_vec(), delimiter.to_vec()].into_iter().filter(|it| !it.is_empty());
    let decoders: Vec<_> = delimiters
        .map(|delimiter| Decoder::Lines { delimiter })
        .chain([Decoder::Tsv, Decoder::Jsonl])
        .collect();
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        for (types, decoder) in TYPES.iter().flat_map(|types| decoders.iter().map(move |it| (*types, it))) {
            match decoder.decode(line, types) {
                Ok((key, value)) => round_trip(types, &key, &value),
                Err(why) => assert!(is_one_line(&why.to_string()), "{why}"),
            }
        }
    }
}

/// A key and a value, and the same bytes in files whose types they need not be of.
fn entry(bytes: &[u8]) {
    let Some((&split, rest)) = bytes.split_first() else { return };
    let (key, value) = rest.split_at(usize::from(split).min(rest.len()));
    round_trip(Types::BYTES, key, value);
    for types in TYPES {
        written(OutputFormat::Tsv, types, key, value);
        written(OutputFormat::Jsonl, types, key, value);
    }
}

fn round_trip(types: Types, key: &[u8], value: &[u8]) {
    for (format, decoder) in [(OutputFormat::Tsv, Decoder::Tsv), (OutputFormat::Jsonl, Decoder::Jsonl)] {
        let line = written(format, types, key, value);
        let (read_key, read_value) = decoder.decode(&line, types).expect("what was written reads back");
        assert!((&*read_key, &*read_value) == (key, value), "what was written reads back the same");
    }
}

/// The line of an entry, without its end.
fn written(format: OutputFormat, types: Types, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut line = Vec::new();
    format.write(&mut line, types, key, value).expect("writing to memory does not fail");
    assert_eq!(line.pop(), Some(b'\n'), "a line has an end");
    assert!(!line.contains(&b'\n') && !line.ends_with(b"\r"), "an entry is one line");
    line
}

/// Arguments, split at NUL as no process could be given it.
fn arguments(bytes: &[u8]) {
    let arguments = bytes.split(|&byte| byte == 0).map(|argument| OsString::from_vec(argument.to_vec()));
    if let Err(error) = Cli::try_parse_from(std::iter::once("tophash".into()).chain(arguments.take(16))) {
        assert!(!error.to_string().is_empty());
    }
}

/// Escapes, there and back, whole and cut.
fn text(bytes: &[u8]) {
    let escaped = escape(bytes);
    assert!(is_one_line(&escaped) && !escaped.contains('\t'));
    let plain = unescape(escaped.as_bytes()).expect("what was escaped has no unknown escape");
    assert!(*plain == *bytes, "what was escaped comes back");
    let max_chars = 1 + bytes.len() % 50;
    assert!(escape_short(bytes, max_chars).chars().count() <= max_chars);
    if let Ok(plain) = unescape(bytes) {
        assert!(plain.len() <= bytes.len());
    }
}

/// Safe to print: no control character.
fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}
