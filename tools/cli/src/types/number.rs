//! Numbers: decimal text and little-endian bytes.

use super::Type;

/// Integers up to this one are exact in JSON for every reader, also those that take all numbers for floats.
const MAX_SAFE_INTEGER: u128 = (1 << 53) - 1;

/// The bytes of a number; `None` for what is no number of the type.
pub fn parse(ty: Type, text: &str) -> Option<Vec<u8>> {
    match ty {
        Type::Unsigned { width } => unsigned_bytes(text.parse().ok()?, width),
        Type::Signed { width } => signed_bytes(text.parse().ok()?, width),
        Type::Float { width: 4 } => {
            let number: f32 = text.parse().ok()?;
            // Text does not tell one NaN from another.
            let number = if number.is_nan() { f32::NAN } else { number };
            is_meant(number.is_finite(), text).then(|| number.to_le_bytes().to_vec())
        }
        Type::Float { .. } => {
            let number: f64 = text.parse().ok()?;
            let number = if number.is_nan() { f64::NAN } else { number };
            is_meant(number.is_finite(), text).then(|| number.to_le_bytes().to_vec())
        }
        _ => None,
    }
}

/// What is added to a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delta {
    Plus(u128),
    Minus(u128),
}

pub fn parse_delta(text: &str) -> Result<Delta, String> {
    let (number, delta): (_, fn(u128) -> Delta) = match text.strip_prefix('-') {
        Some(number) => (number, Delta::Minus),
        None => (text, Delta::Plus),
    };
    number.parse().map(delta).map_err(|_| "expected an integer".to_owned())
}

/// The bytes of an integer after something was added; `None` where its type can't hold the sum.
pub fn add(ty: Type, bytes: &[u8], delta: Delta) -> Option<Vec<u8>> {
    match (ty, delta) {
        (Type::Unsigned { width }, Delta::Plus(n)) => {
            unsigned_bytes(unsigned(ty, bytes)?.checked_add(n)?, width)
        }
        (Type::Unsigned { width }, Delta::Minus(n)) => {
            unsigned_bytes(unsigned(ty, bytes)?.checked_sub(n)?, width)
        }
        (Type::Signed { width }, Delta::Plus(n)) => {
            signed_bytes(signed(ty, bytes)?.checked_add_unsigned(n)?, width)
        }
        (Type::Signed { width }, Delta::Minus(n)) => {
            signed_bytes(signed(ty, bytes)?.checked_sub_unsigned(n)?, width)
        }
        _ => None,
    }
}

/// Whether infinity is what the text says, and not what became of a number too large.
fn is_meant(finite: bool, text: &str) -> bool {
    finite || !text.contains(|c: char| c.is_ascii_digit())
}

/// The number in decimal; `None` where the bytes are none of the type.
pub fn text(ty: Type, bytes: &[u8]) -> Option<String> {
    match ty {
        Type::Unsigned { .. } => Some(unsigned(ty, bytes)?.to_string()),
        Type::Signed { .. } => Some(signed(ty, bytes)?.to_string()),
        // As short as reads back the same, and with an exponent where there would be many zeros.
        Type::Float { width: 4 } => Some(format!("{:?}", f32::from_le_bytes(bytes.try_into().ok()?))),
        Type::Float { .. } => Some(format!("{:?}", f64::from_le_bytes(bytes.try_into().ok()?))),
        _ => None,
    }
}

/// Whether every reader of JSON has the same number when it is written as a number.
pub fn is_exact_in_json(ty: Type, bytes: &[u8]) -> bool {
    match ty {
        Type::Unsigned { .. } => unsigned(ty, bytes).is_some_and(|number| number <= MAX_SAFE_INTEGER),
        Type::Signed { .. } => signed(ty, bytes).is_some_and(|n| n.unsigned_abs() <= MAX_SAFE_INTEGER),
        // JSON has no infinity.
        _ => text(ty, bytes).is_some_and(|text| text.contains(|c: char| c.is_ascii_digit())),
    }
}

/// The least and the largest number of an integer's type.
pub fn range(ty: Type) -> (i128, u128) {
    match ty {
        Type::Signed { width } => {
            let largest = largest(width) >> 1;
            (-(largest as i128) - 1, largest)
        }
        _ => (0, largest(ty.width().unwrap_or(16))),
    }
}

/// The largest number of so many bytes.
fn largest(width: usize) -> u128 {
    u128::MAX >> (128 - 8 * width)
}

fn unsigned_bytes(number: u128, width: usize) -> Option<Vec<u8>> {
    (number <= largest(width)).then(|| number.to_le_bytes()[..width].to_vec())
}

fn signed_bytes(number: i128, width: usize) -> Option<Vec<u8>> {
    let largest = (largest(width) >> 1) as i128;
    (-largest - 1..=largest).contains(&number).then(|| number.to_le_bytes()[..width].to_vec())
}

fn unsigned(ty: Type, bytes: &[u8]) -> Option<u128> {
    if Some(bytes.len()) != ty.width() {
        return None;
    }
    let mut wide = [0; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    Some(u128::from_le_bytes(wide))
}

fn signed(ty: Type, bytes: &[u8]) -> Option<i128> {
    // The sign is the highest bit, and fills those above.
    let above = 128 - 8 * bytes.len().min(16) as u32;
    let number = unsigned(ty, bytes)? as i128;
    Some(number << above >> above)
}
