//! What the bytes of keys and values mean: types by the names that a file's header has, their text, and their bytes.
//!
//! Text is what arguments, lines and reports have. What a type's text is made of stands at [`Type::parse`], which
//! reads it; [`Type::text`] writes it. Numbers are in [`number`].

pub mod number;

use std::borrow::Cow;
use std::fmt;

use tophash::{Layout, Schema};

use crate::text::{Malformed, hex_byte, quoted};

/// The types that a new file can have, as help and errors list them.
pub const NAMES: &str = "u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64 (values only) bool bytes:N str bytes and () (a set's values)";

/// What the bytes of a key or a value mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// Little-endian.
    Unsigned { width: usize },
    /// Little-endian, two's complement.
    Signed { width: usize },
    /// The bits of a float, little-endian.
    Float { width: usize },
    /// One byte, 0 or 1.
    Bool,
    /// UTF-8.
    Str,
    /// Any bytes, as many as there are.
    Bytes,
    /// Any bytes of one width.
    Array { width: usize },
    /// Nothing: the value of a set.
    Unit,
    /// A type of the program that made the file, which alone knows what its bytes mean.
    Foreign { width: Option<usize> },
}

impl Type {
    /// The type with this name; `None` where a program gave the name to its own.
    pub fn named(name: &str) -> Option<Type> {
        const NAMED: [Type; 16] = [
            Type::Unsigned { width: 1 },
            Type::Unsigned { width: 2 },
            Type::Unsigned { width: 4 },
            Type::Unsigned { width: 8 },
            Type::Unsigned { width: 16 },
            Type::Signed { width: 1 },
            Type::Signed { width: 2 },
            Type::Signed { width: 4 },
            Type::Signed { width: 8 },
            Type::Signed { width: 16 },
            Type::Float { width: 4 },
            Type::Float { width: 8 },
            Type::Bool,
            Type::Str,
            Type::Bytes,
            Type::Unit,
        ];
        let array = || {
            let width: u32 = name.strip_prefix("bytes:")?.parse().ok()?;
            Some(Type::Array { width: width as usize })
        };
        let mut types = NAMED.into_iter().chain(array());
        // Of the same name, so that `bytes:020` and `bytes:+20` are none of ours.
        types.find(|found| found.to_string() == name)
    }

    /// Bytes of every value, where all have as many.
    pub fn width(self) -> Option<usize> {
        match self {
            Type::Unsigned { width } | Type::Signed { width } | Type::Float { width } => Some(width),
            Type::Array { width } => Some(width),
            Type::Bool => Some(1),
            Type::Unit => Some(0),
            Type::Str | Type::Bytes => None,
            Type::Foreign { width } => width,
        }
    }

    /// Whether its values can be added up.
    pub fn is_integer(self) -> bool {
        matches!(self, Type::Unsigned { .. } | Type::Signed { .. })
    }

    /// Whether its text is a number.
    pub fn is_number(self) -> bool {
        self.is_integer() || matches!(self, Type::Float { .. })
    }

