//! The genesis of a network: its parameters, money, validators and first providers.
//!
//! A genesis file is this in TOML. Its hash is the chain's id, which every signature covers. Only `bootstrap` is not
//! hashed: the addresses of the first nodes are a hint, and may change.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    beacon::{self, BeaconKey},
    codec,
    id::{AccountId, Amount, BlockId, ChainId, Epoch, Height, NodeId, VoteKey},
    ledger::{
        action::{check_bond, check_least, check_offer, check_power_shares, check_seat},
        apply::seal,
        collateral::full_bond,
        draft::Draft,
        epoch,
        error::TxError,
        history::Peaks,
        load::FeeFactor,
        roster::{self, Listing, Rosters},
        state::{
            Audited, Changes, Charter, Domain, EpochClock, Key, Membership, Provider, ProviderStatus, Record, Records,
            Running, Tip, Validator, ValidatorStatus,
        },
        tree::Nodes,
        vote::ValidatorSet,
    },
    limits,
    params::{FILE_NUMBER_MAX, Params, ParamsError},
};

/// Protocol version that every network begins with.
const FIRST_PROTOCOL: u32 = 1;

/// An account with a balance at genesis.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// The account.
    pub account: AccountId,
    /// Its balance.
    pub balance: Amount,
}

/// A provider registered at genesis. Its bond is minted.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisProvider {
    /// The account that owns it and is paid.
    pub owner: AccountId,
    /// Its node.
    pub node: NodeId,
    /// libp2p addresses without the peer id.
    pub addresses: Vec<String>,
    /// Price of one GiB for one epoch.
    pub price: Amount,
    /// Bytes it offers.
    pub capacity: u64,
    /// Its bond; without one, as much as stands behind its whole capacity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bond: Option<Amount>,
    /// Bytes that count as proven from the start, so that it may be offered twice as many; none without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<u64>,
    /// Its failure domain.
    pub domain: Domain,
}

/// A validator at genesis. Its bond is minted.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisValidator {
    /// The account that owns it.
    pub owner: AccountId,
    /// Key of its votes.
    pub key: VoteKey,
    /// Its node.
    pub node: NodeId,
    /// libp2p addresses of the node, without the peer id.
    pub addresses: Vec<String>,
    /// Its BLS key, which signs the beacon: 96 bytes, compressed G2, hexadecimal.
    pub beacon_key: BeaconKey,
    /// Money locked, which determines its voting power.
    pub bond: Amount,
    /// Its failure domain.
    pub domain: Domain,
}

/// The genesis of a network. Fields that are tables come last, as TOML requires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The network's name.
    pub name: String,
    /// When it begins, in milliseconds of Unix time.
    pub time_ms: u64,
    /// Multiaddrs with `/p2p/` of the first nodes to connect to. Not part of the chain's id.
    #[serde(default)]
    pub bootstrap: Vec<String>,
    /// Who may take part, and who decides on proposals.
    #[serde(default)]
    pub membership: Membership,
    /// Its parameter table.
    #[serde(default)]
    pub params: Params,
    /// Accounts with a balance.
    #[serde(default)]
    pub accounts: Vec<GenesisAccount>,
    /// The first validators: 1 to [`limits::VALIDATORS`].
    pub validators: Vec<GenesisValidator>,
    /// The first providers.
    #[serde(default)]
    pub providers: Vec<GenesisProvider>,
}

