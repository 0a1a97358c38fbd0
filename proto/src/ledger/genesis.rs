//! What founds a network: its parameters, money, validators and first providers.
//!
//! A genesis file is this in TOML. Its hash is the chain's id, which every signature carries. `bootstrap` alone is not
//! hashed: where the first nodes are reached is advice, and may change.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    codec,
    id::{AccountId, Amount, BlockId, ChainId, Epoch, Height, NodeId},
    ledger::{
        action::{check_offer, is_weak},
        epoch,
        error::TxError,
        state::{Account, Changes, Domain, EpochRecord, Provider, ProviderStatus, Tip, Validator},
    },
    limits,
    params::{FILE_NUMBER_MAX, Params, ParamsError},
};

/// An account that begins with money.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// Which.
    pub account: AccountId,
    /// How much.
    pub balance: Amount,
}

/// A provider that is there from the start. Its bond is minted with it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisProvider {
    /// The account that is paid.
    pub owner: AccountId,
    /// Its node.
    pub node: NodeId,
    /// libp2p addresses without the peer id.
    pub addresses: Vec<String>,
    /// Price of one GiB for one epoch.
    pub price: Amount,
    /// Bytes it offers.
    pub capacity: u64,
    /// What it fails together with.
    pub domain: Domain,
}

/// The founding of a network. Fields that are tables come last, as TOML wants them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The network's name.
    pub name: String,
    /// When it begins, in milliseconds of Unix time.
    pub time_ms: u64,
    /// Multiaddrs with `/p2p/` of nodes to begin with. Not part of the chain's id.
    #[serde(default)]
    pub bootstrap: Vec<String>,
    /// Its parameter table.
    #[serde(default)]
    pub params: Params,
    /// Accounts that begin with money.
    #[serde(default)]
    pub accounts: Vec<GenesisAccount>,
    /// Who may propose blocks.
    pub validators: Vec<Validator>,
    /// Providers that are there from the start.
    #[serde(default)]
    pub providers: Vec<GenesisProvider>,
}

/// What is wrong with a genesis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// Name the network.
    #[error("name must have 1 to {max} characters", max = limits::NAME)]
    Name,
    /// Change the parameter it names.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// Write a smaller number.
    #[error("{name} is {value}, at most {FILE_NUMBER_MAX} is possible")]
    TooLarge {
        /// What is too large.
        name: &'static str,
        /// What it is.
        value: u64,
    },
    /// Name exactly one validator.
    #[error("the solo order has one validator, the genesis names {have}")]
    Validators {
        /// How many it names.
        have: usize,
    },
    /// Make the validator a proper node key.
    #[error("validator {node} has a weak key, for which anyone can sign")]
    WeakKey {
        /// Which validator.
        node: NodeId,
    },
    /// Give the validator votes.
    #[error("validator {node} has no power")]
    NoPower {
        /// Which validator.
        node: NodeId,
    },
    /// Name each account once.
    #[error("account {0} stands twice")]
    AccountTwice(AccountId),
    /// Name each provider once.
    #[error("provider {0} stands twice")]
    ProviderTwice(NodeId),
    /// Change what the provider says of itself.
    #[error("provider {node}: {error}")]
    Provider {
        /// Which provider.
        node: NodeId,
        /// What is wrong.
        error: TxError,
    },
    /// Mint less.
    #[error("balances and bonds together are more than {} obol", Amount(u64::MAX))]
    TooMuchMoney,
}

impl Genesis {
    /// The chain's id: the hash over everything but `bootstrap`.
    pub fn id(&self) -> ChainId {
        let Self { name, time_ms, bootstrap: _, params, accounts, validators, providers } = self;
        blake3::hash(&codec::encode(&(name, time_ms, params, accounts, validators, providers))).into()
    }

