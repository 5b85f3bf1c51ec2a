//! Text in arguments, lines and reports. What would break a line or a terminal is escaped: `\t \n \r \\`, and `\xNN`
//! for every byte of other control characters and of what is not UTF-8. Everything else stays as it is.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

/// Why text is not what it should be: what was expected and what was found.
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
    write_escaped(&mut out, bytes).expect("writing to memory does not fail");
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

/// Text as an error message shows it, with another word where there is none.
pub fn quoted(text: &[u8], empty: &str) -> String {
    const MAX_CHARS: usize = 40;
    if text.is_empty() { empty.to_owned() } else { format!("'{}'", escape_short(text, MAX_CHARS)) }
}

/// What stands before and behind the first delimiter.
pub fn split<'t>(text: &'t [u8], delimiter: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = text.windows(delimiter.len()).position(|window| window == delimiter)?;
    Some((&text[..at], &text[at + delimiter.len()..]))
}

/// Bytes with escapes.
pub fn write_escaped(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid();
        let mut written = 0;
        for (at, control) in text.char_indices().filter(|(_, c)| c.is_control() || *c == '\\') {
            out.write_all(&text.as_bytes()[written..at])?;
            written = at + control.len_utf8();
            match control {
                '\t' => out.write_all(b"\\t")?,
                '\n' => out.write_all(b"\\n")?,
                '\r' => out.write_all(b"\\r")?,
                '\\' => out.write_all(b"\\\\")?,
                _ => write_hex(out, &text.as_bytes()[at..written])?,
            }
        }
        out.write_all(&text.as_bytes()[written..])?;
        write_hex(out, chunk.invalid())?;
    }
    Ok(())
}

fn write_hex(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    bytes.iter().try_for_each(|byte| write!(out, "\\x{byte:02x}"))
}

/// What [`write_escaped`] was given.
pub fn unescape(text: &[u8]) -> Result<Cow<'_, [u8]>, Malformed> {
    if !text.contains(&b'\\') {
        return Ok(text.into());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = split(rest, b"\\") {
        bytes.extend_from_slice(plain);
        let (byte, len) = match *escape {
            [b't', ..] => (b'\t', 1),
            [b'n', ..] => (b'\n', 1),
            [b'r', ..] => (b'\r', 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', high, low, ..] => (hex_byte(high, low).ok_or_else(|| unknown_escape(escape))?, 3),
            _ => return Err(unknown_escape(escape)),
        };
        bytes.push(byte);
        rest = &escape[len..];
    }
    bytes.extend_from_slice(rest);
    Ok(bytes.into())
}

/// The byte of two hexadecimal digits.
pub fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |digit| char::from(digit).to_digit(16);
    u8::try_from(16 * digit(high)? + digit(low)?).ok()
}

fn unknown_escape(behind: &[u8]) -> Malformed {
    let shown = escape_short(&behind[..behind.len().min(3)], 3);
    Malformed(format!("expected an escape of \\t \\n \\r \\\\ \\xNN, found '\\{shown}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write_escaped(&mut out, bytes).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_stays_as_it_is() {
        assert_eq!(escaped("GRINNING FACE 😀".as_bytes()), "GRINNING FACE 😀");
    }

    #[test]
    fn control_characters_and_stray_bytes_are_escaped() {
        assert_eq!(escaped(b"a\tb\nc\rd\\e\x00\x1b\x7f"), r"a\tb\nc\rd\\e\x00\x1b\x7f");
        assert_eq!(escaped(b"\xff\xc3"), r"\xff\xc3");
        // U+009B begins a control sequence on some terminals.
        assert_eq!(escaped("\u{9b}".as_bytes()), r"\xc2\x9b");
    }

    #[test]
    fn every_pair_of_bytes_comes_back() {
        for first in 0..=255 {
            for second in 0..=255 {
                let bytes = [first, second, b'x'];
                assert_eq!(&*unescape(escaped(&bytes).as_bytes()).unwrap(), &bytes);
            }
        }
    }

    #[test]
    fn an_unknown_escape_is_an_error() {
        for text in [&b"\\q"[..], b"\\", b"\\x4", b"\\xzz"] {
            assert!(unescape(text).is_err(), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_long_key_is_cut_with_an_ellipsis() {
        assert_eq!(escape_short(b"abcdef", 6), "abcdef");
        assert_eq!(escape_short(b"abcdefg", 6), "abcde…");
        assert_eq!(escape_short("ääääääää".as_bytes(), 4), "äää…");
    }
}
