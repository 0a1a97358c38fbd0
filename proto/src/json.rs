//! How values are shown to programs, as JSON, where that is not how their types are: bytes in hexadecimal, and values
//! as the text that people type.

use std::fmt::Display;

use serde::{Serialize, Serializer};

/// Bytes in hexadecimal.
///
/// # Errors
/// Those of the serializer.
pub fn hex<S: Serializer>(bytes: &impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&hex::encode(bytes))
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
