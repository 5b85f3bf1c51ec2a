//! What a file says about its keys and values: the names of their types, and how the cells hold them.
//!
//! Both are written when the file is made and never change. Opening a file for other types is an
//! [`Error::Schema`], so that the bytes of one type are never taken for those of another.

use std::fmt;

use crate::error::{Error, Result};
use crate::format::bucket::Shape;

/// The widest key or value that a cell holds itself, in bytes (Go's `maxKeySize` and `maxElemSize`).
pub const MAX_INLINE_BYTES: u64 = 128;

/// The longest name of a type, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// The longest name of a type, as the limit in an error.
const NAME_LIMIT: u64 = MAX_NAME_BYTES as u64;

/// How the cells of a table hold keys and values.
///
/// ```
/// use tophash::{DataType, Layout, Schema};
///
/// let ids = Schema::new(DataType::fixed("u64", 8)?, DataType::fixed("u64", 8)?);
/// assert_eq!(ids.layout(), Layout::Inline { key_width: 8, elem_width: 8 });
/// assert_eq!(Schema::BYTES.layout(), Layout::Record);
/// # Ok::<(), tophash::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Layout {
    /// A cell points at a record of the log, which holds key and value: any bytes to any bytes.
    #[default]
    Record,
    /// A cell holds key and value itself, both of a fixed width of at most 128 bytes. Records of the log are needed for a
    /// replay alone.
    Inline {
        /// Bytes of a key, at least 1.
        key_width: u8,
        /// Bytes of a value; 0 for a set.
        elem_width: u8,
    },
}

impl Layout {
    /// The layout for keys and values of these widths, where all have the same.
    pub(crate) const fn of(key: Option<u32>, value: Option<u32>) -> Self {
        const WIDEST: u32 = MAX_INLINE_BYTES as u32;
        match (key, value) {
            (Some(key @ 1..=WIDEST), Some(value @ 0..=WIDEST)) => {
                Layout::Inline { key_width: key as u8, elem_width: value as u8 }
            }
            _ => Layout::Record,
        }
    }

    /// Bytes of a cell in the plane of the keys; in the record layout, of a cell.
    pub(crate) fn key_width(self) -> u8 {
        match self {
            Layout::Record => 8,
            Layout::Inline { key_width, .. } => key_width,
        }
    }

    /// Bytes of a cell in the plane of the elems.
    pub(crate) fn elem_width(self) -> u8 {
        match self {
            Layout::Record => 0,
            Layout::Inline { elem_width, .. } => elem_width,
        }
    }

    /// Where the parts of a bucket lie.
    pub(crate) fn shape(self) -> Shape {
        Shape::new(self.key_width(), self.elem_width())
    }
}

/// The type of a file's keys or values: its name, and its width if all have the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DataType {
    name: Name,
    width: Option<u32>,
}

impl DataType {
    /// Bytes of any number; what a [`Store`](crate::Store) keeps.
    pub const BYTES: DataType = DataType { name: Name::BYTES, width: None };

    /// A type whose values all have `width` bytes.
    ///
    /// # Errors
    /// [`TooLarge`](Error::TooLarge) for a name of more than 64 bytes, [`TypeName`](Error::TypeName) for one that is empty or has
    /// control characters.
    pub fn fixed(name: &str, width: u32) -> Result<Self> {
        Ok(DataType { name: Name::new(name)?, width: Some(width) })
    }

    /// A type whose values differ in length.
    ///
    /// # Errors
    /// As those of [`DataType::fixed`].
    pub fn varying(name: &str) -> Result<Self> {
        Ok(DataType { name: Name::new(name)?, width: None })
    }

    /// Takes the header's fields: a name, and a width that is counted from 1, 0 where values differ. `None` where they are no
    /// type.
    pub(crate) fn decode(name: [u8; MAX_NAME_BYTES], width: u32) -> Option<Self> {
        Some(DataType { name: Name::decode(name)?, width: width.checked_sub(1) })
    }

    /// The header's fields.
    pub(crate) fn encode(self) -> ([u8; MAX_NAME_BYTES], u32) {
        (self.name.0, self.width.map_or(0, |width| width.saturating_add(1)))
    }
}

impl Default for DataType {
    fn default() -> Self {
        DataType::BYTES
    }
}

/// What a file's keys and values are: the names of their types, and the layout that follows from their widths.
///
/// ```
/// use tophash::{DataType, Schema};
///
/// let schema = Schema::new(DataType::varying("str")?, DataType::fixed("u32", 4)?);
/// assert_eq!((schema.key(), schema.value()), ("str", "u32"));
/// assert_eq!(schema.to_string(), "str to u32 of 4 bytes (in records)");
/// # Ok::<(), tophash::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Schema {
    pub(crate) key: DataType,
    pub(crate) value: DataType,
    pub(crate) layout: Layout,
}

impl Schema {
    /// Any bytes to any bytes; what a [`Store`](crate::Store) keeps.
    pub const BYTES: Schema = Schema { key: DataType::BYTES, value: DataType::BYTES, layout: Layout::Record };

