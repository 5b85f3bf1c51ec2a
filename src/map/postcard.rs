//! What `serde` can write, in the wire format of `postcard`.

use std::borrow::Cow;
use std::hash::Hash;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Detail, Error, Result};
use crate::map::codec::{Codec, Key};

/// Stores a type of [`serde`]'s in the [wire format](https://postcard.jamesmunns.com) of `postcard` 1, which is small and
/// stable. Feature `serde`.
///
/// It stands for the type where a map is opened; no value of it is ever made.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("people.tophash");
/// use serde::{Deserialize, Serialize};
/// use tophash::{Map, Named, Postcard};
///
/// #[derive(Serialize, Deserialize)]
/// struct Person { name: String, languages: Vec<String> }
///
/// impl Named for Person {
///     const NAME: &str = "person";
/// }
///
/// let people = Map::<u64, Postcard<Person>>::open(&path)?;
/// people.insert(1, Person { name: "Ada".into(), languages: vec!["English".into(), "French".into()] })?;
/// assert_eq!(people.get(&1)?.unwrap().languages.len(), 2);
/// # Ok::<(), tophash::Error>(())
/// ```
///
/// The format has neither names nor types of fields: a type whose fields change is another type, and needs another name.
/// It is a [`Key`] where the type is [`Eq`] and [`Hash`]; equal values must be written as equal bytes.
pub struct Postcard<T>(PhantomData<fn(&T)>);

/// A type with a name that files know it by; what [`Postcard`] asks for beside what `serde` derives.
pub trait Named {
    /// The type's name in the header of a file: whoever opens that must have the same. At most 64 bytes, and none of
    /// the [built-in](crate::DataType::built_in) ones.
    const NAME: &'static str;
}

impl<T: Named + Serialize + DeserializeOwned> Codec for Postcard<T> {
    type Ref = T;
    type Owned = T;
    const WIDTH: Option<u32> = None;

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed(T::NAME)
    }

    fn encode(value: &T) -> Result<impl AsRef<[u8]>> {
        postcard::to_allocvec(value)
            .map_err(|error| Error::Encode { type_name: Self::type_name(), reason: error.to_string() })
    }

    fn decode(bytes: &[u8]) -> Result<T> {
        let none = |expected, found| Error::Decode {
            type_name: Self::type_name(),
            expected: Detail::Text(expected),
            found,
        };
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok((_, behind)) => Err(none("no bytes behind it", Detail::Number(behind.len() as u64))),
            Err(_) => Err(none("what postcard writes for it", Detail::Text("other bytes"))),
        }
    }
}

impl<T: Named + Serialize + DeserializeOwned + Eq + Hash> Key for Postcard<T> {}
