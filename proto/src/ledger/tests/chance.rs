//! What an adversary can do to the beacon, and whom the turns favour.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::{Height, VoteKey},
    ledger::{Rotation, vote::ValidatorSet},
    params::Timing,
};

const EPOCHS: u64 = 10_000;
/// Blocks of an epoch of the default parameters, which numbers of validators divide.
const EPOCH_BLOCKS: u64 = 3_600;

fn key(number: u8) -> VoteKey {
    VoteKey::new([number; 32])
}

/// The rotation of an epoch after the beacon of the one before.
fn rotation(powers: &[u64], epoch: u64) -> Rotation {
    let set = ValidatorSet::new((0..).zip(powers).map(|(number, power)| (key(number), *power)));
    Rotation::new(set, BTreeSet::new(), &blake3::derive_key("test beacon", &epoch.to_le_bytes()))
}

/// How many of the first rounds of a height the first `bad` validators have in a row.
fn leading(rotation: &Rotation, height: Height, bad: u8) -> u64 {
    let is_bad = |round: u32| rotation.proposer(height, round).is_some_and(|turn| turn < key(bad));
    (0..u32::from(bad)).take_while(|round| is_bad(*round)).count().try_into().expect("few")
}

/// Beacons that an adversary can choose among which has this many leading rounds of each of the heights, and withholds
/// at will. It knows what comes out where all further blocks are its own; any other choice has an unknown result, of
/// which it can have one, and continue from there.
fn choices(leads: &[u64]) -> u64 {
    let Some((lead, rest)) = leads.split_first() else { return 1 };
    let known: u64 = leads.iter().product();
    let others = leads.iter().scan(true, |own, lead| std::mem::replace(own, *own && *lead > 0).then_some(()));
    let honest_at = others.count().min(leads.len());
    let unknown = (0..honest_at).map(|at| choices(&leads[at + 1..])).max().unwrap_or(1);
    known + if *lead == 0 { choices(rest) } else { unknown }
}

#[test]
fn choices_are_counted() {
    let check = |leads: &[u64], expect| assert_eq!(choices(leads), expect, "{leads:?}");
    check(&[], 1);
    check(&[0], 1);
    check(&[1], 2);
    check(&[3], 4);
    check(&[1, 0], 1);
    check(&[1, 1], 3);
    check(&[2, 3], 10);
    check(&[5, 0, 1], 2);
}

#[test]
fn who_withholds_chooses_among_few_beacons() {
    let heights = Timing::default().beacon_blocks;
    for (bad, share) in [(10_u8, 0.1), (25, 0.25), (33, 0.33)] {
        let all: u64 = (0..EPOCHS)
            .map(|epoch| {
                let (rotation, first) = (rotation(&[1; 100], epoch), epoch * EPOCH_BLOCKS);
                // What was before the last height without a choice does not matter.
                let leads = (first..first + heights).rev().map(|height| leading(&rotation, Height(height), bad));
                let mut leads: Vec<u64> = leads.take_while(|lead| *lead > 0).collect();
                leads.reverse();
                choices(&leads)
            })
            .sum();
        let mean = all as f64 / EPOCHS as f64;
        let bound = 1.05 * (1.0 - share) / (1.0 - 2.0 * share);
        assert!(mean <= bound, "{share}: {mean} of at most {bound}");
    }
}

#[test]
fn openers_of_epochs_follow_power() {
    // The values of chi-square that chance exceeds once in a thousand.
    let cases = [(vec![1; 4], 16.27), (vec![1; 5], 18.47), (vec![1; 100], 148.23), (vec![1, 2, 3, 4, 90], 18.47)];
    for (powers, most) in cases {
        let mut opened: BTreeMap<VoteKey, u64> = BTreeMap::new();
        for epoch in 0..EPOCHS {
            let opener = rotation(&powers, epoch).proposer(Height(epoch * EPOCH_BLOCKS), 0).expect("not empty");
            *opened.entry(opener).or_default() += 1;
        }
        let total: u64 = powers.iter().sum();
        let distance = (0..).zip(&powers).map(|(number, power)| {
            let expected = EPOCHS as f64 * *power as f64 / total as f64;
            (opened.get(&key(number)).copied().unwrap_or(0) as f64 - expected).powi(2) / expected
        });
        let distance: f64 = distance.sum();
        assert!(distance <= most, "{powers:?}: {distance}");
    }
}
