//! The built-in types by their names: what any program can tell of their bytes.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::format::schema::DataType;

/// How the values of a type are stored.
#[derive(Clone, Copy)]
enum Form {
    /// Any bytes, so many.
    Fixed(u32),
    Bool,
    Str,
    Bytes,
}

impl Form {
    fn of(name: &str) -> Option<Form> {
        Some(match name {
            "()" => Form::Fixed(0),
            "u8" | "i8" => Form::Fixed(1),
            "u16" | "i16" => Form::Fixed(2),
            "u32" | "i32" | "f32" => Form::Fixed(4),
            "u64" | "i64" | "f64" => Form::Fixed(8),
            "u128" | "i128" => Form::Fixed(16),
            "bool" => Form::Bool,
            "str" => Form::Str,
            "bytes" => Form::Bytes,
            _ => {
                let width = name.strip_prefix("bytes:")?;
                // One name for one type: no sign, no zeros before it.
                let number = width.parse().ok()?;
                (width == u32::to_string(&number)).then_some(Form::Fixed(number))?
            }
        })
    }

    fn width(self) -> Option<u32> {
        match self {
            Form::Fixed(width) => Some(width),
            Form::Bool => Some(1),
            Form::Str | Form::Bytes => None,
        }
    }
}

impl DataType {
    /// The built-in type of this name, one of `u8` to `u128`, `i8` to `i128`, `f32`, `f64`, `bool`, `()`, `bytes:N`, `str`
    /// and `bytes`. For tools; in a program, [`Map`](crate::Map) knows the types.
    ///
    /// ```
    /// use tophash::DataType;
    ///
    /// assert_eq!(DataType::built_in("u64"), Some(DataType::fixed("u64", 8)?));
    /// assert_eq!(DataType::built_in("bytes:20"), Some(DataType::fixed("bytes:20", 20)?));
    /// assert_eq!(DataType::built_in("a type of mine"), None);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn built_in(name: &str) -> Option<DataType> {
        match Form::of(name)?.width() {
            Some(width) => DataType::fixed(name, width).ok(),
            None => DataType::varying(name).ok(),
        }
    }
}

/// Refuses bytes that are no value of a built-in type. Of other types nobody here knows anything.
pub(super) fn check(name: &str, bytes: &[u8]) -> Result<()> {
    let Some(form) = Form::of(name) else { return Ok(()) };
    let type_name = || Cow::Owned(name.to_owned());
    match form.width() {
        Some(width) if bytes.len() as u64 != u64::from(width) => {
            return Err(Error::Width {
                type_name: type_name(),
                expected: width.into(),
                found: bytes.len() as u64,
            });
        }
        _ => {}
    }
    match form {
        Form::Bool if bytes[0] > 1 => Err(Error::Decode {
            type_name: type_name(),
            expected: "0 or 1".into(),
            found: u64::from(bytes[0]).into(),
        }),
        Form::Str if std::str::from_utf8(bytes).is_err() => Err(Error::Decode {
            type_name: type_name(),
            expected: "UTF-8".into(),
            found: "other bytes".into(),
        }),
        _ => Ok(()),
    }
}
