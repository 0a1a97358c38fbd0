//! Whatever members do, in whatever order: money is conserved, room is counted, every bond comes back, and somebody
//! votes. [`World::offer`] looks after each block.

use proptest::prelude::*;

use super::world::{World, alice, bob, code, genesis, landlord, node_key, object, vote_key};
use crate::{
    id::{AccountId, Amount, Height, NodeId},
    ledger::{
        Genesis,
        state::{Membership, ProposedChange, Records},
        tx::{Action, Ballot, Bond, Drain, Leave, Propose, Release, SetName, Withdraw},
    },
    sign::Keypair,
};

/// One thing that someone tries to do, or a block in which nobody does anything.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    what: u8,
    who: u8,
    index: u8,
}

fn attempt() -> impl Strategy<Value = Attempt> {
    (0_u8..18, 0_u8..3, 0_u8..7).prop_map(|(what, who, index)| Attempt { what, who, index })
}

fn founding(membership: Membership) -> Genesis {
    let mut founding = genesis();
    founding.membership = membership;
    founding.params.bonds.unbonding_epochs = 2;
    founding.params.governance.proposal_epochs = 2;
    for account in &mut founding.accounts {
        account.balance = Amount(20_000_000_000);
    }
    for (validator, owner) in founding.validators.iter_mut().zip([alice(), bob(), landlord(), alice()]) {
        validator.owner = owner.public();
    }
    for provider in &mut founding.providers {
        provider.owner = bob().public();
    }
    founding
}

fn sender(who: u8) -> Keypair {
    [alice(), bob(), landlord()][usize::from(who)].clone()
}

fn action(world: &World, Attempt { what, who, index }: Attempt) -> Option<Action> {
    let (sender, key) = (sender(who), vote_key(index).public());
    let node: NodeId = node_key(index).public();
    let last = world.state.charter().proposals.saturating_sub(1);
    let height = Height(world.state.tip().height.0.saturating_sub(u64::from(index)));
    let propose = |change| Action::Propose(Propose { change });
    let set = |value| {
        let owner: AccountId = sender.public();
        let version = world.state.name(&owner, &[index; 32]).map_or(0, |name| name.version);
        Action::SetName(SetName { name: [index; 32], version, value })
    };
    Some(match what {
        0 => Action::Join(world.join(&sender, index)),
        1 => Action::Bond(Bond { key, amount: Amount(500_000_000) }),
        2 => Action::Leave(Leave { key }),
        3 => Action::Evidence(world.double_vote(index, height)),
        4 => Action::Register(world.register(&sender, index)),
        5 => Action::Drain(Drain { node }),
        6 => Action::Withdraw(Withdraw { node }),
        7 => return world.try_commit(&sender, index, code("2/4"), 4096).map(Action::Commit),
        8 => Action::Release(Release { object: object(index), extent: 0 }),
        9 => set(Some(vec![index])),
        10 => set(None),
        11 => propose(ProposedChange::ExpelValidator(key)),
        12 => propose(ProposedChange::ExpelProvider(node)),
        13 => propose(ProposedChange::AdmitValidator(key)),
        14 | 15 => Action::Vote(Ballot { proposal: last, yes: true }),
        _ => return None,
    })
}

fn check(membership: Membership, attempts: &[Attempt]) {
    let mut world = World::of(&founding(membership));
    for attempt in attempts {
        let txs = action(&world, *attempt).map(|action| world.tx(&sender(attempt.who), action));
        world.offer(txs.into_iter().collect());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn an_open_network_stands_whatever_its_members_do(attempts in prop::collection::vec(attempt(), 1..60)) {
        check(Membership::Permissionless, &attempts);
    }

    #[test]
    fn a_closed_network_stands_whatever_its_members_do(attempts in prop::collection::vec(attempt(), 1..60)) {
        check(Membership::Majority, &attempts);
    }
}
