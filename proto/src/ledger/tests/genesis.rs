//! Founding a network.

use super::world::{World, alice, genesis, id, key, node_key, vote_key};
use crate::{
    beacon::BeaconKey,
    id::{Amount, Epoch, Height, NodeId, VoteKey},
    ledger::{
        Genesis, GenesisAccount, GenesisError, GenesisProvider, GenesisValidator, MemoryRecords, TxError, full_bond,
        state::Records,
    },
    limits,
    params::{FILE_NUMBER_MAX, ParamsError},
};

#[test]
fn a_network_begins_with_its_money_and_its_roster() {
    let world = World::founded(&genesis());
    let (tip, sums) = (world.state.tip(), world.state.sums());
    assert_eq!(
        (tip.height, tip.running.clock.epoch, tip.block.bytes()),
        (Height(0), Epoch(0), world.rules.chain.bytes())
    );
    assert_eq!(sums.balances, 3_000_000_000);
    let params = &world.rules.params;
    let behind = |provider: &GenesisProvider| full_bond(&params.bonds, provider.capacity, provider.price).0;
    let bonds = genesis().providers.iter().map(|provider| u128::from(behind(provider))).sum::<u128>()
        + 4 * u128::from(params.bonds.validator.0);
    assert_eq!(sums.bonds, bonds);
    assert_eq!(world.state.validator_set(), genesis().validator_set());
    world.check();
    assert_eq!(world.state.epoch(Epoch(0)).expect("frozen at the start").roster.providers.groups(), 14);
    assert_eq!(tip.running.clock.drawable(), None, "its beacon is still to be made");
}

#[test]
fn the_id_covers_everything_but_the_bootstrap() {
    let own = genesis().id();
    let check = |desc: &str, change: &dyn Fn(&mut Genesis), same: bool| {
        let mut genesis = genesis();
        change(&mut genesis);
        assert_eq!(genesis.id() == own, same, "{desc}");
    };
    check("nothing", &|_| {}, true);
    check("bootstrap", &|genesis| genesis.bootstrap.push("/dns4/a/tcp/1/p2p/12D3".to_owned()), true);
    check("name", &|genesis| genesis.name.push('2'), false);
    check("time", &|genesis| genesis.time_ms += 1, false);
    check("parameters", &|genesis| genesis.params.time.trash_epochs += 1, false);
    check("a balance", &|genesis| genesis.accounts[0].balance.0 += 1, false);
    check("a validator", &|genesis| genesis.validators[0].bond.0 += 1, false);
    check("a provider", &|genesis| genesis.providers[3].capacity += 1, false);
}

type Share = fn(&GenesisValidator, &mut GenesisValidator);

/// What no two validators may share.
const SHARES: [(&str, Share); 3] = [
    ("vote key", |first, second| second.key = first.key),
    ("node", |first, second| second.node = first.node),
    ("beacon key", |first, second| second.beacon_key = first.beacon_key),
];

#[test]
fn validators_of_a_genesis_share_no_key() {
    for (desc, share) in SHARES {
        let mut genesis = genesis();
        let first = genesis.validators[0].clone();
        share(&first, &mut genesis.validators[1]);
        assert_eq!(genesis.validate(), Err(GenesisError::ValidatorTwice(genesis.validators[1].key)), "{desc}");
    }
}

