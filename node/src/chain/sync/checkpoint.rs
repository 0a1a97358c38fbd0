//! A block that an operator believes in: the chain that this node is on has it, or is another one.
//!
//! Who was away for longer than validators are bonded cannot tell the chain from one that former validators made up
//! (weak subjectivity). A checkpoint, from people who are believed, can.

use std::{fmt, str::FromStr};

use ostrakon_proto::id::{BlockId, Height};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::chain::store::LedgerError;

/// The block of a height, written `HEIGHT:BLOCKID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its height; not 0, which the genesis says.
    pub height: Height,
    /// The block.
    pub block: BlockId,
}

impl Checkpoint {
    /// Checks a block of the chain.
    ///
    /// # Errors
    /// [`LedgerError::Checkpoint`] when it is another than that of the checkpoint.
    pub(in crate::chain) fn check(&self, height: Height, block: BlockId) -> Result<(), LedgerError> {
        if height != self.height || block == self.block {
            return Ok(());
        }
        Err(LedgerError::Checkpoint { height, expected: self.block, got: block })
    }
}

/// The text is no checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a checkpoint is HEIGHT:BLOCKID, as 120000:c0ff…, with the 64 digits of a block id; not {0:?}")]
pub struct NoCheckpoint(String);

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.height, self.block)
    }
}

impl FromStr for Checkpoint {
    type Err = NoCheckpoint;

    fn from_str(text: &str) -> Result<Self, NoCheckpoint> {
        let parse = || {
            let (height, block) = text.split_once(':')?;
            let height = height.parse().ok().filter(|height| *height > 0)?;
            Some(Self { height: Height(height), block: block.parse().ok()? })
        };
        parse().ok_or_else(|| NoCheckpoint(text.chars().take(128).collect()))
    }
}

impl Serialize for Checkpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Checkpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_it_is_read() {
        let text = format!("120000:{}", "ab".repeat(32));
        let checkpoint: Checkpoint = text.parse().expect("a checkpoint");
        assert_eq!((checkpoint.height, checkpoint.to_string()), (Height(120_000), text));
        for bad in ["", ":", "1", "1:", &format!("0:{}", "ab".repeat(32)), &format!("-1:{}", "ab".repeat(32))] {
            assert!(bad.parse::<Checkpoint>().is_err(), "{bad}");
        }
        let short = format!("1:{}", "ab".repeat(31));
        assert!(short.parse::<Checkpoint>().expect_err("short").to_string().contains(&short), "it says what it read");
    }
}
