//! One JSON object a line: `{"key":"…","value":"…"}`, with numbers as numbers, of a set without a value. What is not
//! UTF-8 is in base64, as `key_base64` or `value_base64`.

use std::borrow::Cow;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use base64::write::EncoderWriter;
use serde_json::{Map, Value};

use super::{Entry, quoted_line};
use crate::text::{Malformed, escape, quoted};
use crate::types::{Json, Type, Types};

pub fn write(out: &mut impl Write, types: Types, key: &[u8], value: &[u8]) -> io::Result<()> {
    out.write_all(b"{")?;
    write_field(out, "key", &types.key.json(key))?;
    let value = types.value.json(value);
    if !matches!(value, Json::Absent) {
        out.write_all(b",")?;
    }
    write_field(out, "value", &value)?;
    out.write_all(b"}\n")
}

fn write_field(out: &mut impl Write, name: &str, json: &Json) -> io::Result<()> {
    match json {
        Json::Absent => Ok(()),
        Json::Bare(text) => write!(out, "\"{name}\":{text}"),
        Json::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => {
                write!(out, "\"{name}\":")?;
                serde_json::to_writer(out, text).map_err(io::Error::from)
            }
            Err(_) => {
                write!(out, "\"{name}_base64\":\"")?;
                let mut encoder = EncoderWriter::new(&mut *out, &BASE64);
                encoder.write_all(bytes)?;
                encoder.finish()?;
                drop(encoder);
                out.write_all(b"\"")
            }
        },
    }
}

/// The field of a report that names a key or a value, as a line has it.
pub fn field(name: &str, ty: Type, bytes: &[u8]) -> Option<(String, Value)> {
    match ty.json(bytes) {
        Json::Absent => None,
        Json::Bare(text) => {
            Some((name.to_owned(), serde_json::from_str(&text).unwrap_or(Value::String(text))))
        }
        Json::Bytes(bytes) => match std::str::from_utf8(&bytes) {
            Ok(text) => Some((name.to_owned(), text.into())),
            Err(_) => Some((format!("{name}_base64"), BASE64.encode(bytes).into())),
        },
    }
}

pub fn read(line: &[u8], types: Types) -> Result<Entry<'static>, Malformed> {
    const EXPECTED: &str = r#"expected {"key":"…","value":"…"}"#;
    let mut object: Map<String, Value> = serde_json::from_slice(line).map_err(|error| {
        // Its "line 1" would stand beside the number of the line in the input.
        let error = error.to_string().replace(" at line 1 column ", " at column ");
        Malformed(format!("{EXPECTED}, found {}: {error}", quoted_line(line)))
    })?;
    let entry = (take(&mut object, "key", types.key)?, take(&mut object, "value", types.value)?);
    match object.keys().next() {
        // What is not understood is not dropped in silence.
        Some(other) => {
            Err(Malformed(format!("{EXPECTED}, found the field \"{}\"", escape(other.as_bytes()))))
        }
        None => Ok(entry),
    }
}

fn take(object: &mut Map<String, Value>, name: &str, ty: Type) -> Result<Cow<'static, [u8]>, Malformed> {
    let encoded = format!("{name}_base64");
    match (object.remove(name), object.remove(&encoded)) {
        (Some(Value::String(text)), None) => ty.parse(text.into_bytes()),
        (Some(Value::Number(number)), None) if ty.is_number() => ty.parse(number.to_string().into_bytes()),
        (Some(Value::Bool(bit)), None) if ty == Type::Bool => ty.parse(bit.to_string().into_bytes()),
        (None | Some(Value::Null), None) if ty == Type::Unit => Ok(Cow::default()),
        (None, Some(Value::String(text))) => match BASE64.decode(&text) {
            Ok(bytes) => ty.take(bytes).map(Cow::from),
            Err(error) => Err(Malformed(format!("expected base64 in \"{encoded}\": {error}"))),
        },
        (None, None) => {
            Err(Malformed(format!("expected a field \"{name}\" or \"{encoded}\", found neither")))
        }
        (Some(_), Some(_)) => Err(Malformed(format!("expected \"{name}\" or \"{encoded}\", found both"))),
        (Some(other), None) if ty != Type::Bytes => {
            Err(ty.expected(&quoted(other.to_string().as_bytes(), "")))
        }
        _ => {
            Err(Malformed(format!("expected a string in \"{name}\" or \"{encoded}\", found something else")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(key: &[u8], value: &[u8]) -> String {
        let mut out = Vec::new();
        write(&mut out, Types::BYTES, key, value).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_a_string_and_other_bytes_are_base64() {
        assert_eq!(line(b"k\"", "é\n".as_bytes()), "{\"key\":\"k\\\"\",\"value\":\"é\\n\"}\n");
        assert_eq!(line(b"\xff", b""), "{\"key_base64\":\"/w==\",\"value\":\"\"}\n");
    }

    #[test]
    fn every_pair_of_bytes_comes_back() {
        for first in 0..=255 {
            for second in 0..=255 {
                let (key, value) = ([first, second], [second, b'x', first]);
                let line = line(&key, &value);
                let (read_key, read_value) = read(line.trim_end().as_bytes(), Types::BYTES).unwrap();
                assert_eq!((&*read_key, &*read_value), (&key[..], &value[..]));
            }
        }
    }

    #[test]
    fn what_is_not_an_entry_is_refused() {
        for text in [
            "",
            "[]",
            "{\"key\":\"k\"}",
            "{\"key\":\"k\",\"value\":1}",
            "{\"key\":\"k\",\"value\":\"v\",\"ttl\":5}",
            "{\"key\":\"k\",\"key_base64\":\"aw==\",\"value\":\"v\"}",
            "{\"key\":\"k\",\"value_base64\":\"?\"}",
        ] {
            assert!(read(text.as_bytes(), Types::BYTES).is_err(), "{text}");
        }
    }
}
