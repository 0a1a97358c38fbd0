//! A naive accountant with one entry for each slot and epoch agrees with the ledger after every block.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    audits::{Columns, audited, node},
    world::{World, alice, bob, id, landlord, node_key},
};
use crate::{
    id::{Amount, Epoch, NodeId},
    ledger::{
        MemoryRecords,
        proofs::ProofKey,
        repair::{Hands, bounty},
        rules::price_per_epoch,
        state::{CommitmentId, Records, SlotState},
        tx::{Action, Extend, Release, ReportLoss, Tx},
    },
    params::{Params, Repair},
    random::RandomStream,
    sign::Keypair,
};

/// Operations that are tried.
const OPERATIONS: u32 = 6_000;
/// Of each provider when it begins.
const BOND: u64 = 1_000_000_000_000;
/// Bytes of columns.
const LENGTHS: [u64; 4] = [64, 1_024, 2_048, 4_096];

/// What the accountant knows of a slot.
#[derive(Clone, Copy, Debug)]
struct Entry {
    provider: NodeId,
    rate: u64,
}

/// Slots by commitment and index, with the ends of commitments; and what was paid for each.
#[derive(Clone, Debug, Default)]
struct Accountant {
    slots: BTreeMap<CommitmentId, (Epoch, BTreeMap<u8, Entry>)>,
    /// What was paid to each provider, before fees: one entry for each slot and epoch, added up.
    paid: BTreeMap<NodeId, u64>,
    /// After fees.
    earned: BTreeMap<NodeId, u64>,
    /// Of the escrow of each commitment.
    spent: BTreeMap<CommitmentId, u64>,
    /// What each provider paid for losses.
    slashed: BTreeMap<NodeId, u64>,
}

impl Accountant {
    /// A block had these proofs: each pays for every slot of its provider that has not ended.
    fn proven(&mut self, epoch: Epoch, provider: NodeId) {
        let mut all = 0;
        for (id, (end, slots)) in &self.slots {
            for entry in slots.values().filter(|entry| entry.provider == provider && epoch < *end) {
                all += entry.rate;
                *self.spent.entry(*id).or_default() += entry.rate;
            }
        }
        *self.paid.entry(provider).or_default() += all;
        *self.earned.entry(provider).or_default() += all - all * 4 / 100;
    }

    /// A slot that was lost has been paid for when its bond is behind nothing any more, and it is not back.
    fn settled(
        &mut self,
        params: &Params,
        (before, after): (&MemoryRecords, &MemoryRecords),
        all: &[CommitmentId],
        back: &[(CommitmentId, usize)],
    ) {
        let lost = all.iter().filter_map(|id| before.commitment(id)).flat_map(|made| {
            let (id, code, len) = (made.id, made.code, made.column_len);
            let lost = (0_usize..).zip(made.slots).filter(|(_, slot)| slot.state.is_lost());
            lost.map(move |(index, slot)| (id, index, slot, bounty(&params.repair, code, len, 1).0))
        });
        for (id, index, slot, due) in lost.filter(|(_, _, slot, _)| slot.collateral > Amount::ZERO) {
            let now = after.commitment(&id).map(|made| made.slots[index]);
            let is_lost = now.is_some_and(|now| now.state.is_lost() && now.collateral > Amount::ZERO);
            let is_open = is_lost || back.contains(&(id, index));
            let wanted = match slot.state {
                SlotState::Lost => (due + due.div_ceil(2)).max(slot.collateral.0 / 10),
                _ => due,
            };
            if !is_open {
                *self.slashed.entry(slot.provider).or_default() += wanted.min(slot.collateral.0);
            }
        }
    }

    /// Reads from the ledger who stores what at which price: not what it costs.
    fn look(&mut self, state: &MemoryRecords, all: &[CommitmentId]) {
        self.slots.clear();
        for id in all {
            let Some(made) = state.commitment(id) else { continue };
            let live = (0..).zip(&made.slots).filter(|(_, slot)| slot.state == SlotState::Live);
            let entry = |(index, slot): (u8, &crate::ledger::state::Slot)| {
                (index, Entry { provider: slot.provider, rate: price_per_epoch(made.column_len, slot.ask).0 })
            };
            self.slots.insert(*id, (made.end, live.map(entry).collect()));
        }
    }
}

