//! Canonical bytes: borsh, bounded before it is read and compared after.
//!
//! In go untrusted bytes and their size limit; out comes a value whose encoding is exactly those bytes. So a value has
//! one encoding, and its hash can be its name (SPEC, "Encoding").

use borsh::{BorshDeserialize, BorshSerialize};

/// Why bytes were rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than this message may be.
    #[error("message of {len} bytes is over its limit of {max} bytes")]
    TooLong {
        /// Bytes received.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Truncated, with trailing bytes, or with an impossible value.
    #[error("message is malformed: truncated, too long, or with an impossible value")]
    Malformed,
    /// Another encoding of a valid value.
    #[error("message is not in canonical form: its value has another encoding")]
    NotCanonical,
}

/// The canonical bytes of `value`.
pub fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("writing to a Vec cannot fail")
}

/// The value whose canonical bytes are `bytes`, of which there may be at most `max`.
///
/// # Errors
/// [`DecodeError`] when they are too many, malformed, or not what [`encode`] would write.
pub fn decode<T: BorshDeserialize + BorshSerialize>(bytes: &[u8], max: usize) -> Result<T, DecodeError> {
    if bytes.len() > max {
        return Err(DecodeError::TooLong { len: bytes.len(), max });
    }
    let value = T::try_from_slice(bytes).map_err(|_| DecodeError::Malformed)?;
    if encode(&value) != bytes {
        return Err(DecodeError::NotCanonical);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_long_truncated_and_trailing() {
        let bytes = encode(&(7u32, vec![1u8, 2]));
        assert_eq!(decode::<(u32, Vec<u8>)>(&bytes, 64), Ok((7, vec![1, 2])));
        assert_eq!(decode::<(u32, Vec<u8>)>(&bytes, 9), Err(DecodeError::TooLong { len: 10, max: 9 }));
        assert_eq!(decode::<(u32, Vec<u8>)>(&bytes[..9], 64), Err(DecodeError::Malformed));
        let mut longer = bytes;
        longer.push(0);
        assert_eq!(decode::<(u32, Vec<u8>)>(&longer, 64), Err(DecodeError::Malformed));
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        let bytes = u32::MAX.to_le_bytes();
        assert_eq!(decode::<Vec<u64>>(&bytes, 64), Err(DecodeError::Malformed));
    }
}
