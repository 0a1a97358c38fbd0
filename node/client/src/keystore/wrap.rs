//! How a data key lies on disk: plain, for machines that start by themselves, or under a passphrase.
//!
//! A passphrase goes through Argon2id, which makes each guess cost memory and time, and the result opens the data key.
//! The cost is stored beside it, so that it can grow and tests need not wait; what a file asks for is bounded before
//! anything is computed.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::{Zeroize, Zeroizing};

use super::{
    Passphrase,
    data_key::{DataKey, Purpose, Sealed},
};

/// What a guess of a passphrase costs.
///
/// The default is 64 MiB of memory, 3 passes and 1 lane, as RFC 9106 recommends where memory is scarce: about 0.1 s on
/// a processor of today, for a person who unlocks as for one who guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Cost {
    /// Memory, in KiB: 8 to 1,048,576.
    pub memory_kib: u32,
    /// Passes over the memory: 1 to 64.
    pub passes: u32,
    /// Lanes, which could be computed side by side: 1 to 16.
    pub lanes: u32,
}

impl Default for Cost {
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 }
    }
}

impl Cost {
    /// The least there is: protects nothing, and is for tests.
    pub const LEAST: Self = Self { memory_kib: 8, passes: 1, lanes: 1 };

    /// Argon2id with these parameters; `None` where they are out of bounds.
    fn hash(self) -> Option<Argon2<'static>> {
        let Self { memory_kib, passes, lanes } = self;
        let bounded = memory_kib <= 1 << 20 && passes <= 64 && lanes <= 16;
        let params = Params::new(memory_kib, passes, lanes, Some(32)).ok().filter(|_| bounded)?;
        Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

/// How the secrets of a profile are protected where they lie.
#[derive(Clone, Copy, Debug)]
pub enum Protection<'a> {
    /// By the file system alone (mode 0600): for machines that have nobody to type a passphrase.
    None,
    /// By a passphrase, each guess of which costs this much.
    Passphrase(&'a Passphrase, Cost),
}

/// Why a data key does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnlockError {
    /// It is under a passphrase, and none was given.
    #[error("it is protected by a passphrase, and none was given")]
    Locked,
    /// The passphrase is another.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// The file asks for more memory or time than is ever needed.
    #[error("it is damaged: its passphrase parameters are out of bounds")]
    Cost,
}

/// A data key as it lies on disk.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Wrapped {
    /// As it is.
    Plain(DataKey),
    /// Under a passphrase.
    Passphrase { cost: Cost, salt: [u8; 16], key: Sealed },
}

impl Wrapped {
    /// Wraps `key`.
    ///
    /// # Errors
    /// When the system has no random bytes.
    ///
    /// # Panics
    /// When the cost is out of the bounds that [`Cost`] names.
    pub(crate) fn new(key: &DataKey, protection: &Protection<'_>) -> Result<Self, getrandom::Error> {
        let Protection::Passphrase(passphrase, cost) = protection else { return Ok(Self::Plain(key.clone())) };
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)?;
        let derived = derive(passphrase, *cost, &salt).expect("the cost is within the bounds of its documentation");
        Ok(Self::Passphrase { cost: *cost, salt, key: derived.seal(Purpose::Wrapped, key.bytes())? })
    }

    /// Whether it opens with a passphrase only.
    pub(crate) const fn needs_passphrase(&self) -> bool {
        matches!(self, Self::Passphrase { .. })
    }

    /// The key itself. A passphrase for a key that lies there plain is not looked at.
    pub(crate) fn open(&self, passphrase: Option<&Passphrase>) -> Result<DataKey, UnlockError> {
        let (cost, salt, key) = match self {
            Self::Plain(key) => return Ok(key.clone()),
            Self::Passphrase { cost, salt, key } => (cost, salt, key),
        };
        let derived = derive(passphrase.ok_or(UnlockError::Locked)?, *cost, salt).ok_or(UnlockError::Cost)?;
        let bytes = derived.open(Purpose::Wrapped, key).map_err(|_| UnlockError::WrongPassphrase)?;
        bytes.as_slice().try_into().map(DataKey::new).map_err(|_| UnlockError::WrongPassphrase)
    }
}

/// The key that follows from a passphrase; `None` where the cost is out of bounds.
fn derive(passphrase: &Passphrase, cost: Cost, salt: &[u8; 16]) -> Option<DataKey> {
    let mut key = Zeroizing::new([0; 32]);
    cost.hash()?.hash_password_into(passphrase.bytes(), salt, key.as_mut()).ok()?;
    let derived = DataKey::new(*key);
    key.zeroize();
    Some(derived)
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.needs_passphrase() { "Wrapped::Passphrase(..)" } else { "Wrapped::Plain(..)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text).expect("good")
    }

    #[test]
    fn opens_with_its_passphrase_only() {
        let key = DataKey::new([1; 32]);
        let plain = Wrapped::new(&key, &Protection::None).expect("wrapped");
        assert_eq!(plain.open(None).as_ref(), Ok(&key));
        let wrapped = Wrapped::new(&key, &Protection::Passphrase(&passphrase("right"), Cost::LEAST)).expect("wrapped");
        assert_eq!(wrapped.open(Some(&passphrase("right"))).as_ref(), Ok(&key));
        assert_eq!(wrapped.open(Some(&passphrase("Right"))), Err(UnlockError::WrongPassphrase));
        assert_eq!(wrapped.open(None), Err(UnlockError::Locked));
        assert_eq!((plain.needs_passphrase(), wrapped.needs_passphrase()), (false, true));
        assert!(!ostrakon_proto::codec::encode(&wrapped).windows(32).any(|window| window == [1; 32]));
    }

    #[test]
    fn a_file_cannot_ask_for_all_memory_or_forever() {
        let check = |cost: Cost| {
            let sealed = DataKey::new([1; 32]).seal(Purpose::Wrapped, &[1; 32]).expect("sealed");
            let wrapped = Wrapped::Passphrase { cost, salt: [0; 16], key: sealed };
            assert_eq!(wrapped.open(Some(&passphrase("x"))), Err(UnlockError::Cost), "{cost:?}");
        };
        check(Cost { memory_kib: u32::MAX, ..Cost::LEAST });
        check(Cost { memory_kib: 0, ..Cost::LEAST });
        check(Cost { passes: u32::MAX, ..Cost::LEAST });
        check(Cost { passes: 0, ..Cost::LEAST });
        check(Cost { lanes: 17, memory_kib: 1024, ..Cost::LEAST });
    }
}