/// A random run: operations in blocks of a few, epochs that turn, some proofs in each.
struct Run {
    world: World,
    columns: Columns,
    random: RandomStream,
    accountant: Accountant,
    known: Vec<CommitmentId>,
    number: u8,
    /// Repairs, returns and reports of losses.
    done: [u32; 3],
}

impl Run {
    fn below(&mut self, bound: usize) -> usize {
        let bound = u128::try_from(bound).expect("small");
        usize::try_from(self.random.below(bound)).expect("small")
    }

    fn operation(&mut self, sender: &Keypair) -> Option<Action> {
        match self.below(10) {
            0..=3 => {
                let (number, length) = (self.number, LENGTHS[self.below(4)]);
                self.number = self.number.wrapping_add(1);
                let mut commit = self.columns.commit(&self.world, sender, number, length);
                // Up to two holders gave no receipt.
                for _ in 0..self.below(3) {
                    let at = self.below(12);
                    commit.slots[at].receipt = None;
                }
                commit.end = self.world.epoch().after(1 + u64::try_from(self.below(9)).expect("small"));
                let id = CommitmentId { object: commit.object, extent: 0, owner: id(sender) };
                if !self.known.contains(&id) {
                    self.known.push(id);
                }
                Some(Action::Commit(commit))
            }
            4..=6 => {
                let id = self.some_of(sender)?;
                let made = self.world.state.commitment(&id)?;
                let end = made.end.after(1 + u64::try_from(self.below(12)).expect("small"));
                Some(Action::Extend(Extend { commitment: id, end, most: Amount(u64::MAX) }))
            }
            7 | 8 => Some(Action::Release(Release { object: self.some_of(sender)?.object, extent: 0 })),
            _ => None,
        }
    }

    fn some_of(&mut self, sender: &Keypair) -> Option<CommitmentId> {
        let at = self.below(self.known.len().max(1));
        self.known.get(at).copied().filter(|known| known.owner == id(sender))
    }

    /// A provider asks for another price.
    fn reprice(&mut self) -> Action {
        let index = u8::try_from(self.below(14)).expect("small");
        let stored = self.world.state.provider(&node_key(index).public()).expect("registered");
        let price = Amount(1_000_000 * (1 + u64::try_from(self.below(3_000)).expect("small")));
        let mut register = self.world.register(&landlord(), index);
        (register.price, register.domain, register.bond) = (price, stored.domain, stored.bond);
        Action::Register(register)
    }

    /// What the owner of all providers does: loses, rebuilds or brings back a column, or asks for another price.
    fn upkeep(&mut self) -> Option<Action> {
        let kind = self.below(8);
        let at = self.below(self.known.len().max(1));
        let made = self.known.get(at).and_then(|id| self.world.state.commitment(id));
        let index = u8::try_from(self.below(12)).expect("small");
        match (kind, made) {
            (0, _) => Some(self.reprice()),
            (1, Some(made)) => Some(Action::ReportLoss(ReportLoss { commitment: made.id, index })),
            (2, Some(made)) => {
                let index = made.absent().find(|index| made.slots[usize::from(*index)].state.is_lost())?;
                Some(Action::Restore(self.world.restore(&self.columns, &made, index)))
            }
            (3..=5, _) => {
                let tickets = self.world.state.tickets(8);
                let id = tickets.get(self.below(tickets.len().max(1)))?;
                let made = self.world.state.commitment(id)?;
                self.world.honest_repair(&made, Hands::Rebuilder).ok().map(Action::Repaired)
            }
            _ => None,
        }
    }

