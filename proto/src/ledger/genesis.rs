//! What founds a network: its parameters, money, validators and first providers.
//!
//! A genesis file is this in TOML. Its hash is the chain's id, which every signature carries. `bootstrap` alone is not
//! hashed: where the first nodes are reached is advice, and may change.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    beacon::BeaconKey,
    codec,
    id::{AccountId, Amount, BlockId, ChainId, Epoch, Height, NodeId, VoteKey},
    ledger::{
        action::{check_bond, check_offer, check_power_shares, check_seat},
        apply::seal,
        draft::Draft,
        epoch,
        error::TxError,
        history::Peaks,
        load::FeeFactor,
        state::{
            Changes, Charter, Domain, EpochRecord, Key, Membership, Provider, ProviderStatus, Record, Records, Running,
            Tip, Validator, ValidatorStatus,
        },
        tree::Nodes,
        vote::ValidatorSet,
    },
    limits,
    params::{FILE_NUMBER_MAX, Params, ParamsError},
};

/// The version of the rules that every network begins with.
const FIRST_PROTOCOL: u32 = 1;

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

/// A validator that is there from the start. Its bond is minted with it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisValidator {
    /// The account that bonded, and that speaks for it.
    pub owner: AccountId,
    /// What its votes are signed with.
    pub key: VoteKey,
    /// Its node.
    pub node: NodeId,
    /// libp2p addresses of the node, without the peer id.
    pub addresses: Vec<String>,
    /// Its BLS key, which signs the beacon: 96 bytes, compressed G2, hexadecimal.
    pub beacon_key: BeaconKey,
    /// Money locked, which its power follows from.
    pub bond: Amount,
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
    /// Who may take part, and who decides.
    #[serde(default)]
    pub membership: Membership,
    /// Its parameter table.
    #[serde(default)]
    pub params: Params,
    /// Accounts that begin with money.
    #[serde(default)]
    pub accounts: Vec<GenesisAccount>,
    /// Who decides the first blocks: 1 to [`limits::VALIDATORS`].
    pub validators: Vec<GenesisValidator>,
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
    /// Name a council.
    #[error("a council has 1 to {max} accounts, the genesis names {have}", max = limits::COUNCIL)]
    Council {
        /// How many it names.
        have: usize,
    },
    /// Write a smaller number.
    #[error("{name} is {value}, at most {FILE_NUMBER_MAX} is possible")]
    TooLarge {
        /// What is too large.
        name: &'static str,
        /// What it is.
        value: u64,
    },
    /// Name as many validators as a network can have.
    #[error("a network begins with 1 to {max} validators, the genesis names {have}", max = limits::VALIDATORS)]
    Validators {
        /// How many it names.
        have: usize,
    },
    /// Change what the validator says of itself.
    #[error("validator {key}: {error}")]
    Validator {
        /// Which validator.
        key: VoteKey,
        /// What is wrong.
        error: TxError,
    },
    /// Give each validator keys of its own.
    #[error("validator {0} shares a key with another: vote key, node and beacon key are each one's own")]
    ValidatorTwice(VoteKey),
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
        let Self { name, time_ms, bootstrap: _, membership, params, accounts, validators, providers } = self;
        blake3::hash(&codec::encode(&(name, time_ms, membership, params, accounts, validators, providers))).into()
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
        let providers = self.params.bonds.provider.0.checked_mul(count).map(Amount)?;
        self.validators.iter().try_fold(providers, |sum, validator| sum.plus(validator.bond))
    }

    /// Who decides the first blocks.
    pub fn validator_set(&self) -> ValidatorSet {
        let power = |validator: &GenesisValidator| self.membership.power(validator.bond);
        ValidatorSet::new(self.validators.iter().map(|validator| (validator.key, power(validator))))
    }

    /// The state that the network begins with, at height 0.
    ///
    /// # Panics
    /// When it mints more money than there can be, which [`Genesis::validate`] refuses.
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
            draft.put_provider(self.provider(provider));
            admit(&mut draft, &self.membership, Key::AdmittedProvider(provider.node));
        }
        for validator in &self.validators {
            draft.put_validator(self.validator(validator));
            admit(&mut draft, &self.membership, Key::AdmittedValidator(validator.key));
        }
        let (epoch, roster) = (Epoch(0), epoch::roster(&draft.providers()));
        let beacon = epoch::beacon(&chain, &[], epoch);
        draft.put(Key::Epoch(epoch), Record::Epoch(EpochRecord { epoch, beacon, roster }));
        seal(&empty, draft, Vec::new())
    }

    fn tip(&self, chain: &ChainId) -> Tip {
        let valid = "a valid genesis mints no more than there can be";
        let running = Running {
            time_ms: self.time_ms,
            epoch: Epoch(0),
            beacons: Vec::new(),
            history: Peaks::default(),
            minted: self.minted().expect(valid),
            bonded: self.bonded().expect(valid),
            escrowed: Amount::ZERO,
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
            bond: self.params.bonds.provider,
            status: ProviderStatus::Active,
        }
    }
}

/// Whoever founds a network that not everyone may join, may leave it and come again.
fn admit(draft: &mut Draft<'_>, membership: &Membership, key: Key) {
    if !membership.is_open() {
        draft.put(key, Record::Mark);
    }
}

fn at_most(name: &'static str, value: u64) -> Result<(), GenesisError> {
    if value > FILE_NUMBER_MAX { Err(GenesisError::TooLarge { name, value }) } else { Ok(()) }
}

/// The records before there are any.
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

    fn get(&self, _: &Key) -> Option<Record> {
        None
    }

    fn scan(&self, _: &Key, _: &Key, _: usize) -> Vec<(Key, Record)> {
        Vec::new()
    }
}
