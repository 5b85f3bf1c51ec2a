//! One entry a line: key, tab, value. What would break a line or a terminal is escaped: `\t \n \r \\`, and `\xNN`
//! for every byte of other control characters and of what is not UTF-8. Everything else stays as it is.

use std::borrow::Cow;
use std::io::{self, Write};

use super::{Entry, Malformed, quoted, split};

pub fn write(out: &mut impl Write, key: &[u8], value: &[u8]) -> io::Result<()> {
    write_escaped(out, key)?;
    out.write_all(b"\t")?;
    write_escaped(out, value)?;
    out.write_all(b"\n")
}

pub fn read(line: &[u8]) -> Result<Entry<'_>, Malformed> {
    let (key, value) = split(line, b"\t")
        .ok_or_else(|| Malformed(format!("expected KEY, a tab, VALUE, found {}", quoted(line))))?;
    Ok((unescape(key)?, unescape(value)?))
}

/// The bytes of a key or a value with escapes.
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
            [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex_digit(high) << 4 | hex_digit(low), 3)
            }
            _ => return Err(unknown_escape(escape)),
        };
        bytes.push(byte);
        rest = &escape[len..];
    }
    bytes.extend_from_slice(rest);
    Ok(bytes.into())
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

fn unknown_escape(behind: &[u8]) -> Malformed {
    let shown = super::escape_short(&behind[..behind.len().min(3)], 3);
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
}
