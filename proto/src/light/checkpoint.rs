//! A block that a user or operator trusts: the chain that they follow has it, or is another chain.
//!
//! A client that was offline for longer than validators are bonded cannot tell the chain from one that former
//! validators forged (weak subjectivity). A checkpoint from a trusted source can.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::id::{BlockId, Height};

/// The block at a height, written `HEIGHT:BLOCK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its height; not 0, which is the genesis.
    pub height: Height,
    /// The block.
    pub block: BlockId,
}

/// The text is not a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid checkpoint {0:?}: need HEIGHT:BLOCK, such as 120000:c0ff.., with the 64 digits of the block's id")]
pub struct InvalidCheckpoint(String);

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.height, self.block)
    }
}

impl FromStr for Checkpoint {
    type Err = InvalidCheckpoint;

    fn from_str(text: &str) -> Result<Self, InvalidCheckpoint> {
        let parse = || {
            let (height, block) = text.split_once(':')?;
            let height = height.parse().ok().filter(|height| *height > 0)?;
            Some(Self { height: Height(height), block: block.parse().ok()? })
        };
        parse().ok_or_else(|| InvalidCheckpoint(text.chars().take(128).collect()))
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
