//! The draw over many networks: what it promises, when it refuses, and how fast it is.

use std::collections::BTreeSet;

use super::*;
use crate::{
    codec,
    id::{Amount, NodeId},
};

fn candidate(index: usize, weight: u64, domain: [usize; 3]) -> RosterEntry {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&index.to_be_bytes());
    let [operator, infrastructure, region] = domain.map(|value| {
        let mut tag = [0; 16];
        tag[..8].copy_from_slice(&value.to_be_bytes());
        tag
    });
    let domain = DomainTags { operator, infrastructure, region };
    RosterEntry { provider: NodeId::new(bytes), offer: Offer { weight, price: Amount(1), domain } }
}

/// The roster of those with weight.
fn roster(entries: impl IntoIterator<Item = RosterEntry>) -> Roster {
    entries.into_iter().filter(|entry| entry.offer.weight > 0).collect()
}

/// The draw of this seed, with the caps of the roster.
fn draw<'a>(
    roster: &'a Roster,
    seed: &DrawSeed,
    code: Code,
    min_domains: u8,
) -> Result<Vec<&'a RosterEntry>, PlacementError> {
    super::draw(roster.tree(), seed, code, &Caps::of(&roster.summary(), code, min_domains)?)
}

fn seed(number: u32) -> DrawSeed {
    let draw = Draw { epoch: Epoch(9), number };
    DrawSeed { randomness: [3; 32], account: AccountId::new([4; 32]), draw, extent: 0 }
}

fn code(text: &str) -> Code {
    text.parse().expect("a code")
}

/// Numbers for the random networks: the machine's own, seeded, so that a failure repeats.
struct Dice(blake3::OutputReader);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof())
    }

    fn below(&mut self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(u64::try_from(bound).expect("small"))).expect("small")
    }
}

/// A network of up to 40 providers, anything from one domain to one each, some of them full.
fn network(dice: &mut Dice) -> Roster {
    let count = 1 + dice.index(40);
    let values = [0; 3].map(|_| 1 + dice.index(count + 3));
    let one = |index| {
        let weight = if dice.below(12) == 0 { 0 } else { 1 + dice.below(1 << 40) };
        let domain = values.map(|bound| dice.index(bound));
        candidate(index, weight, domain)
    };
    roster((0..count).map(one))
}

/// Whether a choice of `left` more exists, by trying them all.
fn exists(rest: &[&RosterEntry], spread: &mut Spread, limits: Limits, left: usize) -> bool {
    let Some((first, later)) = rest.split_first() else { return left == 0 };
    if left == 0 {
        return true;
    }
    if rest.len() < left {
        return false;
    }
    let domain = first.offer.domain;
    if spread.admits(&domain, limits) {
        spread.add(&domain);
        let found = exists(later, spread, limits, left - 1);
        spread.remove(&domain);
        if found {
            return true;
        }
    }
    exists(later, spread, limits, left)
}

fn check_order(roster: &Roster, order: &[&RosterEntry], code: Code, min_domains: u8) {
    let caps = Caps::of(&roster.summary(), code, min_domains).expect("was drawn");
    let n = usize::from(code.n);
    assert!((n..=2 * n).contains(&order.len()) && order.len() <= roster.summary().providers.groups());
    let distinct: BTreeSet<NodeId> = order.iter().map(|candidate| candidate.provider).collect();
    assert_eq!(distinct.len(), order.len(), "no provider twice");
    let domains: Vec<DomainTags> = order.iter().map(|candidate| candidate.offer.domain).collect();
    assert!(caps.holds(&domains[..n]), "the first n hold the rule");
    let Caps { operator, infrastructure, region } = caps;
    for dimension in Dimension::ALL {
        let limit = 2 * u16::from(caps.of_dimension(dimension));
        for value in &domains {
            let have = domains.iter().filter(|domain| dimension.tag_of(domain) == dimension.tag_of(value)).count();
            assert!(have <= usize::from(limit), "twice of {operator} {infrastructure} {region} at most");
        }
    }
    let spare = usize::from(code.spare());
    for value in domains[..n].iter().filter(|_| min_domains > 1) {
        let with = domains[..n].iter().filter(|domain| domain.infrastructure == value.infrastructure).count();
        assert!(with <= spare, "one whole domain may vanish");
    }
}

/// The error states the facts.
fn check_refusal(roster: &Roster, error: PlacementError, code: Code, min_domains: u8) {
    let all: Vec<&RosterEntry> = roster.tree().leaves().collect();
    let distinct = |dimension: Dimension| {
        all.iter().map(|entry| dimension.tag_of(&entry.offer.domain)).collect::<BTreeSet<_>>().len()
    };
    match error {
        PlacementError::TooFewProviders { have, .. } => {
            assert!(have == all.len() && have < usize::from(code.n));
        }
        PlacementError::TooFewDomains { have, need } => {
            assert!(have == roster.summary().infrastructures() && need == min_domains && have < usize::from(need));
        }
        PlacementError::TooConcentrated { dimension, values, cap, .. } => {
            assert!(min_domains != 1 && cap > code.spare() && values == distinct(dimension));
        }
        PlacementError::DeadEnd { placed, need } => assert!(placed < need && need == usize::from(code.n)),
        PlacementError::Code(_) | PlacementError::Hidden(_) => panic!("{code} is a code, and all is shown"),
    }
}