    /// Checks that a network can begin like this.
    ///
    /// # Errors
    /// [`GenesisError`] says what to change.
    pub fn validate(&self) -> Result<(), GenesisError> {
        if self.name.is_empty() || self.name.chars().count() > limits::NAME {
            return Err(GenesisError::Name);
        }
        at_most("time_ms", self.time_ms)?;
        self.params.validate()?;
        self.validate_validators()?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.accounts.iter().find(|account| !seen.insert(account.account)) {
            return Err(GenesisError::AccountTwice(twice.account));
        }
        self.validate_providers()?;
        self.minted().map(|_| ()).ok_or(GenesisError::TooMuchMoney)
    }

    /// Until an order with votes exists, a second validator could decide a second block of the same height.
    fn validate_validators(&self) -> Result<(), GenesisError> {
        let [validator] = self.validators.as_slice() else {
            return Err(GenesisError::Validators { have: self.validators.len() });
        };
        if is_weak(&validator.node) {
            return Err(GenesisError::WeakKey { node: validator.node });
        }
        at_most("validator power", validator.power)?;
        if validator.power == 0 { Err(GenesisError::NoPower { node: validator.node }) } else { Ok(()) }
    }

    fn validate_providers(&self) -> Result<(), GenesisError> {
        let mut seen = BTreeSet::new();
        for provider in &self.providers {
            let node = provider.node;
            if !seen.insert(node) {
                return Err(GenesisError::ProviderTwice(node));
            }
            at_most("provider capacity", provider.capacity)?;
            check_offer(&node, &provider.addresses, &provider.domain)
                .map_err(|error| GenesisError::Provider { node, error })?;
        }
        Ok(())
    }

    /// All money; `None` past the largest amount.
    fn minted(&self) -> Option<Amount> {
        let balances = self.accounts.iter().try_fold(Amount::ZERO, |sum, account| sum.plus(account.balance))?;
        balances.plus(self.bonded()?)
    }

    fn bonded(&self) -> Option<Amount> {
        let count = u64::try_from(self.providers.len()).ok()?;
        self.params.provider_bond.0.checked_mul(count).map(Amount)
    }

    /// The state that the network begins with, at height 0.
    ///
    /// # Panics
    /// When it mints more money than there can be, which [`Genesis::validate`] refuses.
    pub fn changes(&self) -> Changes {
        let chain = self.id();
        let providers: BTreeMap<NodeId, Provider> =
            self.providers.iter().map(|provider| (provider.node, self.provider(provider))).collect();
        let mix = epoch::first_mix(&chain);
        let record = EpochRecord {
            epoch: Epoch(0),
            beacon: epoch::beacon(&mix, Epoch(0)),
            roster: epoch::roster(&providers.values().cloned().collect::<Vec<_>>()),
        };
        let mut changes = Changes::new(self.tip(&chain, mix));
        let account = |entry: &GenesisAccount| (entry.account, Account { balance: entry.balance, nonce: 0 });
        changes.accounts = self.accounts.iter().map(account).collect();
        changes.providers = providers.into_iter().map(|(node, provider)| (node, Some(provider))).collect();
        changes.epochs = BTreeMap::from([(Epoch(0), Some(record))]);
        changes.tip.digest = changes.digest();
        changes
    }

    fn tip(&self, chain: &ChainId, mix: [u8; 32]) -> Tip {
        let valid = "a valid genesis mints no more than there can be";
        Tip {
            height: Height(0),
            block: BlockId::new(*chain.bytes()),
            time_ms: self.time_ms,
            epoch: Epoch(0),
            mix,
            digest: [0; 32],
            minted: self.minted().expect(valid),
            bonded: self.bonded().expect(valid),
            escrowed: Amount::ZERO,
            burnt: Amount::ZERO,
        }
    }

    fn provider(&self, provider: &GenesisProvider) -> Provider {
        Provider {
            owner: provider.owner,
            node: provider.node,
            addresses: provider.addresses.clone(),
            domain: provider.domain.clone(),
            price: provider.price,
            capacity: provider.capacity,
            used: 0,
            bond: self.params.provider_bond,
            status: ProviderStatus::Active,
        }
    }
}

fn at_most(name: &'static str, value: u64) -> Result<(), GenesisError> {
    if value > FILE_NUMBER_MAX { Err(GenesisError::TooLarge { name, value }) } else { Ok(()) }
}
