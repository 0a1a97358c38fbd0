//! What is recorded of providers that did not prove, or lost something: why, and what shows it; and for how long.

use std::collections::BTreeMap;

use super::{
    audits::{maintain, providers, stored},
    repairs,
    world::{World, landlord},
};
use crate::{
    audit,
    id::{Epoch, NodeId},
    ledger::{
        draft::Draft,
        faults,
        state::{EpochRecord, Fault, FaultReason, Key, Record, Records, SlotState},
        tx::{Action, ReportLoss, Restore},
    },
    limits,
};

impl World {
    fn reasons(&self, epoch: Epoch, node: NodeId) -> Vec<FaultReason> {
        self.state.fault(epoch, &node).map(|fault| fault.reasons.into_keys().collect()).unwrap_or_default()
    }
}

#[test]
fn who_did_not_prove_is_named_with_a_reason_and_what_it_was_asked() {
    let (mut world, columns, commit) = stored();
    let (silent, others) = (commit.slots[0].provider, providers(&commit.slots[1..]));
    let first = world.epoch();
    world.epoch_of_proofs(&columns, &others);
    let fault = world.state.fault(first, &silent).expect("it is settled");
    let beacon = world.state.epoch(first).and_then(|record| record.beacon).expect("it is over");
    let evidence = audit::silence(&beacon, &silent, 40_000);
    assert_eq!(fault, Fault { unproven: 40_000, reasons: [(FaultReason::Missed, evidence)].into() });
    assert_ne!(evidence, audit::silence(&beacon, &others[0], 40_000), "of another");
    assert_eq!(world.state.at_fault(first, None, 9), [silent], "nobody else, and not those with nothing to prove");
    assert_eq!(world.state.at_fault(first, Some(silent), 9), []);

    world.epoch_of_proofs(&columns, &others);
    assert_eq!(world.reasons(first.after(1), silent), [FaultReason::Missed, FaultReason::Suspended]);
    world.epoch_of_proofs(&columns, &others);
    assert_eq!(world.reasons(first.after(2), silent), [FaultReason::Missed], "it is suspended already");
    world.epoch_of_proofs(&columns, &providers(&commit.slots));
    assert_eq!(world.state.at_fault(first.after(3), None, 9), [], "all proved");
}

#[test]
fn what_was_announced_or_is_excused_is_recorded_as_such() {
    let (mut world, columns, commit) = stored();
    let (away, others) = (commit.slots[0].provider, providers(&commit.slots[1..]));
    let now = world.epoch();
    world.does(&landlord(), maintain(away, now.after(1), 1));
    world.epoch_of_proofs(&columns, &providers(&commit.slots));
    world.epoch_of_proofs(&columns, &others);
    assert_eq!(world.reasons(now.after(1), away), [FaultReason::Maintenance]);
    assert!(!FaultReason::Maintenance.is_missed() && FaultReason::Excused.is_missed());
    for _ in 0..4 {
        world.epoch_of_proofs(&columns, &[]);
    }
    let seen: Vec<_> = (2..6).map(|ago| world.reasons(now.after(ago), others[0])).collect();
    let excused = || vec![FaultReason::Excused];
    assert_eq!(seen, [excused(), excused(), excused(), vec![FaultReason::Missed]], "three times in a row");
    assert_eq!(world.state.at_fault(now.after(2), None, 99).len(), 12);
    assert_eq!(world.state.at_fault(now.after(2), None, 5).len(), 5);
}

/// By the transaction that reports one, by silence, and by what is paid for it in the end.
#[test]
fn losses_are_recorded_with_what_shows_them() {
    let mut at = repairs::stored(&[]);
    let (reports, silent) = (at.holder(0), at.holder(1));
    at.world.wait_for(1);
    let epoch = at.world.epoch();
    let report = |index| Action::ReportLoss(ReportLoss { commitment: at.id, index });
    let tx = at.world.tx(&landlord(), report(0));
    at.world.block(vec![tx.clone()]);
    let evidence =
        |world: &World, epoch, node, reason| world.state.fault(epoch, &node).map(|fault| fault.reasons[&reason]);
    assert_eq!(evidence(&at.world, epoch, reports, FaultReason::LossReported), Some(*tx.id().bytes()));
    assert_eq!(at.world.state.fault(epoch, &reports).map(|fault| fault.unproven), Some(0));

    // It stays silent, and so has two reasons of one epoch.
    let lost = at.made().slots[0];
    at.silent(2, &[reports, silent]);
    let both = at.world.reasons(epoch, reports);
    assert_eq!(both, [FaultReason::Missed, FaultReason::LossReported]);
    let written_off = at.world.reasons(epoch.after(1), silent);
    assert_eq!(written_off, [FaultReason::Missed, FaultReason::Suspended, FaultReason::WrittenOff]);
    while at.state(1) == SlotState::Live {
        at.world.block(vec![]);
    }
    let due = lost.since.after(at.world.rules.params.repair.forfeit_epochs);
    while at.world.epoch() < due {
        at.silent(1, &[reports, silent]);
    }
    let column = Fault::lost_column(&at.id, 0, lost.since);
    assert_eq!(evidence(&at.world, due, reports, FaultReason::Forfeited), Some(column));
}