/// Why a genesis is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// Name the network.
    #[error("invalid network name: 1 to {max} characters are needed", max = limits::NAME)]
    Name,
    /// Change the parameter it names.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// Name a council.
    #[error("invalid council: {have} accounts, 1 to {max} are needed", max = limits::COUNCIL)]
    Council {
        /// Number in the genesis.
        have: usize,
    },
    /// Write a smaller number.
    #[error("{name} = {value} is too large: at most {FILE_NUMBER_MAX} is possible")]
    TooLarge {
        /// The field.
        name: &'static str,
        /// Its value.
        value: u64,
    },
    /// Name as many validators as a network can have.
    #[error("invalid number of validators: {have}, 1 to {max} are needed", max = limits::VALIDATORS)]
    Validators {
        /// Number in the genesis.
        have: usize,
    },
    /// Correct the validator's entry.
    #[error("validator {key}: {error}")]
    Validator {
        /// The validator.
        key: VoteKey,
        /// Why it is invalid.
        error: TxError,
    },
    /// Give each validator keys of its own.
    #[error("validator {0} shares its vote key, node or beacon key with another: each validator needs its own")]
    ValidatorTwice(VoteKey),
    /// Name each account once.
    #[error("genesis names account {0} twice")]
    AccountTwice(AccountId),
    /// Name each provider once.
    #[error("genesis names provider {0} twice")]
    ProviderTwice(NodeId),
    /// Correct the provider's entry.
    #[error("provider {node}: {error}")]
    Provider {
        /// The provider.
        node: NodeId,
        /// Why it is invalid.
        error: TxError,
    },
    /// Mint less.
    #[error("too much money: balances and bonds together are over {} obols", Amount(u64::MAX))]
    TooMuchMoney,
}

impl Genesis {
    /// The chain's id: the hash over everything but `bootstrap`.
    pub fn id(&self) -> ChainId {
        let Self { name, time_ms, bootstrap: _, membership, params, accounts, validators, providers } = self;
        blake3::hash(&codec::encode(&(name, time_ms, membership, params, accounts, validators, providers))).into()
    }

    /// Checks that it is valid.
    ///
    /// # Errors
    /// [`GenesisError`] says what to change.
    pub fn validate(&self) -> Result<(), GenesisError> {
        if self.name.is_empty() || self.name.chars().count() > limits::NAME {
            return Err(GenesisError::Name);
        }
        at_most("time_ms", self.time_ms)?;
        self.params.validate()?;
        match &self.membership {
            Membership::Hybrid { council } if council.is_empty() || council.len() > limits::COUNCIL => {
                return Err(GenesisError::Council { have: council.len() });
            }
            _ => {}
        }
        self.validate_validators()?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.accounts.iter().find(|account| !seen.insert(account.account)) {
            return Err(GenesisError::AccountTwice(twice.account));
        }
        self.validate_providers()?;
        self.minted().map(|_| ()).ok_or(GenesisError::TooMuchMoney)
    }