#[test]
fn an_invalid_genesis_is_rejected() {
    let check = |desc: &str, change: &dyn Fn(&mut Genesis), expect: Result<(), GenesisError>| {
        let mut genesis = genesis();
        change(&mut genesis);
        assert_eq!(genesis.validate(), expect, "{desc}");
    };
    let small = |name, value, least| Err(GenesisError::Params(ParamsError::TooSmall { name, value, least }));
    check("as it should be", &|_| {}, Ok(()));
    check("no providers yet", &|genesis| genesis.providers.clear(), Ok(()));
    check("no name", &|genesis| genesis.name.clear(), Err(GenesisError::Name));
    check("a long name", &|genesis| genesis.name = "x".repeat(limits::NAME + 1), Err(GenesisError::Name));
    let value = FILE_NUMBER_MAX + 1;
    check("late", &|genesis| genesis.time_ms = value, Err(GenesisError::TooLarge { name: "time_ms", value }));
    let name = "provider capacity";
    check("large", &|genesis| genesis.providers[0].capacity = value, Err(GenesisError::TooLarge { name, value }));
    check("no blocks", &|genesis| genesis.params.time.epoch_ms = 999, small("time.epoch_ms", 999, 1_000));
    check("no draws", &|genesis| genesis.params.draw_epochs = 1, small("draw_epochs", 1, 2));
    check(
        "receipts outlive columns",
        &|genesis| genesis.params.time.trash_epochs = 1,
        small("time.trash_epochs", 1, 2),
    );
    check("no domains", &|genesis| genesis.params.min_domains = 0, small("min_domains", 0, 1));
    check("no term", &|genesis| genesis.params.term_epochs = 0, small("term_epochs", 0, 1));
    let large = Err(GenesisError::Params(ParamsError::TooLarge { name: "credit_bytes", value }));
    check("credit", &|genesis| genesis.params.credit_bytes = value, large);
    let class = |row| Err(GenesisError::Params(ParamsError::Class { row }));
    check("no code", &|genesis| genesis.params.classes[1].economy.k = 4, class(1));
    check("R of n", &|genesis| genesis.params.classes[2].standard_repair = 6, class(2));
    check("R below k", &|genesis| genesis.params.classes[2].standard_repair = 2, class(2));
    check("rows out of order", &|genesis| genesis.params.classes.swap(3, 4), class(4));
    check("no validator", &|genesis| genesis.validators.clear(), Err(GenesisError::Validators { have: 0 }));
    let many = |genesis: &mut Genesis| genesis.validators = vec![genesis.validators[0].clone(); limits::VALIDATORS + 1];
    let have = limits::VALIDATORS + 1;
    check("too many validators", &many, Err(GenesisError::Validators { have }));
    let validator = |error| Err(GenesisError::Validator { key: vote_key(0).public(), error });
    let node = NodeId::new([0; 32]);
    check("a weak node", &|genesis| genesis.validators[0].node = node, validator(TxError::WeakKey { node }));
    let weak = VoteKey::new([0; 32]);
    let error = GenesisError::Validator { key: weak, error: TxError::WeakVoteKey { key: weak } };
    check("a weak vote key", &|genesis| genesis.validators[0].key = weak, Err(error));
    let beacon = |genesis: &mut Genesis| genesis.validators[0].beacon_key = BeaconKey([0; 96]);
    check("no beacon key", &beacon, validator(TxError::BeaconKey));
    let least = crate::params::Params::default().bonds.validator;
    let bond = Amount(least.0 - 1);
    let poor = move |genesis: &mut Genesis| genesis.validators[0].bond = bond;
    check("little bond", &poor, validator(TxError::BondTooLow { least, bond }));
    let twice = |genesis: &mut Genesis| genesis.accounts.push(genesis.accounts[0].clone());
    check("an account twice", &twice, Err(GenesisError::AccountTwice(id(&alice()))));
    let twice = |genesis: &mut Genesis| genesis.providers.push(genesis.providers[0].clone());
    check("a provider twice", &twice, Err(GenesisError::ProviderTwice(node_key(0).public())));
    let node = node_key(0).public();
    let provider = |error| Err(GenesisError::Provider { node, error });
    check("nowhere", &|genesis| genesis.providers[0].addresses.clear(), provider(TxError::Addresses));
    check("nameless", &|genesis| genesis.providers[0].domain.region.clear(), provider(TxError::DomainName));
    let rich = |genesis: &mut Genesis| {
        genesis.accounts.push(GenesisAccount { account: key(77).public(), balance: Amount(u64::MAX) });
    };
    check("too much money", &rich, Err(GenesisError::TooMuchMoney));
    let bonds = |genesis: &mut Genesis| genesis.params.bonds.provider = Amount(u64::MAX / 2);
    check("too much in bonds", &bonds, Err(GenesisError::TooMuchMoney));
}

#[test]
fn a_genesis_file_says_all_of_it() {
    let genesis = Genesis { bootstrap: vec!["/ip4/127.0.0.1/tcp/4000/p2p/12D3".to_owned()], ..genesis() };
    let text = toml::to_string(&genesis).expect("tables come last");
    let read: Genesis = toml::from_str(&text).expect("what was written");
    assert_eq!((&read, read.id()), (&genesis, genesis.id()));
    assert_eq!(MemoryRecords::new(&read.changes()), MemoryRecords::new(&genesis.changes()));
    assert!(toml::from_str::<Genesis>(&text.replace("draw_epochs", "draw_epoch")).is_err(), "unknown fields");
    let least = "name = \"a\"\ntime_ms = 1\nvalidators = []\n";
    assert_eq!(toml::from_str::<Genesis>(least).map(|genesis| genesis.params), Ok(crate::params::Params::default()));
}
