//! How the values of a type are stored.
//!
//! The stored forms of the built-in types are fixed for ever, and the same on every machine: `format.md` lists them.

use std::borrow::{Borrow, Cow};

use zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};

use crate::error::{Error, Result};
use crate::format::schema::DataType;

/// A type whose values a [`Map`](crate::Map) can store: as bytes that mean the same on every machine.
///
/// Built in are `u8` to `u128`, `i8` to `i128`, `f32`, `f64` (as values), `bool`, `()`, `[u8; N]`, `str` and `String`,
/// `[u8]` and `Vec<u8>`. A struct of fixed size says that it is [`Fixed`], and with the feature `serde` there is an
/// adapter for what `serde` can write (`Postcard`). For all else a type implements this trait, here one that
/// stores its two texts one behind the other:
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("people.tophash");
/// use std::borrow::Cow;
/// use tophash::{Codec, Error, Map, Result};
///
/// #[derive(Debug, PartialEq)]
/// struct Person { name: String, city: String }
///
/// impl Codec for Person {
///     type Ref = Person;
///     type Owned = Person;
///     const WIDTH: Option<u32> = None;
///
///     fn type_name() -> Cow<'static, str> {
///         "person".into()
///     }
///
///     fn encode(person: &Person) -> Result<impl AsRef<[u8]>> {
///         Ok(format!("{}\0{}", person.name, person.city))
///     }
///
///     fn decode(bytes: &[u8]) -> Result<Person> {
///         let text = str::decode(bytes)?;
///         let (name, city) = text.split_once('\0').ok_or_else(|| Error::Decode {
///             type_name: Self::type_name(),
///             expected: "a zero between name and city".into(),
///             found: "none".into(),
///         })?;
///         Ok(Person { name: name.to_owned(), city: city.to_owned() })
///     }
/// }
///
/// let people = Map::<u32, Person>::open(&path)?;
/// people.insert(1, Person { name: "Ada".into(), city: "London".into() })?;
/// assert_eq!(people.get(&1)?.unwrap().city, "London");
/// # Ok::<(), Error>(())
/// ```
///
/// To be the keys of a map, a type is a [`Key`] too.
pub trait Codec {
    /// What a write takes a reference to: `str` for `String`, else mostly the type itself.
    type Ref: ?Sized;

    /// What a read returns.
    type Owned: Borrow<Self::Ref>;

    /// How many bytes all values have, if all have the same. Where keys and values have a width of at most 128, the cells
    /// of the table hold them.
    const WIDTH: Option<u32>;

    /// Whether any bytes of that width are a value, so that a write need not look at the one before.
    #[doc(hidden)]
    const ANY_BYTES: bool = false;

    /// The type's name in the header of a file: whoever opens that must have the same. At most 64 bytes, and none of
    /// the [built-in](DataType::built_in) ones. Another way to store the type is another name.
    fn type_name() -> Cow<'static, str>;

    /// The bytes of a value.
    ///
    /// # Errors
    /// [`Error::Encode`] where there are none. Then nothing is written.
    fn encode(value: &Self::Ref) -> Result<impl AsRef<[u8]>>;

    /// The value of these bytes, which may be any: a program that has another notion of the type may have written them.
    ///
    /// # Errors
    /// [`Error::Decode`] where they are none.
    fn decode(bytes: &[u8]) -> Result<Self::Owned>;
}

/// A type whose values may be keys: those are the same whose bytes are, so that each must have one form in bytes alone.
///
/// Floating-point numbers are none: two that are equal may differ in their bytes, and two that are not may not.
///
/// ```compile_fail
/// tophash::Map::<f64, u64>::open("measures.tophash")?;
/// # Ok::<(), tophash::Error>(())
/// ```
pub trait Key: Codec {}

/// A struct of fixed size without padding, stored as it lies in memory; its numbers are those of [`zerocopy`], which say
/// their endianness.
///
/// Every sequence of so many bytes is a value, which the derived traits see to. One that is [`Eq`] is a [`Key`] too.
/// (A `repr(packed)` struct of Rust's own numbers compiles too; its file is for machines of one endianness.)
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("cities.tophash");
/// use tophash::zerocopy::little_endian::F32;
/// use tophash::zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};
/// use tophash::{Fixed, Map};
///
/// #[derive(FromBytes, IntoBytes, Immutable, Unaligned, Clone, Copy, PartialEq, Debug)]
/// #[zerocopy(crate = "tophash::zerocopy")]
/// #[repr(C)]
/// struct Place { latitude: F32, longitude: F32 }
///
/// impl Fixed for Place {
///     const NAME: &str = "place";
/// }
///
/// let cities = Map::<str, Place>::open(&path)?;
/// let zurich = Place { latitude: 47.4.into(), longitude: 8.5.into() };
/// cities.insert("Zurich", zurich)?;
/// assert_eq!(cities.get("Zurich")?, Some(zurich));
/// # Ok::<(), tophash::Error>(())
/// ```
pub trait Fixed: FromBytes + IntoBytes + Immutable + Unaligned {
    /// The type's name in the header of a file: whoever opens that must have the same. At most 64 bytes, and none of
    /// the [built-in](DataType::built_in) ones. A struct whose fields change is another type, and has another name.
    const NAME: &'static str;
}

impl<T: Fixed> Codec for T {
    type Ref = T;
    type Owned = T;
    const WIDTH: Option<u32> = Some(size_of::<T>() as u32);
    const ANY_BYTES: bool = true;

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed(T::NAME)
    }

    #[inline]
    fn encode(value: &T) -> Result<impl AsRef<[u8]>> {
        Ok(value.as_bytes())
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<T> {
        T::read_from_bytes(bytes).map_err(|_| width_error::<T>(bytes))
    }
}

