//! A naive accountant with one entry for each slot and epoch agrees with the ledger after every block: on what each
//! provider earned and paid, what is left of each commitment's money, and what every account has that pays for any,
//! be it prolonged by its owner, by a friend or by the ledger itself.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    audits::{Columns, audited, node},
    world::{World, alice, bob, id, key, landlord, node_key},
};
use crate::{
    id::{AccountId, Amount, Epoch, NodeId},
    ledger::{
        GenesisAccount, MemoryRecords,
        proofs::ProofKey,
        repair::{Hands, bounty},
        rules::price_per_epoch,
        state::{Commitment, CommitmentId, Records, Renewal, Slot, SlotState},
        tx::{Action, Extend, Maintain, Release, ReportLoss, SetRenewal, Together, Tx},
    },
    params::{Params, Repair},
    random::RandomStream,
    sign::Keypair,
};

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
    /// What is left of each commitment's escrow.
    held: BTreeMap<CommitmentId, u64>,
    /// What the accounts have that pay for commitments.
    balances: BTreeMap<AccountId, u64>,
    /// How the ledger is to renew commitments.
    renewals: BTreeMap<CommitmentId, Renewal>,
    /// What each provider paid for losses.
    slashed: BTreeMap<NodeId, u64>,
    /// Commitments that ended because nobody could read them.
    unreadable: u32,
}

