//! What the command parses: lines of entries, escapes, arguments.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::Parser as _;
use tophash_cli::args::Cli;
use tophash_cli::entry::{Decoder, OutputFormat, escape, escape_short, tsv};

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
        for decoder in &decoders {
            match decoder.decode(line) {
                Ok((key, value)) => round_trip(&key, &value),
                Err(why) => assert!(is_one_line(&why.to_string()), "{why}"),
            }
        }
    }
}

/// A key and a value.
fn entry(bytes: &[u8]) {
    let Some((&split, rest)) = bytes.split_first() else { return };
    let (key, value) = rest.split_at(usize::from(split).min(rest.len()));
    round_trip(key, value);
}

fn round_trip(key: &[u8], value: &[u8]) {
    for (format, decoder) in [(OutputFormat::Tsv, Decoder::Tsv), (OutputFormat::Jsonl, Decoder::Jsonl)] {
        let mut out = Vec::new();
        format.write(&mut out, key, value).expect("writing to memory does not fail");
        let line = out.strip_suffix(b"\n").expect("a line has an end");
        assert!(!line.contains(&b'\n') && !line.ends_with(b"\r"), "an entry is one line");
        let (read_key, read_value) = decoder.decode(line).expect("what was written reads back");
        assert!((&*read_key, &*read_value) == (key, value), "what was written reads back the same");
    }
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
    let plain = tsv::unescape(escaped.as_bytes()).expect("what was escaped has no unknown escape");
    assert!(*plain == *bytes, "what was escaped comes back");
    let max_chars = 1 + bytes.len() % 50;
    assert!(escape_short(bytes, max_chars).chars().count() <= max_chars);
    if let Ok(plain) = tsv::unescape(bytes) {
        assert!(plain.len() <= bytes.len());
    }
}

/// Safe to print: no control character.
fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}