#[test]
fn random_networks_get_a_rule_abiding_order_or_a_true_reason() {
    let mut dice = Dice::new(1);
    let codes = ["1/3", "2/4", "3/6", "4/9", "4/12", "8/24", "10/16", "1/2"].map(code);
    let (mut drawn, mut refused) = (0, 0);
    for round in 0..10_000 {
        let roster = network(&mut dice);
        let (code, min_domains) = (codes[dice.index(codes.len())], [1, 3][dice.index(2)]);
        match draw(&roster, &seed(round), code, min_domains) {
            Ok(order) => {
                drawn += 1;
                check_order(&roster, &order, code, min_domains);
                assert_eq!(draw(&roster, &seed(round), code, min_domains).as_ref(), Ok(&order), "deterministic");
            }
            Err(error) => {
                refused += 1;
                check_refusal(&roster, error, code, min_domains);
            }
        }
    }
    assert!(drawn > 3_000 && refused > 1_000, "{drawn} drawn, {refused} refused");
}

/// Where the rule can be held, some draw of those that an account may use holds it: the exchange is not complete, but
/// close, on networks made to be narrow.
#[test]
fn dead_ends_are_real() {
    let mut dice = Dice::new(2);
    let (mut carried, mut impossible, mut unlucky) = (0, 0, 0);
    for _ in 0..6_000 {
        let count = 5 + dice.index(10);
        let values = [0; 3].map(|_| 2 + dice.index(5));
        let roster = roster((0..count).map(|index| candidate(index, 1, values.map(|bound| dice.index(bound)))));
        let code = [code("2/4"), code("3/6"), code("4/9")][dice.index(3)];
        let Ok(caps) = Caps::of(&roster.summary(), code, 1) else { continue };
        let rest: Vec<&RosterEntry> = roster.tree().leaves().collect();
        if (0..16).any(|nonce| draw(&roster, &seed(nonce), code, 1).is_ok()) {
            carried += 1;
        } else if exists(&rest, &mut Spread::default(), caps.limits(), usize::from(code.n)) {
            unlucky += 1;
        } else {
            impossible += 1;
        }
    }
    assert!(carried > 4_000 && impossible > 0, "{carried} carried, {impossible} impossible");
    assert_eq!(unlucky, 0, "of {carried}");
}

#[test]
fn networks_of_the_demo_are_carried() {
    let check = |nodes: usize, domains: usize, text: &str, min_domains, expect: Option<u8>| {
        let roster =
            roster((0..nodes).map(|index| candidate(index, 1 << 30, [index, index % domains, index % domains])));
        let caps = Caps::of(&roster.summary(), code(text), min_domains);
        assert_eq!(caps.map(|caps| caps.worst()).ok(), expect, "{nodes} nodes in {domains} domains, {text}");
        for nonce in (0..50).filter(|_| expect.is_some()) {
            let order = draw(&roster, &seed(nonce), code(text), min_domains).expect("the caps are possible");
            check_order(&roster, &order, code(text), min_domains);
        }
    };
    check(14, 7, "4/12", 3, Some(2));
    check(14, 7, "6/12", 3, Some(2));
    check(14, 4, "4/12", 3, Some(3));
    check(6, 3, "3/6", 3, Some(2));
    check(6, 6, "3/6", 3, Some(1));
    check(3, 3, "1/3", 3, Some(1));
    check(5, 5, "4/6", 3, None);
    check(12, 2, "4/12", 3, None);
    check(12, 1, "4/12", 1, Some(12));
    check(12, 4, "10/12", 3, None);
    check(12, 4, "9/12", 3, Some(3));
}

#[test]
fn a_grid_that_greed_cannot_fill_is_filled() {
    // Nine providers, one for each of three infrastructures in each of three regions: six of them, two in each line.
    let roster = roster((0..9).map(|index| candidate(index, 1, [index, index / 3, index % 3])));
    for nonce in 0..500 {
        let order = draw(&roster, &seed(nonce), code("3/6"), 3).expect("possible");
        check_order(&roster, &order, code("3/6"), 3);
    }
}

#[test]
fn the_seed_decides_with_every_part() {
    let roster = roster((0..40).map(|index| candidate(index, 5, [index; 3])));
    let first = |seed: &DrawSeed| {
        let order = draw(&roster, seed, code("4/12"), 3).expect("possible");
        order.into_iter().map(|candidate| candidate.provider).collect::<Vec<_>>()
    };
    let one = seed(0);
    let others = [
        seed(1),
        DrawSeed { randomness: [4; 32], ..one },
        DrawSeed { account: AccountId::new([5; 32]), ..one },
        DrawSeed { draw: Draw { epoch: Epoch(10), number: 0 }, ..one },
        DrawSeed { extent: 1, ..one },
    ];
    for other in others {
        assert_ne!(first(&one), first(&other), "{other:?}");
    }
}

