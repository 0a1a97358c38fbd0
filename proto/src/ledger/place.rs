//! Where in the chain a transaction is: its block, the list of it, and its index there.

use std::{fmt, str::FromStr};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use crate::id::Height;

/// The list of a block that a transaction is in; the lists are executed in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TxList {
    /// It was applied.
    Applied,
    /// It failed after costly checks: it paid its fee, and did nothing else.
    Charged,
}

/// Place of a transaction, written `HEIGHT`, `HEIGHT/INDEX`, or `HEIGHT/charged/INDEX` for one that failed; places sort
/// in chain order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize)]
pub struct TxPlace {
    /// Height of the block.
    pub height: Height,
    /// List of the block.
    pub list: TxList,
    /// Index in the list.
    pub index: u32,
}

impl TxPlace {
    /// The place before all transactions of the block at this height.
    pub const fn start_of(height: Height) -> Self {
        Self { height, list: TxList::Applied, index: 0 }
    }

    /// Whether the transaction failed and was charged.
    pub const fn is_charged(&self) -> bool {
        matches!(self.list, TxList::Charged)
    }
}

/// The text is not a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid position {0:?}: need HEIGHT, HEIGHT/INDEX or HEIGHT/charged/INDEX, such as 812/3")]
pub struct InvalidPlace(String);

impl fmt::Display for TxPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { height, list: TxList::Applied, index: 0 } => write!(f, "{height}"),
            Self { height, list: TxList::Applied, index } => write!(f, "{height}/{index}"),
            Self { height, list: TxList::Charged, index } => write!(f, "{height}/charged/{index}"),
        }
    }
}

impl FromStr for TxPlace {
    type Err = InvalidPlace;

    fn from_str(text: &str) -> Result<Self, InvalidPlace> {
        let (height, place) = text.split_once('/').unwrap_or((text, "0"));
        let (list, index) = match place.strip_prefix("charged/") {
            Some(index) => (TxList::Charged, index),
            None => (TxList::Applied, place),
        };
        match (height.parse(), index.parse()) {
            (Ok(height), Ok(index)) => Ok(Self { height: Height(height), list, index }),
            _ => Err(InvalidPlace(text.chars().take(64).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_printed() {
        for text in ["0", "812", "812/3", "812/charged/0", "18446744073709551615/4294967295"] {
            assert_eq!(text.parse::<TxPlace>().map(|place| place.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "/", "/3", "3/", "-1", "1/2/3", "1/charged", "1/charged/", "1/applied/2", "1/4294967296", "x"]
        {
            assert!(text.parse::<TxPlace>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_failed_comes_after_what_was_applied() {
        let places =
            ["7/9", "8", "8/1", "8/charged/0", "8/charged/1", "9"].map(|text| text.parse::<TxPlace>().expect(text));
        assert!(places.is_sorted() && places[3].is_charged() && !places[2].is_charged());
    }
}