    /// A block of a few operations, with the proofs of some who are asked.
    fn step(&mut self) {
        let mut txs: Vec<Tx> = Vec::new();
        for sender in [alice(), bob()] {
            txs.extend(self.operation(&sender).map(|action| self.world.tx(&sender, action)));
        }
        if let Some(action) = self.upkeep() {
            txs.push(self.world.tx(&landlord(), action));
        }
        self.world.proofs.clear();
        for index in 0..14 {
            let key = ProofKey { provider: node(index), epoch: self.world.epoch() };
            // Some are lazy, and one never proves.
            if index > 0 && self.below(3) > 0 {
                let proof = self.columns.prove(&self.world.state, &self.world.rules, &key);
                self.world.proofs.extend(proof.ok().map(|proof| (key, Arc::new(proof))));
            }
        }
        let proposal = self.world.propose(txs);
        let before = self.world.state.clone();
        self.world.state.commit(&proposal.changes);
        let mut back = Vec::new();
        for tx in &proposal.block.txs {
            match &tx.body.action {
                Action::Repaired(_) => self.done[0] += 1,
                Action::Restore(restore) => {
                    self.done[1] += 1;
                    back.push((restore.commitment, usize::from(restore.index)));
                }
                Action::ReportLoss(_) => self.done[2] += 1,
                _ => {}
            }
        }
        let states = (&before, &self.world.state);
        self.accountant.settled(&self.world.rules.params, states, &self.known, &back);
        // The bond that it names is the whole bond, whatever was taken of it in this block.
        for tx in &proposal.block.txs {
            if let Action::Register(register) = &tx.body.action {
                self.accountant.slashed.insert(register.node, BOND - register.bond.0);
            }
        }
        let epoch = self.world.epoch();
        for key in proposal.block.proofs.keys() {
            self.accountant.proven(epoch, key.provider);
        }
        self.agree();
        self.accountant.look(&self.world.state, &self.known);
    }

    /// Each provider earned what the accountant says, and each commitment has what it did not spend.
    fn agree(&mut self) {
        let state = &self.world.state;
        for index in 0..14 {
            let provider = state.provider(&node(index)).expect("registered");
            let of = |sums: &BTreeMap<NodeId, u64>| sums.get(&node(index)).copied().unwrap_or(0);
            assert_eq!(provider.audited.pay.earned.0, of(&self.accountant.earned), "{index}");
            assert_eq!(provider.bond.0, BOND - of(&self.accountant.slashed), "{index}");
        }
        assert_eq!(state.total(), u128::from(state.tip().running.minted.0), "money is conserved");
        assert_eq!(state.sums().escrow, u128::from(state.tip().running.escrowed.0));
        self.known.retain(|id| state.commitment(id).is_some());
    }
}

#[test]
fn a_naive_accountant_agrees_after_every_block() {
    let mut founding = audited();
    founding.params.bonds.pay_epochs = 1;
    founding.params.bonds.gib = Amount(1_000_000_000);
    founding.params.repair =
        Repair { suspect_epochs: 2, turn_epochs: 1, forfeit_epochs: 4, gib: Amount(30_000_000_000_000) };
    founding.providers.iter_mut().for_each(|provider| provider.bond = Some(Amount(BOND)));
    founding.accounts.iter_mut().for_each(|account| account.balance = Amount(1_000_000_000_000_000));
    let mut run = Run {
        world: World::of(&founding),
        columns: Columns::default(),
        random: RandomStream::new("ostrakon accountant", &[1]),
        accountant: Accountant::default(),
        known: Vec::new(),
        number: 0,
        done: [0; 3],
    };
    for step in 0..OPERATIONS / 3 {
        run.step();
        if step % 100 == 0 {
            run.world.check();
        }
    }
    run.world.check();
    run.world.proofs.clear();
    run.world.wait_for(run.world.epoch().0 + 101);
    assert_eq!(run.world.state.tip().running.escrowed, Amount::ZERO, "what is not paid returns");
    let paid: u64 = run.accountant.paid.values().sum();
    let slashed: u64 = run.accountant.slashed.values().sum();
    assert!(slashed > 500_000 && run.done.iter().all(|count| *count > 10), "{slashed} {:?}", run.done);
    assert!(paid > 1_000_000 && run.world.epoch() > Epoch(50), "{paid} in {:?}", run.world.epoch());
}