    /// The schema of these types. Where both have a fixed width of at most 128 bytes, and a key has some, the cells hold
    /// them; else records do.
    pub fn new(key: DataType, value: DataType) -> Self {
        Schema { key, value, layout: Layout::of(key.width, value.width) }
    }

    /// The name of the keys' type.
    pub fn key(&self) -> &str {
        self.key.name.as_str()
    }

    /// The name of the values' type.
    pub fn value(&self) -> &str {
        self.value.name.as_str()
    }

    /// How the cells hold keys and values.
    pub fn layout(&self) -> Layout {
        self.layout
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |f: &mut fmt::Formatter<'_>, of: &DataType| match of.width {
            // A cell's widths follow, and the built-in names tell theirs.
            Some(width) if self.layout == Layout::Record => {
                write!(f, "{} of {width} bytes", of.name.as_str())
            }
            _ => f.write_str(of.name.as_str()),
        };
        name(f, &self.key)?;
        f.write_str(" to ")?;
        name(f, &self.value)?;
        match self.layout {
            Layout::Record => f.write_str(" (in records)"),
            Layout::Inline { key_width, elem_width } => {
                write!(f, " (inline, {key_width} and {elem_width} bytes)")
            }
        }
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({self})")
    }
}

/// The name of a type, as the header has it: UTF-8, zeros behind it. None at all stands for bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Name([u8; MAX_NAME_BYTES]);

impl Name {
    const BYTES: Name = Name([0; MAX_NAME_BYTES]);

    fn new(name: &str) -> Result<Self> {
        let mut bytes = [0; MAX_NAME_BYTES];
        let Some(place) = bytes.get_mut(..name.len()) else {
            return Err(Error::TooLarge { what: "a type's name", len: name.len() as u64, limit: NAME_LIMIT });
        };
        place.copy_from_slice(name.as_bytes());
        match Self::decode(bytes) {
            Some(made) if made.as_str() == name => Ok(made),
            _ => Err(Error::TypeName { name: name.to_owned() }),
        }
    }

    /// Takes the header's bytes; `None` where they are no name.
    fn decode(bytes: [u8; MAX_NAME_BYTES]) -> Option<Self> {
        let len = bytes.iter().position(|&byte| byte == 0).unwrap_or(MAX_NAME_BYTES);
        let padded = bytes[len..].iter().all(|&byte| byte == 0);
        let text = std::str::from_utf8(&bytes[..len]).is_ok_and(|text| !text.chars().any(char::is_control));
        let name = if &bytes[..len] == b"bytes" { Self::BYTES } else { Name(bytes) };
        (padded && text).then_some(name)
    }

    fn as_str(&self) -> &str {
        let len = self.0.iter().position(|&byte| byte == 0).unwrap_or(MAX_NAME_BYTES);
        match std::str::from_utf8(&self.0[..len]) {
            Ok("") | Err(_) => "bytes",
            Ok(name) => name,
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_round_trip() {
        for name in ["u64", "a struct of mine", "bytes:20", "\u{e9}t\u{e9}", &"x".repeat(MAX_NAME_BYTES)] {
            let made = Name::new(name).unwrap();
            assert_eq!(made.as_str(), name);
            assert_eq!(Name::decode(made.0), Some(made));
        }
        assert_eq!(Name::new("bytes").unwrap(), Name::BYTES);
        assert_eq!(Name::BYTES.as_str(), "bytes");
        assert!(matches!(Name::new(&"x".repeat(65)), Err(Error::TooLarge { len: 65, limit: 64, .. })));
    }

    #[test]
    fn bytes_that_are_no_name_are_refused() {
        for name in ["", "a\nb", "a\0b", "\0"] {
            assert!(matches!(Name::new(name), Err(Error::TypeName { .. })), "{name:?}");
        }
        let mut bytes = Name::new("u64").unwrap().0;
        bytes[5] = b'x';
        assert_eq!(Name::decode(bytes), None, "behind the zeros");
        assert_eq!(Name::decode([0xff; MAX_NAME_BYTES]), None, "no UTF-8");
        assert_eq!(Name::decode([b'\n'; MAX_NAME_BYTES]), None, "a control character");
    }

    #[test]
    fn the_layout_follows_from_the_widths() {
        let layout = |key, value| {
            let of = |width: Option<u32>| match width {
                Some(width) => DataType::fixed("fixed", width).unwrap(),
                None => DataType::varying("varying").unwrap(),
            };
            Schema::new(of(key), of(value)).layout()
        };
        assert_eq!(layout(Some(1), Some(0)), Layout::Inline { key_width: 1, elem_width: 0 });
        assert_eq!(layout(Some(128), Some(128)), Layout::Inline { key_width: 128, elem_width: 128 });
        for (key, value) in [(None, None), (Some(8), None), (Some(129), Some(8)), (Some(8), Some(129))] {
            assert_eq!(layout(key, value), Layout::Record);
        }
        assert_eq!(layout(Some(0), Some(8)), Layout::Record, "a key of no bytes is one key");
    }
}
