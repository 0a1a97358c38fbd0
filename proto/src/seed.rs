//! Seeds: the 32 random bytes from which a key pair follows, and their one text form (SPEC, "Key files").
//!
//! `ostsecret1...` in bech32m, for accounts, nodes and validators alike: the checksum finds a mistyped or cut copy, and
//! the first letters tell anyone who meets one that it is a secret. Nothing here prints it: there is no `Display`, and
//! `Debug` hides it. Files are not here.

use std::{fmt, str::FromStr};

use bech32::{Bech32m, Hrp, primitives::decode::CheckedHrpstring};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const PREFIX: &str = "ostsecret";

/// The secret from which a key pair follows. Gone from memory when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

/// The text is not a seed. The error does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a secret key ({PREFIX}1...): was it cut or changed?")]
pub struct InvalidSeed;

impl Seed {
    /// The seed of these bytes, which must be random and used for nothing else.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its text form, for its owner alone.
    pub fn text(&self) -> Zeroizing<String> {
        let prefix = Hrp::parse(PREFIX).expect("the prefix is lower-case letters");
        Zeroizing::new(bech32::encode::<Bech32m>(prefix, &self.0).expect("32 bytes are far below bech32's limit"))
    }
}

impl From<Zeroizing<[u8; 32]>> for Seed {
    fn from(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(*bytes)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

impl FromStr for Seed {
    type Err = InvalidSeed;

    /// White space around the text is not part of it.
    fn from_str(text: &str) -> Result<Self, InvalidSeed> {
        let parsed = CheckedHrpstring::new::<Bech32m>(text.trim()).map_err(|_| InvalidSeed)?;
        if parsed.hrp().as_str() != PREFIX {
            return Err(InvalidSeed);
        }
        let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(parsed.byte_iter().collect());
        bytes.as_slice().try_into().map(Self).map_err(|_| InvalidSeed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::AccountId, sign::Keypair};

    #[test]
    fn one_text_and_no_other() {
        let seed = Seed::new([7; 32]);
        let text = seed.text();
        assert!(text.starts_with("ostsecret1"), "{}", text.len());
        for valid in [text.to_string(), format!(" {}\r\n", *text)] {
            assert_eq!(valid.parse(), Ok(seed.clone()));
        }
        let account: AccountId = Keypair::from_seed(seed.bytes()).public();
        let mut changed = text.to_string();
        changed.pop();
        for bad in [String::new(), "07".repeat(32), account.to_string(), text[1..].to_owned(), changed] {
            assert_eq!(bad.parse::<Seed>(), Err(InvalidSeed));
        }
    }

    #[test]
    fn neither_debug_nor_errors_show_it() {
        assert_eq!(format!("{:?}", Seed::new([0xab; 32])), "Seed(..)");
        assert!(!InvalidSeed.to_string().contains("ab"));
    }
}