/// One report that fails leaves no trace of itself.
#[test]
fn a_loss_that_is_refused_is_not_recorded() {
    let mut at = repairs::stored(&[]);
    let reported = at.holder(0);
    let report = ReportLoss { commitment: at.id, index: 99 };
    assert!(at.verdict(Action::ReportLoss(report)).is_err());
    at.world.wait_for(1);
    at.world.does(&landlord(), Action::ReportLoss(ReportLoss { index: 0, ..report }));
    let restored: Restore = at.restore(0);
    at.world.does(&landlord(), Action::Restore(restored));
    let epoch = at.world.epoch();
    assert_eq!(at.world.state.at_fault(epoch, None, 9), [reported], "that it came back changes nothing");
}

#[test]
fn faults_are_forgotten_a_bounded_number_in_a_block() {
    let (mut world, columns, commit) = stored();
    let (silent, others) = (commit.slots[0].provider, providers(&commit.slots[1..]));
    let first = world.epoch();
    world.epoch_of_proofs(&columns, &others);
    let kept = first.after(limits::PROVEN_EPOCHS);
    world.wait_for(kept.0);
    assert_eq!(world.reasons(first, silent), [FaultReason::Missed]);
    world.wait_for(kept.0 + 1);
    assert_eq!(world.state.fault(first, &silent), None);

    let mut draft = Draft::new(&world.state);
    let count = u8::try_from(limits::FAULT_REMOVALS / 256 + 1).expect("few");
    let nodes = (0..count).flat_map(|high| {
        (0..=u8::MAX).map(move |low| NodeId::new([&[high, low][..], &[0; 30]].concat().try_into().expect("32 bytes")))
    });
    for node in nodes {
        draft.put(Key::Fault(Epoch(0), node), Record::Fault(Fault::default()));
    }
    let left = |draft: &Draft<'_>| draft.at_fault(Epoch(0), None, usize::MAX).len();
    let all = left(&draft);
    faults::forget(&mut draft);
    assert_eq!(left(&draft), all - limits::FAULT_REMOVALS);
}

/// A chain that could not settle for very long: the newest epochs are recorded, as far as it is known what was asked.
#[test]
fn a_long_silence_leaves_as_many_records_as_are_kept() {
    let (world, _, commit) = stored();
    let (silent, now) = (commit.slots[0].provider, Epoch(500));
    let newest = now.0 - limits::PROVEN_EPOCHS..now.0;
    let settled = |known: std::ops::Range<u64>| {
        let mut draft = Draft::new(&world.state);
        let record = world.state.epoch(world.epoch()).expect("in progress");
        for epoch in known.map(Epoch) {
            let record = EpochRecord { epoch, beacon: Some([7; 32]), ..record.clone() };
            draft.put(Key::Epoch(epoch), Record::Epoch(record));
        }
        draft.running_mut().clock.epoch = now;
        let mut provider = draft.provider(&silent).expect("registered");
        faults::settle(&mut draft, &mut provider);
        assert_eq!((provider.audited.open, u64::from(provider.audited.missed)), (now, now.0 - 1));
        let all = draft.into_changes().records.into_iter();
        let fault = |(key, record)| match (key, record) {
            (Key::Fault(epoch, node), Some(Record::Fault(fault))) if node == silent => Some((epoch.0, fault)),
            _ => None,
        };
        all.filter_map(fault).collect::<BTreeMap<u64, Fault>>()
    };
    let all = settled(2..500);
    assert!(all.keys().copied().eq(newest), "{:?}", all.keys());
    let last = &all[&499];
    assert!([FaultReason::Missed, FaultReason::Suspended, FaultReason::WrittenOff].iter().eq(last.reasons.keys()));
    assert!(all.range(..499).all(|(_, fault)| fault.reasons.len() == 1 && fault.unproven == 40_000));
    assert!(settled(490..500).into_keys().eq(490..500), "of what is forgotten nobody knows what was asked");
}
