//! The genesis of a network whose members gave their cards, or everything that is wrong with these.
//!
//! Each owner begins with enough for fees; bonds are minted, as the ledger's rules ask for them. Not here: what a
//! genesis must be besides, which [`Genesis::validate`] says.

use std::collections::BTreeMap;

use ostrakon_proto::{
    id::{AccountId, Amount},
    ledger::{Genesis, GenesisAccount, GenesisError, GenesisProvider, GenesisValidator, state::Membership},
    params::{Audits, Bonds, Governance, Params, Repair, Timing},
};

use super::{Card, Member};
use crate::config::announced;

/// What the owner of each member begins with, in obols: enough for fees.
const POCKET: u64 = 1_000;

/// What a network is to be, but for its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founding {
    /// Its name.
    pub name: String,
    /// When it begins, in milliseconds of Unix time.
    pub time_ms: u64,
    /// Its parameters.
    pub params: Params,
    /// Balances of accounts, beside what owners begin with.
    pub funds: Vec<(AccountId, Amount)>,
}

impl Founding {
    /// The genesis with the members of these cards, each of which came from a source of this name.
    ///
    /// # Errors
    /// All that is wrong, each with the source of the card that is.
    pub fn genesis(self, cards: &[(String, Card)]) -> Result<Genesis, Vec<String>> {
        let mut wrong: Vec<String> = cards.iter().flat_map(|(source, card)| wrong_with(source, card)).collect();
        wrong.extend(shared(cards));
        let members: Vec<&Member> = cards.iter().map(|(_, card)| &card.member).collect();
        let accounts = self.accounts(&members);
        let genesis = Genesis {
            name: self.name,
            time_ms: self.time_ms,
            bootstrap: members.iter().flat_map(|member| dialled(member)).collect(),
            membership: Membership::Permissionless,
            validators: members.iter().filter_map(|member| validator(member, &self.params.bonds)).collect(),
            providers: members.iter().map(|member| provider(member)).collect(),
            params: self.params,
            accounts: accounts.ok_or_else(|| vec![GenesisError::TooMuchMoney.to_string()])?,
        };
        if wrong.is_empty() {
            wrong.extend(genesis.validate().err().map(|error| explained(&error, cards)));
        }
        if wrong.is_empty() { Ok(genesis) } else { Err(wrong) }
    }

    /// All accounts with their balances; nothing past the largest amount.
    fn accounts(&self, members: &[&Member]) -> Option<Vec<GenesisAccount>> {
        let mut balances: BTreeMap<AccountId, Amount> = BTreeMap::new();
        for member in members {
            balances.insert(member.owner, Amount::obols(POCKET)?);
        }
        for (account, amount) in &self.funds {
            let balance = balances.entry(*account).or_insert(Amount::ZERO);
            *balance = balance.plus(*amount)?;
        }
        Some(balances.into_iter().map(|(account, balance)| GenesisAccount { account, balance }).collect())
    }
}

/// Default parameters with epochs of so many seconds: what is counted in epochs takes as long as by default.
pub fn params(epoch_seconds: u64) -> Params {
    let default = Params::default();
    let epoch_ms = epoch_seconds.max(1).saturating_mul(1_000);
    let hours = |epochs: u64| epochs.saturating_mul(default.time.epoch_ms).div_ceil(epoch_ms).max(2);
    let blocks = epoch_ms / default.time.block_ms;
    Params {
        time: Timing {
            epoch_ms,
            window_blocks: (blocks / 4).clamp(2, default.time.window_blocks),
            beacon_blocks: (blocks / 8).clamp(1, default.time.beacon_blocks),
            trash_epochs: hours(default.time.trash_epochs),
            ..default.time
        },
        draw_epochs: hours(default.draw_epochs),
        term_epochs: hours(default.term_epochs),
        audits: Audits {
            probation_epochs: hours(default.audits.probation_epochs),
            ramp_epochs: hours(default.audits.ramp_epochs),
            maintenance_epochs: hours(default.audits.maintenance_epochs),
            maintenance_every: hours(default.audits.maintenance_every),
            ..default.audits
        },
        bonds: Bonds {
            pay_epochs: hours(default.bonds.pay_epochs),
            unbonding_epochs: hours(default.bonds.unbonding_epochs),
            ..default.bonds
        },
        repair: Repair {
            suspect_epochs: hours(default.repair.suspect_epochs),
            turn_epochs: hours(default.repair.turn_epochs).min(hours(default.draw_epochs) / 2),
            forfeit_epochs: hours(default.repair.forfeit_epochs),
            lost_epochs: hours(default.repair.lost_epochs),
            ..default.repair
        },
        governance: Governance { proposal_epochs: hours(default.governance.proposal_epochs), ..default.governance },
        ..default
    }
}

fn wrong_with(source: &str, card: &Card) -> Vec<String> {
    let Member { addresses, domain, .. } = &card.member;
    let mut wrong: Vec<String> = card.verify().err().map(|error| format!("{source} {error}")).into_iter().collect();
    for address in addresses {
        wrong.extend(announced(address).err().map(|reason| format!("{source}: address {address:?} {reason}")));
    }
    if !domain.is_valid() {
        wrong.push(format!(
            "{source}: invalid domain \"{domain}\": need OPERATOR/INFRASTRUCTURE/REGION, each of 1 to 64 characters of \
             a-z 0-9 . _ -"
        ));
    }
    wrong
}