    fn validate_validators(&self) -> Result<(), GenesisError> {
        let have = self.validators.len();
        if have == 0 || have > limits::VALIDATORS {
            return Err(GenesisError::Validators { have });
        }
        let (mut keys, mut nodes, mut beacons) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for validator in &self.validators {
            let key = validator.key;
            let is_new = keys.insert(key) && nodes.insert(validator.node) && beacons.insert(validator.beacon_key);
            if !is_new {
                return Err(GenesisError::ValidatorTwice(key));
            }
            let validator = self.validator(validator);
            check_seat(&validator)
                .and_then(|()| check_bond(&self.params, &validator))
                .map_err(|error| GenesisError::Validator { key, error })?;
        }
        let all: Vec<Validator> = self.validators.iter().map(|validator| self.validator(validator)).collect();
        check_power_shares(&self.params, &all).map_err(|(key, error)| GenesisError::Validator { key, error })
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
                .and_then(|()| check_least(&self.params, self.bond(provider)))
                .map_err(|error| GenesisError::Provider { node, error })?;
        }
        Ok(())
    }

    /// All money minted; `None` past the largest amount.
    fn minted(&self) -> Option<Amount> {
        let balances = self.accounts.iter().try_fold(Amount::ZERO, |sum, account| sum.plus(account.balance))?;
        balances.plus(self.bonded()?)
    }

    fn bonded(&self) -> Option<Amount> {
        let providers = self.providers.iter().map(|provider| self.bond(provider));
        let validators = self.validators.iter().map(|validator| validator.bond);
        providers.chain(validators).try_fold(Amount::ZERO, |sum, bond| sum.plus(bond))
    }

    fn bond(&self, provider: &GenesisProvider) -> Amount {
        provider.bond.unwrap_or_else(|| full_bond(&self.params.bonds, provider.capacity, provider.price))
    }

    /// The validators of the first block.
    pub fn validator_set(&self) -> ValidatorSet {
        let power = |validator: &GenesisValidator| self.membership.power(validator.bond);
        ValidatorSet::new(self.validators.iter().map(|validator| (validator.key, power(validator))))
    }

    /// The state that the network begins with, at height 0.
    ///
    /// # Panics
    /// When it mints more than the largest amount, which [`Genesis::validate`] rejects.
    pub fn changes(&self) -> Changes {
        let chain = self.id();
        let empty = EmptyRecords(self.tip(&chain));
        let mut draft = Draft::new(&empty);
        draft.put(Key::Params, Record::Params(self.params.clone()));
        let membership = self.membership.clone();
        draft.put_charter(Charter { membership, protocol: FIRST_PROTOCOL, upgrade: None, proposals: 0 });
        for entry in &self.accounts {
            draft.account_mut(&entry.account).balance = entry.balance;
        }
        for provider in &self.providers {
            draft.gain(&provider.owner);
            draft.put_provider(self.provider(provider));
            admit(&mut draft, &self.membership, Key::AdmittedProvider(provider.node));
        }
        for validator in &self.validators {
            draft.gain(&validator.owner);
            draft.put_validator(self.validator(validator));
            admit(&mut draft, &self.membership, Key::AdmittedValidator(validator.key));
        }
        roster::follow(&mut draft, &self.into());
        let clock = draft.running().clock;
        epoch::freeze(&mut draft, &clock);
        seal(&empty, draft, Vec::new())
    }

    fn tip(&self, chain: &ChainId) -> Tip {
        let valid = "a valid genesis mints no more than there can be";
        let running = Running {
            time_ms: self.time_ms,
            clock: EpochClock::genesis(self.time_ms),
            mix: beacon::first_mix(chain),
            turns_seed: beacon::first_mix(chain),
            history: Peaks::default(),
            minted: self.minted().expect(valid),
            bonded: self.bonded().expect(valid),
            escrowed: Amount::ZERO,
            pool: Amount::ZERO,
            burnt: Amount::ZERO,
            stored: 0,
            fee_factor: FeeFactor::ONE,
        };
        Tip { height: Height(0), block: BlockId::new(*chain.bytes()), state: [0; 32], running }
    }

    fn validator(&self, validator: &GenesisValidator) -> Validator {
        let GenesisValidator { owner, key, node, addresses, beacon_key, bond, domain } = validator.clone();
        Validator {
            owner,
            key,
            node,
            addresses,
            beacon_key,
            domain,
            bond,
            power: self.membership.power(bond),
            since: Height(0),
            status: ValidatorStatus::Active,
            missed: 0,
            skipped_until: Height(0),
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
            bond: self.bond(provider),
            collateral: Amount::ZERO,
            status: ProviderStatus::Active,
            listing: Listing::default(),
            audited: Audited { proven_bytes: provider.proven.unwrap_or(0), ..Audited::begun(Epoch(0)) },
        }
    }
}

/// Members at genesis of a permissioned network are admitted, so that they may leave and come back.
fn admit(draft: &mut Draft<'_>, membership: &Membership, key: Key) {
    if !membership.is_open() {
        draft.put(key, Record::Mark);
    }
}

fn at_most(name: &'static str, value: u64) -> Result<(), GenesisError> {
    if value > FILE_NUMBER_MAX { Err(GenesisError::TooLarge { name, value }) } else { Ok(()) }
}

/// The records before genesis: none.
#[derive(Debug)]
struct EmptyRecords(Tip);

impl Nodes for EmptyRecords {
    fn node(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

impl Records for EmptyRecords {
    fn tip(&self) -> Tip {
        self.0.clone()
    }

    fn rosters(&self) -> Rosters {
        Rosters::default()
    }

    fn get(&self, _: &Key) -> Option<Record> {
        None
    }

    fn scan(&self, _: &Key, _: &Key, _: usize) -> Vec<(Key, Record)> {
        Vec::new()
    }
}