impl<T: Fixed + Eq> Key for T {}

/// Numbers are stored little-endian.
macro_rules! numbers {
    ($($number:ident)*) => {$(
        impl Codec for $number {
            type Ref = $number;
            type Owned = $number;
            const WIDTH: Option<u32> = Some(size_of::<$number>() as u32);
            const ANY_BYTES: bool = true;

            fn type_name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($number))
            }

            #[inline]
            fn encode(value: &$number) -> Result<impl AsRef<[u8]>> {
                Ok(value.to_le_bytes())
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Result<$number> {
                <[u8; size_of::<$number>()]>::decode(bytes).map($number::from_le_bytes).map_err(|_| width_error::<$number>(bytes))
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64);

macro_rules! keys {
    ($($key:ty)*) => {$( impl Key for $key {} )*};
}

keys!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 bool str String [u8] Vec<u8>);

impl<const N: usize> Key for [u8; N] {}

impl<const N: usize> Codec for [u8; N] {
    type Ref = [u8; N];
    type Owned = [u8; N];
    const WIDTH: Option<u32> = if N as u64 <= u32::MAX as u64 { Some(N as u32) } else { None };
    const ANY_BYTES: bool = true;

    fn type_name() -> Cow<'static, str> {
        Cow::Owned(format!("bytes:{N}"))
    }

    #[inline]
    fn encode(value: &[u8; N]) -> Result<impl AsRef<[u8]>> {
        Ok(value)
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<[u8; N]> {
        bytes.try_into().map_err(|_| width_error::<[u8; N]>(bytes))
    }
}

/// A byte, 0 or 1.
impl Codec for bool {
    type Ref = bool;
    type Owned = bool;
    const WIDTH: Option<u32> = Some(1);

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("bool")
    }

    #[inline]
    fn encode(value: &bool) -> Result<impl AsRef<[u8]>> {
        Ok([u8::from(*value)])
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<bool> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(Error::Decode {
                type_name: Self::type_name(),
                expected: "0 or 1".into(),
                found: u64::from(*other).into(),
            }),
            _ => Err(width_error::<bool>(bytes)),
        }
    }
}

/// Nothing: the values of a set.
impl Codec for () {
    type Ref = ();
    type Owned = ();
    const WIDTH: Option<u32> = Some(0);
    const ANY_BYTES: bool = true;

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("()")
    }

    #[inline]
    fn encode(_nothing: &()) -> Result<impl AsRef<[u8]>> {
        Ok([])
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<()> {
        <[u8; 0]>::decode(bytes).map(drop).map_err(|_| width_error::<()>(bytes))
    }
}

/// UTF-8.
impl Codec for str {
    type Ref = str;
    type Owned = String;
    const WIDTH: Option<u32> = None;

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("str")
    }

    fn encode(value: &str) -> Result<impl AsRef<[u8]>> {
        Ok(value)
    }

    fn decode(bytes: &[u8]) -> Result<String> {
        let text = std::str::from_utf8(bytes).map_err(|error| Error::Decode {
            type_name: Self::type_name(),
            expected: "UTF-8".into(),
            found: bytes.get(error.valid_up_to()).map_or(0, |&byte| u64::from(byte)).into(),
        });
        text.map(str::to_owned)
    }
}

impl Codec for [u8] {
    type Ref = [u8];
    type Owned = Vec<u8>;
    const WIDTH: Option<u32> = None;
    const ANY_BYTES: bool = true;

    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("bytes")
    }

    fn encode(value: &[u8]) -> Result<impl AsRef<[u8]>> {
        Ok(value)
    }

    fn decode(bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(bytes.to_vec())
    }
}

/// What is owned is stored as what it lends.
macro_rules! owned {
    ($($owned:ty as $lent:ty;)*) => {$(
        impl Codec for $owned {
            type Ref = $lent;
            type Owned = $owned;
            const WIDTH: Option<u32> = <$lent>::WIDTH;
            const ANY_BYTES: bool = <$lent>::ANY_BYTES;

            fn type_name() -> Cow<'static, str> {
                <$lent>::type_name()
            }

            fn encode(value: &$lent) -> Result<impl AsRef<[u8]>> {
                <$lent>::encode(value)
            }

            fn decode(bytes: &[u8]) -> Result<$owned> {
                <$lent>::decode(bytes)
            }
        }
    )*};
}

owned!(String as str; Vec<u8> as [u8];);

/// What a file's header says of a type.
pub(super) fn data_type<T: Codec + ?Sized>() -> Result<DataType> {
    match T::WIDTH {
        Some(width) => DataType::fixed(&T::type_name(), width),
        None => DataType::varying(&T::type_name()),
    }
}

/// The bytes, if there are as many as the type has.
#[inline]
pub(super) fn fits<T: Codec + ?Sized>(bytes: &[u8]) -> Result<&[u8]> {
    match T::WIDTH {
        Some(width) if bytes.len() as u64 != u64::from(width) => Err(width_error::<T>(bytes)),
        _ => Ok(bytes),
    }
}

/// The bytes of a value that were looked at once.
pub(super) fn encoded<T: Codec + ?Sized>(value: &T::Ref) -> Result<impl AsRef<[u8]>> {
    let bytes = T::encode(value)?;
    fits::<T>(bytes.as_ref())?;
    Ok(bytes)
}

#[cold]
fn width_error<T: Codec + ?Sized>(bytes: &[u8]) -> Error {
    Error::Width {
        type_name: T::type_name(),
        expected: T::WIDTH.map_or(0, u64::from),
        found: bytes.len() as u64,
    }
}