/// What must be of one member alone: its node, its addresses and its vote key.
fn shared(cards: &[(String, Card)]) -> Vec<String> {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (source, card) in cards {
        let Member { node, addresses, validator, .. } = &card.member;
        let vote_key = validator.map(|keys| format!("validator {}", keys.key));
        let all = [format!("node {node}")].into_iter().chain(vote_key);
        for what in all.chain(addresses.iter().map(|address| format!("address {address}"))) {
            let earlier = owners.insert(what.clone(), source);
            wrong.extend(
                earlier.map(|earlier| format!("{source}: {what} is in {earlier} too; each member has its own")),
            );
        }
    }
    wrong
}

/// The error, with the source of the card that it is about.
fn explained(error: &GenesisError, cards: &[(String, Card)]) -> String {
    let is_meant = |member: &Member| match error {
        GenesisError::Validator { key, .. } => member.validator.is_some_and(|validator| validator.key == *key),
        GenesisError::Provider { node, .. } => member.node == *node,
        _ => false,
    };
    match (error, cards.iter().find(|(_, card)| is_meant(&card.member))) {
        (GenesisError::Validators { have: 0 }, _) => {
            "no card has a validator key: at least one member must vote on blocks, better four, of which one may fail"
                .to_owned()
        }
        (_, Some((source, _))) => format!("{source}: {error}"),
        (_, None) => error.to_string(),
    }
}

fn dialled(member: &Member) -> impl Iterator<Item = String> {
    member.addresses.iter().map(|address| format!("{address}/p2p/{}", member.node))
}

fn validator(member: &Member, bonds: &Bonds) -> Option<GenesisValidator> {
    let keys = member.validator?;
    let Member { owner, node, addresses, domain, .. } = member.clone();
    let bond = bonds.validator;
    Some(GenesisValidator { owner, key: keys.key, node, addresses, beacon_key: keys.beacon_key, bond, domain })
}

fn provider(member: &Member) -> GenesisProvider {
    let Member { owner, node, addresses, price_obols, capacity_bytes, domain, .. } = member.clone();
    GenesisProvider {
        owner,
        node,
        addresses,
        price: price_obols,
        capacity: capacity_bytes,
        bond: None,
        proven: None,
        domain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::founding::card::tests::card;

    fn founding() -> Founding {
        let funds = vec![(AccountId::new([9; 32]), Amount(5)), (card(1, false).member.owner, Amount(7))];
        Founding { name: "tideline".to_owned(), time_ms: 1, params: params(3_600), funds }
    }

    fn cards(all: impl IntoIterator<Item = Card>) -> Vec<(String, Card)> {
        all.into_iter().zip('a'..).map(|(card, name)| (format!("{name}.toml"), card)).collect()
    }

    #[test]
    fn all_members_are_in_the_genesis_with_their_bonds_and_enough_for_fees() {
        let cards = cards((1..=6).map(|number| card(number, number <= 4)));
        let genesis = founding().genesis(&cards).expect("valid");
        assert_eq!((genesis.validators.len(), genesis.providers.len(), genesis.bootstrap.len()), (4, 6, 6));
        assert!(genesis.bootstrap[5].starts_with("/ip4/192.0.2.6/tcp/4001/p2p/ostnode1"), "{:?}", genesis.bootstrap);
        let balance = |account: AccountId| {
            genesis.accounts.iter().find(|entry| entry.account == account).map(|entry| entry.balance.0)
        };
        assert_eq!(balance(AccountId::new([9; 32])), Some(5));
        assert_eq!(balance(cards[0].1.member.owner), Some(1_000_000_007), "what it is given, beside the fees");
        assert_eq!(balance(cards[5].1.member.owner), Some(1_000_000_000));
    }

    #[test]
    fn everything_wrong_is_named_with_its_card() {
        let check = |all: Vec<Card>, expect: &[&str]| {
            let wrong = founding().genesis(&cards(all)).err().unwrap_or_default();
            let names = |(line, expect): (&String, &&str)| expect.split(" .. ").all(|part| line.contains(part));
            assert!(wrong.len() == expect.len() && wrong.iter().zip(expect).all(names), "{wrong:#?}, not {expect:#?}");
        };
        check(vec![card(1, true)], &[]);
        check(vec![card(1, false), card(2, false)], &["no card has a validator key"]);
        let mut changed = card(2, false);
        changed.member.addresses = vec!["192.0.2.9:4001".to_owned()];
        check(
            vec![card(1, true), changed],
            &["b.toml is not signed by its node", "b.toml: address \"192.0.2.9:4001\" .. /ip4/192.0.2.9/tcp/4001"],
        );
        let twice = ["b.toml: node .. is in a.toml too", "b.toml: validator .. a.toml", "b.toml: address .. a.toml"];
        check(vec![card(1, true), card(1, true)], &twice);
    }

    #[test]
    fn with_shorter_epochs_everything_takes_as_long() {
        assert_eq!(params(3_600), Params { time: Params::default().time, ..Params::default() });
        let short = params(10);
        assert_eq!(short.validate(), Ok(()));
        assert_eq!((short.time.window_blocks, short.time.beacon_blocks), (2, 1));
        assert_eq!((short.draw_epochs, short.bonds.unbonding_epochs), (24 * 360, 504 * 360));
        assert_eq!(params(1).validate(), Ok(()));
    }
}
