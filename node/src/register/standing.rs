//! Where the registration of a node stands, in words for its operator: what it waits for, or from when on it is drawn.

use std::fmt::{self, Display};

use ostrakon_proto::id::{AccountId, Amount, Epoch};

/// Where the registration of a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The ledger has the offer, as far as it takes it.
    Registered {
        /// The epoch that it is drawn from, or has been drawn from; `None` when nothing of it is free.
        drawn_from: Option<Epoch>,
    },
    /// The owner's account has too little for the bond and the fee.
    Unfunded {
        /// The account.
        owner: AccountId,
        /// What it has.
        have: Amount,
        /// What it needs.
        need: Amount,
    },
    /// The ledger is told of the offer.
    Pending,
}

impl Standing {
    /// What is missing, in whole obols: fees change a little.
    fn missing(have: Amount, need: Amount) -> Amount {
        Amount(need.0.saturating_sub(have.0).div_ceil(Amount::OBOL.0).saturating_mul(Amount::OBOL.0))
    }
}

impl Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered { drawn_from: Some(epoch) } => {
                write!(f, "registered; draws count it from epoch {epoch} on")
            }
            Self::Registered { drawn_from: None } => f.write_str(
                "registered, but gets no new columns: no free capacity is covered by the bond; raise `bond_obols` \
                 or `capacity_bytes` in [provider]",
            ),
            Self::Unfunded { owner, have, need } => {
                let missing = Self::missing(*have, *need);
                write!(
                    f,
                    "waits for money: the owner's account {owner} has {have} obols, and bond and fee need {need}; send \
                     it at least {missing} by `ostrakon wallet send {owner} {missing}`"
                )
            }
            Self::Pending => f.write_str("the ledger is being told of the offer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_command() {
        let owner = AccountId::new([7; 32]);
        let unfunded = Standing::Unfunded { owner, have: Amount(1_500_000), need: Amount(100_001_200) };
        let (words, command) = (unfunded.to_string(), format!("`ostrakon wallet send {owner} 99`"));
        assert!(words.contains(&format!("{owner} has 1.5 obols")) && words.contains(&command), "{words}");
        let registered = Standing::Registered { drawn_from: Some(Epoch(7)) };
        assert!(registered.to_string().contains("from epoch 7 on"), "{registered}");
    }
}
