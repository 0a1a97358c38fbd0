//! How values are shown to programs, as JSON, and in files, where that is not how their types are: bytes in
//! hexadecimal, and values as the text that people type.

use std::fmt::Display;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::id::parse_hex;

/// Bytes in hexadecimal.
///
/// # Errors
/// Those of the serializer.
pub fn hex<S: Serializer>(bytes: &impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&hex::encode(bytes))
}

/// Reads bytes in hexadecimal.
///
/// # Errors
/// Those of the deserializer, and when there are more or fewer bytes, or upper-case digits.
pub fn from_hex<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
    let text = <String as Deserialize>::deserialize(deserializer)?;
    parse_hex(&text).ok_or_else(|| de::Error::custom(format!("{} lower-case hexadecimal digits are needed", 2 * N)))
}

/// Bytes in hexadecimal, where there are any.
pub(crate) fn hex_of<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    bytes.as_ref().map(hex::encode).serialize(serializer)
}

/// A value's text.
///
/// # Errors
/// Those of the serializer.
pub fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// A value's text, where there is one.
///
/// # Errors
/// Those of the serializer.
pub fn text_of<S: Serializer, T: Display>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(T::to_string).serialize(serializer)
}