impl Accountant {
    /// A block had these proofs: each pays for every slot of its provider that has not ended.
    fn proven(&mut self, epoch: Epoch, provider: NodeId) {
        let mut all = 0;
        for (id, (end, slots)) in &self.slots {
            for entry in slots.values().filter(|entry| entry.provider == provider && epoch < *end) {
                all += entry.rate;
                *self.held.get_mut(id).expect("it lasts") -= entry.rate;
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
            // One that is back in the block before which it was due has paid.
            let is_due = slot.since.after(params.repair.forfeit_epochs) <= after.tip().running.clock.epoch;
            let is_open = is_lost || back.contains(&(id, index)) && !is_due;
            let wanted = match slot.state {
                SlotState::Lost => (due + due.div_ceil(2)).max(slot.collateral.0 / 10),
                _ => due,
            };
            if !is_open {
                let taken = wanted.min(slot.collateral.0);
                *self.slashed.entry(slot.provider).or_default() += taken;
                *self.balances.get_mut(&id.owner).expect("it pays") += (taken - due.min(taken)) * 60 / 100;
                // It is for the repair: what has ended needs none.
                if has_ended(before, after, &id) {
                    *self.balances.get_mut(&id.owner).expect("it pays") += due.min(taken);
                }
            }
        }
    }

    fn pay(&mut self, account: AccountId, id: CommitmentId, amount: u64) {
        *self.balances.get_mut(&account).expect("it pays") -= amount;
        *self.held.entry(id).or_default() += amount;
    }

    /// A block has begun: what was to end has ended, or was renewed by as many epochs as its owner said, at the prices
    /// that are in force by then. Out come the ends and caps of what lasts, and how many were renewed.
    fn begun(
        &mut self,
        params: &Params,
        (before, after): (&MemoryRecords, &MemoryRecords),
        all: &[CommitmentId],
    ) -> (Terms, u32) {
        let (now, mut terms, mut renewed) = (after.tip().running.clock.epoch, Terms::new(), 0);
        for (id, made) in all.iter().filter_map(|id| Some((*id, before.commitment(id)?))) {
            let (mut end, mut cap) = (made.end, made.cap().0);
            let lost = made.unreadable_since().map(|since| since.after(params.repair.lost_epochs));
            let is_lost = lost.is_some_and(|lost| lost <= now);
            self.unreadable += u32::from(is_lost);
            if made.end <= now || is_lost {
                let owner = id.owner;
                let renewal = self.renewals.get(&id).copied().filter(|_| !has_ended(before, after, &id));
                let Some(renewal) = renewal.filter(|_| !is_lost) else {
                    assert!(has_ended(before, after, &id), "nobody renewed it");
                    if !is_lost {
                        self.assert_too_dear(before, &made);
                    }
                    let left = self.held.remove(&id).expect("it lasted") + made.fund.0;
                    *self.balances.get_mut(&owner).expect("it pays") += left;
                    self.renewals.remove(&id);
                    continue;
                };
                cap = after.commitment(&id).expect("renewed").cap().0;
                end = made.end.after(renewal.epochs).min(now.after(params.term_epochs));
                self.pay(owner, id, cap * (end.0 - made.end.0));
                *self.balances.get_mut(&owner).expect("it pays") -= params.fees.base.0;
                renewed += 1;
            }
            terms.insert(id, (end, cap));
        }
        (terms, renewed)
    }

    /// What was to be renewed and was not: a holder asks for more than the owner pays, and signed for no longer.
    fn assert_too_dear(&self, state: &MemoryRecords, made: &Commitment) {
        let Some(renewal) = self.renewals.get(&made.id) else { return };
        let price = |slot: &Slot| state.provider(&slot.provider).expect("registered").price;
        let is_dear = |slot: &&Slot| price(slot) > slot.ask && price(slot) > renewal.most;
        let live = made.slots.iter().filter(|slot| slot.state == SlotState::Live);
        assert!(made.end.after(renewal.epochs) > made.until && live.filter(is_dear).count() > 0, "{made:?}");
    }

    /// A block had this transaction: what it costs its sender, and what returns to it.
    fn done(&mut self, params: &Params, (tx, terms): (&Tx, &mut Terms), after: &MemoryRecords) {
        let (sender, now) = (tx.body.account, after.tip().running.clock.epoch);
        let Some(balance) = self.balances.get_mut(&sender) else { return };
        *balance -= tx.body.fee.0;
        let cap_of = |id: &CommitmentId| after.commitment(id).expect("it lasts").cap().0;
        match &tx.body.action {
            Action::Commit(commit) => {
                let id = CommitmentId { object: commit.object, extent: 0, owner: sender };
                let missing = u64::try_from(commit.slots.iter().filter(|slot| slot.receipt.is_none()).count());
                let fund = missing.expect("few") * bounty(&params.repair, commit.code, commit.column_len, 1).0;
                *balance -= fund;
                self.pay(sender, id, cap_of(&id) * (commit.end.0 - now.0));
                terms.insert(id, (commit.end, cap_of(&id)));
            }
            Action::Extend(Extend { commitment: id, end, .. }) => {
                let (before, cap) = terms.insert(*id, (*end, cap_of(id))).expect("it lasts");
                assert!(sender == id.owner || cap == cap_of(id), "others agree to no price");
                // A price that rose is paid for what was left, too.
                self.pay(sender, *id, cap_of(id) * (end.0 - now.0) - cap * (before.0 - now.0));
            }
            Action::Release(Release { object, .. }) => {
                let id = CommitmentId { object: *object, extent: 0, owner: sender };
                let (end, cap) = terms.get_mut(&id).expect("it lasts");
                *end = (*end).min(now.after(1));
                let held = self.held.get_mut(&id).expect("it lasts");
                let returned = *held - (*held).min(*cap);
                *held -= returned;
                *self.balances.get_mut(&sender).expect("it pays") += returned;
                self.renewals.remove(&id);
            }
            Action::SetRenewal(SetRenewal { object, renewal, .. }) => {
                let id = CommitmentId { object: *object, extent: 0, owner: sender };
                match renewal {
                    Some(renewal) => self.renewals.insert(id, *renewal),
                    None => self.renewals.remove(&id),
                };
            }
            _ => {}
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

/// When commitments end, and what an epoch of each costs at most.
type Terms = BTreeMap<CommitmentId, (Epoch, u64)>;

/// Whether the commitment ended in a block; another may have begun.
fn has_ended(before: &MemoryRecords, after: &MemoryRecords, id: &CommitmentId) -> bool {
    let start = |state: &MemoryRecords| state.commitment(id).map(|made| made.start);
    start(before).is_some() && start(after) != start(before)
}

/// Operations that are tried.
fn operations() -> u32 {
    if std::env::var_os("OSTRAKON_LONG").is_some_and(|value| value == "1") { 100_000 } else { 6_000 }
}

/// Who pays for what others store.
fn friend() -> Keypair {
    key(90)
}

/// A random run: operations in blocks of a few, epochs that turn, some proofs in each.
struct Run {
    world: World,
    columns: Columns,
    random: RandomStream,
    accountant: Accountant,
    known: Vec<CommitmentId>,
    number: u8,
    /// Repairs, returns, reports of losses, announced maintenances, renewals, and extensions by a friend.
    done: [u32; 6],
}

impl Run {
    fn below(&mut self, bound: usize) -> usize {
        let bound = u128::try_from(bound).expect("small");
        usize::try_from(self.random.below(bound)).expect("small")
    }

    fn operation(&mut self, sender: &Keypair) -> Option<Action> {
        match self.below(12) {
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
            9 | 10 => {
                let (object, epochs) = (self.some_of(sender)?.object, 1 + u64::try_from(self.below(9)).expect("small"));
                let most = Amount([0, 2_000_000_000, u64::MAX][self.below(3)]);
                let renewal = Some(Renewal { epochs, most }).filter(|_| self.below(5) > 0);
                Some(Action::SetRenewal(SetRenewal { object, extent: 0, renewal }))
            }
            _ => None,
        }
    }

    fn some_of(&mut self, sender: &Keypair) -> Option<CommitmentId> {
        let at = self.below(self.known.len().max(1));
        self.known.get(at).copied().filter(|known| known.owner == id(sender))
    }

    /// A friend pays for more of what is in none of these transactions.
    fn top_up(&mut self, txs: &[Tx]) -> Option<Action> {
        let at = self.below(4 * self.known.len().max(1));
        let id = *self.known.get(at)?;
        let is_touched = |tx: &Tx| match &tx.body.action {
            Action::Commit(commit) => commit.object == id.object,
            Action::Extend(extend) => extend.commitment == id,
            Action::Release(release) => release.object == id.object,
            _ => false,
        };
        if txs.iter().any(is_touched) {
            return None;
        }
        let end = self.world.state.commitment(&id)?.end.after(1 + u64::try_from(self.below(4)).expect("small"));
        Some(Action::Extend(Extend { commitment: id, end, most: Amount::ZERO }))
    }

    /// A provider announces to be away for a while.
    fn maintain(&mut self) -> Action {
        let index = u8::try_from(self.below(14)).expect("small");
        let [from, epochs] = [3, 3].map(|bound| 1 + u64::try_from(self.below(bound)).expect("small"));
        Action::Maintain(Maintain { node: node(index), from: self.world.epoch().after(from), epochs })
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

    /// What the owner of all providers does: loses, rebuilds or brings back a column, announces to be away, or asks for
    /// another price.
    fn upkeep(&mut self) -> Option<Action> {
        let kind = self.below(9);
        let at = self.below(self.known.len().max(1));
        let made = self.known.get(at).and_then(|id| self.world.state.commitment(id));
        let index = u8::try_from(self.below(12)).expect("small");
        match (kind, made) {
            (0, _) => Some(self.reprice()),
            (1, Some(made)) => Some(Action::ReportLoss(ReportLoss { commitment: made.id, index })),
            // So many that it cannot be read any more.
            (6, Some(made)) => {
                let live = (0..).zip(&made.slots).filter(|(_, slot)| slot.state == SlotState::Live).skip(3);
                let report = |(index, _)| Action::ReportLoss(ReportLoss { commitment: made.id, index });
                Together::new(live.map(report).collect()).ok().map(Action::Together)
            }
            (2, Some(made)) => {
                let index = made.absent().find(|index| made.slots[usize::from(*index)].state.is_lost())?;
                Some(Action::Restore(self.world.restore(&self.columns, &made, index)))
            }
            (8, _) => Some(self.maintain()),
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
        if let Some(action) = self.top_up(&txs) {
            txs.push(self.world.tx(&friend(), action));
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
                Action::Maintain(_) => self.done[3] += 1,
                Action::Extend(extend) if extend.commitment.owner != tx.body.account => self.done[5] += 1,
                _ => {}
            }
        }
        let (params, states) = (&self.world.rules.params, (&before, &self.world.state));
        self.accountant.settled(params, states, &self.known, &back);
        let (mut terms, renewed) = self.accountant.begun(params, states, &self.known);
        self.done[4] += renewed;
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
        for tx in &proposal.block.txs {
            self.accountant.done(&self.world.rules.params, (tx, &mut terms), &self.world.state);
        }
        for Tx { body, .. } in &proposal.block.charged {
            *self.accountant.balances.get_mut(&body.account).expect("it pays") -= body.fee.0;
        }
        self.agree();
        self.accountant.look(&self.world.state, &self.known);
    }

    /// The ledger renews nothing any more.
    fn end_renewals(&mut self) {
        for CommitmentId { object, extent, owner } in self.accountant.renewals.keys().copied().collect::<Vec<_>>() {
            let sender = [alice(), bob()].into_iter().find(|key| id(key) == owner).expect("one of them");
            // It may have ended meanwhile.
            let tx = self.world.tx(&sender, Action::SetRenewal(SetRenewal { object, extent, renewal: None }));
            self.world.offer(vec![tx]);
        }
    }

    /// Each provider earned what the accountant says, each commitment has what it did not spend, and each account what
    /// it did not pay.
    fn agree(&mut self) {
        let state = &self.world.state;
        for index in 0..14 {
            let provider = state.provider(&node(index)).expect("registered");
            let of = |sums: &BTreeMap<NodeId, u64>| sums.get(&node(index)).copied().unwrap_or(0);
            assert_eq!(provider.audited.pay.earned.0, of(&self.accountant.earned), "{index}");
            assert_eq!(provider.bond.0, BOND - of(&self.accountant.slashed), "{index}");
        }
        for (account, balance) in &self.accountant.balances {
            assert_eq!(state.account(account).balance.0, *balance, "{account}");
        }
        for made in self.known.iter().filter_map(|id| state.commitment(id)) {
            let live = made.slots.iter().filter(|slot| slot.state == SlotState::Live);
            let owed = live.map(|slot| {
                let proofs = state.provider(&slot.provider).expect("registered").audited.pay.proofs;
                slot.owes(proofs.before(made.end), slot.rate(made.column_len)).0
            });
            assert_eq!(made.escrow.0 - owed.sum::<u64>(), self.accountant.held[&made.id], "{:?}", made.id);
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
    founding.params.repair = Repair {
        suspect_epochs: 2,
        turn_epochs: 1,
        forfeit_epochs: 4,
        lost_epochs: 3,
        gib: Amount(30_000_000_000_000),
    };
    founding.providers.iter_mut().for_each(|provider| provider.bond = Some(Amount(BOND)));
    let friend = GenesisAccount { account: id(&friend()), ..founding.accounts[0] };
    founding.accounts.push(friend);
    founding.accounts.iter_mut().for_each(|account| account.balance = Amount(1_000_000_000_000_000));
    (founding.params.audits.maintenance_epochs, founding.params.audits.maintenance_every) = (3, 8);
    let mut run = Run {
        world: World::of(&founding),
        columns: Columns::default(),
        random: RandomStream::new("ostrakon accountant", &[1]),
        accountant: Accountant::default(),
        known: Vec::new(),
        number: 0,
        done: [0; 6],
    };
    let payers = [alice(), bob(), self::friend()].map(|key| (id(&key), run.world.account(&key).balance.0));
    run.accountant.balances = payers.into();
    for step in 0..operations() / 3 {
        run.step();
        if step % 100 == 0 {
            run.world.check();
        }
    }
    run.world.check();
    run.world.proofs.clear();
    run.end_renewals();
    run.world.wait_for(run.world.epoch().0 + 101);
    assert_eq!(run.world.state.tip().running.escrowed, Amount::ZERO, "what is not paid returns");
    let paid: u64 = run.accountant.paid.values().sum();
    let slashed: u64 = run.accountant.slashed.values().sum();
    assert!(run.accountant.unreadable > 10, "{} could not be read", run.accountant.unreadable);
    assert!(slashed > 500_000 && run.done.iter().all(|count| *count > 10), "{slashed} {:?}", run.done);
    assert!(paid > 1_000_000 && run.world.epoch() > Epoch(50), "{paid} in {:?}", run.world.epoch());
}