#[test]
fn slots_follow_the_weights() {
    // Free space of 1 to 4 in forty domains: providers come up in about that proportion.
    let weights = [1, 2, 3, 4].into_iter().cycle();
    let roster = roster((0..40).zip(weights).map(|(index, weight)| candidate(index, weight, [index; 3])));
    let mut held = [0u32; 4];
    for nonce in 0..5_000 {
        for holder in &draw(&roster, &seed(nonce), code("1/2"), 3).expect("possible")[..2] {
            held[usize::try_from(holder.offer.weight - 1).expect("small")] += 1;
        }
    }
    for (count, share) in held.iter().zip([1_000u32, 2_000, 3_000, 4_000]) {
        assert!(count.abs_diff(share) < 200, "{held:?}");
    }
}

/// 100 honest providers of 10 TiB in 7 infrastructures and regions, and 200 identities in domains of their own.
fn beset(each: u64) -> Roster {
    let honest = (0..100).map(|index| candidate(index, 10 << 40, [index, index % 7, index % 7]));
    let invented = (100..300).map(|index| candidate(index, each, [index; 3]));
    roster(honest.chain(invented))
}

/// Of 25,000 draws each.
#[test]
fn invented_identities_get_what_their_bond_is_good_for() {
    // In hundredths of a percent.
    let check = |text: &str, each: u64, most: usize| {
        let (roster, code) = (beset(each), code(text));
        let caps = Caps::of(&roster.summary(), code, 3).expect("seven are enough");
        let (n, mut theirs) = (usize::from(code.n), 0);
        for number in 0..25_000 {
            let order = super::draw(roster.tree(), &seed(number), code, &caps).expect("there are enough");
            theirs += order[..n].iter().filter(|entry| entry.offer.weight == each).count();
        }
        let share = theirs * 10_000 / (n * 25_000);
        assert!(share <= most, "{share} of the columns of {text} where each has {each} bytes");
    };
    // 0.02 % of all weight together.
    let little = 1 << 30;
    check("4/12", little, 102);
    check("20/50", little, 102);
    // A tenth of it: the caps favour them, because they are many, by at most as much again.
    let tenth = (100 * (10 << 40)) / 9 / 200;
    check("4/12", tenth, 2_100);
    check("20/50", tenth, 2_100);
}

#[test]
fn a_code_is_chosen_by_the_providers_that_count() {
    assert_eq!(beset(1 << 30).summary().eligible(), 100);
}

/// 100,000 providers on 90 infrastructures.
fn large() -> Roster {
    let domain = |index: usize| [index % 3_000, index % 90, index % 30];
    let weights = (1..=1_000).cycle().zip(0..100_000);
    roster(weights.map(|(weight, index)| {
        let mut entry = candidate(index, weight << 30, domain(index));
        // Keys as they are: like random ones.
        entry.provider = NodeId::new(*blake3::hash(&index.to_be_bytes()).as_bytes());
        entry
    }))
}

/// Milliseconds each: an order that looked at every pair of providers would take minutes here.
#[test]
fn large_networks_are_drawn_and_shown_by_little() {
    let (roster, code) = (large(), code("20/50"));
    let caps = Caps::of(&roster.summary(), code, 3).expect("possible");
    for nonce in 0..10 {
        let order = draw(&roster, &seed(nonce), code, 3).expect("possible");
        check_order(&roster, &order, code, 3);
        let proof = codec::encode(&prove_draw(roster.tree(), &seed(nonce), code, &caps));
        assert!(proof.len() <= 64 * 1024, "{} bytes", proof.len());
        let shown: RosterTree = codec::decode(&proof, proof.len()).expect("canonical");
        assert_eq!(shown.root(), roster.summary().root);
        assert_eq!(super::draw(&shown, &seed(nonce), code, &caps), Ok(order));
        let other = super::draw(&shown, &seed(nonce + 100), code, &caps);
        assert_eq!(other, Err(PlacementError::Hidden(Hidden)), "another draw is not shown");
    }
    assert!(codec::encode(&roster.summary()).len() < 16 * 1024);
}

/// A proof shows why nothing can be drawn, too.
#[test]
fn dead_ends_are_shown() {
    let mut dice = Dice::new(3);
    let mut shown = 0;
    for round in 0..3_000 {
        let (roster, code) = (network(&mut dice), code("4/9"));
        let Ok(caps) = Caps::of(&roster.summary(), code, 1) else { continue };
        let outcome = draw(&roster, &seed(round), code, 1);
        assert_eq!(
            super::draw(&prove_draw(roster.tree(), &seed(round), code, &caps), &seed(round), code, &caps),
            outcome
        );
        shown += u32::from(matches!(outcome, Err(PlacementError::DeadEnd { .. })));
    }
    assert!(shown > 10, "{shown}");
}