    /// The stored bytes of a value in text: numbers in decimal; `true` or `false`; text and bytes as they are; nothing for
    /// `()`; `hex:` and digits for a type that this command does not know, and for `bytes:N` too, where that is no N bytes.
    pub fn parse<'t>(self, text: impl Into<Cow<'t, [u8]>>) -> Result<Cow<'t, [u8]>, Malformed> {
        let text = text.into();
        let parsed = match self {
            Type::Bytes => return Ok(text),
            Type::Str if std::str::from_utf8(&text).is_ok() => return Ok(text),
            Type::Array { width } if text.len() == width => return Ok(text),
            Type::Array { width } => parse_hex(&text).filter(|bytes| bytes.len() == width),
            Type::Foreign { width } => {
                parse_hex(&text).filter(|bytes| width.is_none_or(|width| bytes.len() == width))
            }
            Type::Unsigned { .. } | Type::Signed { .. } | Type::Float { .. } => {
                std::str::from_utf8(&text).ok().and_then(|text| number::parse(self, text))
            }
            Type::Bool if *text == *b"false" => Some(vec![0]),
            Type::Bool if *text == *b"true" => Some(vec![1]),
            Type::Unit if text.is_empty() => Some(Vec::new()),
            Type::Bool | Type::Str | Type::Unit => None,
        };
        match parsed {
            Some(bytes) => Ok(bytes.into()),
            None => Err(self.expected(&quoted(&text, "nothing"))),
        }
    }

    /// Takes bytes as they are to be stored, from where they can be told from text.
    pub fn take(self, bytes: Vec<u8>) -> Result<Vec<u8>, Malformed> {
        let right = match self {
            Type::Str => std::str::from_utf8(&bytes).is_ok(),
            Type::Bytes => true,
            Type::Array { width } => bytes.len() == width,
            Type::Foreign { width } => width.is_none_or(|width| bytes.len() == width),
            _ => false,
        };
        if right { Ok(bytes) } else { Err(self.expected(&format!("{} bytes", bytes.len()))) }
    }

    /// The text of stored bytes, that [`Type::parse`] reads back. What no value of the type has as its bytes is in
    /// `hex:`; [`Type::parse`] does not take it.
    pub fn text(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Type::Bytes | Type::Str => bytes.into(),
            Type::Array { .. } if is_plain(bytes) => bytes.into(),
            Type::Unit => Cow::from(&b""[..]),
            Type::Bool if *bytes == [0] => Cow::from(&b"false"[..]),
            Type::Bool if *bytes == [1] => Cow::from(&b"true"[..]),
            _ => number::text(self, bytes).unwrap_or_else(|| hex(bytes)).into_bytes().into(),
        }
    }

    /// Stored bytes as JSON has them.
    pub fn json(self, bytes: &[u8]) -> Json<'_> {
        match self {
            Type::Bytes | Type::Str | Type::Array { .. } => Json::Bytes(bytes.into()),
            Type::Unit => Json::Absent,
            Type::Bool if matches!(bytes, [0 | 1]) => Json::Bare((bytes == [1]).to_string()),
            _ => match number::text(self, bytes) {
                Some(text) if number::is_exact_in_json(self, bytes) => Json::Bare(text),
                Some(text) => Json::Bytes(text.into_bytes().into()),
                None => Json::Bytes(hex(bytes).into_bytes().into()),
            },
        }
    }

    /// The error where something else was found.
    pub fn expected(self, found: &str) -> Malformed {
        let expected = match self {
            Type::Unsigned { .. } | Type::Signed { .. } => {
                let (least, most) = number::range(self);
                format!("{self} ({least} to {most})")
            }
            Type::Float { .. } => format!("{self} (a number, inf, -inf or NaN)"),
            Type::Bool => "bool (true or false)".to_owned(),
            Type::Str => "str (UTF-8)".to_owned(),
            Type::Bytes => "bytes".to_owned(),
            Type::Array { width } => format!("{self} ({width} bytes, or hex: and {} digits)", 2 * width),
            Type::Unit => "no value (the file is a set)".to_owned(),
            Type::Foreign { width: Some(width) } => {
                format!("hex: and {} digits (a type of its own program)", 2 * width)
            }
            Type::Foreign { width: None } => "hex: and digits (a type of its own program)".to_owned(),
        };
        Malformed(format!("expected {expected}, found {found}"))
    }
}

/// The name in a file's header.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Unsigned { width } => write!(f, "u{}", 8 * width),
            Type::Signed { width } => write!(f, "i{}", 8 * width),
            Type::Float { width } => write!(f, "f{}", 8 * width),
            Type::Bool => f.write_str("bool"),
            Type::Str => f.write_str("str"),
            Type::Bytes => f.write_str("bytes"),
            Type::Array { width } => write!(f, "bytes:{width}"),
            Type::Unit => f.write_str("()"),
            Type::Foreign { .. } => f.write_str("a type of its own program"),
        }
    }
}

/// A key or a value in JSON.
pub enum Json<'b> {
    /// A number, `true` or `false`.
    Bare(String),
    /// A string; base64 where that is not UTF-8.
    Bytes(Cow<'b, [u8]>),
    /// No field at all.
    Absent,
}

/// The types of a file's keys and values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Types {
    pub key: Type,
    pub value: Type,
}

impl Types {
    /// Those of a plain store.
    pub const BYTES: Types = Types { key: Type::Bytes, value: Type::Bytes };

    /// Those of an existing file.
    pub fn of(schema: &Schema) -> Types {
        let (key_width, value_width) = match schema.layout() {
            Layout::Record => (None, None),
            Layout::Inline { key_width, elem_width } => (Some(key_width.into()), Some(elem_width.into())),
        };
        // A name of ours with another width is not ours.
        let of = |name: &str, width: Option<usize>| {
            let named = Type::named(name).filter(|named| width.is_none() || named.width() == width);
            named.unwrap_or(Type::Foreign { width })
        };
        Types { key: of(schema.key(), key_width), value: of(schema.value(), value_width) }
    }
}

/// Bytes in hexadecimal, as [`Type::Foreign`] has them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("hex:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn parse_hex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = text.strip_prefix(b"hex:")?.as_chunks::<2>();
    if rest.is_empty() { pairs.iter().map(|&[high, low]| hex_byte(high, low)).collect() } else { None }
}

/// Whether bytes are text of one line.
fn is_plain(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests;
