//! Draws from made-up rosters, in which the three dimensions cross and weights differ, come out the same in a program
//! that shares no code with this one: `verifier/draws.py`. So do rosters' roots, classes and caps, and the refusals.

use std::{fs, process::Command};

use ostrakon_proto::{
    codec,
    id::{AccountId, Amount, Epoch, NodeId},
    ledger::state::Domain,
    params::Code,
    placement::{
        Caps, Dimension, DomainTags, Draw, DrawSeed, Offer, Roster, RosterEntry, draw, draw_beside, prove_draw,
    },
};
use ostrakon_tests::scenarios::SeededRng;
use serde::Deserialize;
use serde_json::{Value, json};

const DRAWS: u64 = 300;

/// What the program prints.
#[derive(Debug, Deserialize)]
struct Compared {
    draws: u64,
    refused: u64,
    exchanged: u64,
    pruned: u64,
    beside: u64,
}

#[test]
fn another_program_draws_the_same() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut rng = SeededRng::new(1);
    let draws: Vec<Value> = (0..DRAWS).map(|number| made(number, &mut rng)).collect();
    fs::write(file.path(), serde_json::to_vec(&draws).expect("JSON")).expect("written");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/verifier/draws.py");
    let output = Command::new("python3").args(["-B", program]).arg(file.path()).output().expect("python3 is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Compared = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(said.beside, DRAWS);
    assert!(
        said.draws + said.refused == DRAWS && said.refused > 0 && said.exchanged > 0 && said.pruned > 0,
        "{said:?}"
    );
}

/// A roster and a draw from it, with what it comes to here.
fn made(number: u64, rng: &mut SeededRng) -> Value {
    let roster = roster(rng);
    let code = [(1, 3), (2, 4), (3, 6), (4, 9), (4, 12)].map(|(k, n)| Code { k, n })[rng.index(5)];
    let min_domains = u8::try_from(1 + rng.below(5)).expect("small");
    let randomness = *blake3::hash(&number.to_le_bytes()).as_bytes();
    let draw_number = Draw { epoch: Epoch(number), number: 3 };
    let seed = DrawSeed { randomness, account: AccountId::new([7; 32]), draw: draw_number, extent: 1 };
    let summary = roster.summary();
    let caps = Caps::of(&summary, code, min_domains).ok();
    let shown = caps.map(|caps| prove_draw(roster.tree(), &seed, code, &caps));
    let drawn = shown.as_ref().zip(caps).and_then(|(shown, caps)| draw(shown, &seed, code, &caps).ok());
    json!({
        "roster": hex::encode(codec::encode(roster.tree())),
        "summary": hex::encode(codec::encode(&summary)),
        "seed": hex::encode(codec::encode(&seed)),
        "code": code,
        "min_domains": min_domains,
        "caps": caps.map(|caps| Dimension::ALL.map(|dimension| caps.of_dimension(dimension))),
        "shown": shown.as_ref().map(|shown| hex::encode(codec::encode(shown))),
        "beside": beside(&roster, &seed, (code, min_domains), rng),
        "drawn": drawn.map(|drawn| drawn.iter().map(|entry| hex::encode(entry.provider.bytes())).collect::<Vec<_>>()),
    })
}

/// A draw for a repair by the same seed, beside some of the roster.
fn beside(roster: &Roster, seed: &DrawSeed, (code, min_domains): (Code, u8), rng: &mut SeededRng) -> Value {
    let kept = rng.below(u64::from(code.n));
    let kept = usize::try_from(kept).expect("small");
    let holders: Vec<RosterEntry> = roster.tree().leaves().take(kept).copied().collect();
    let domains: Vec<DomainTags> = holders.iter().map(|holder| holder.offer.domain).collect();
    let caps = Caps::beside(&roster.summary(), code, min_domains, &domains);
    let count = usize::from(code.n) - kept;
    let may = |entry: &RosterEntry| holders.iter().all(|holder| holder.provider != entry.provider);
    let drawn = draw_beside(roster.tree(), seed, (code, &caps, count), &domains, may).expect("a whole roster");
    let names = |entries: &[RosterEntry]| -> Vec<String> {
        entries.iter().map(|entry| hex::encode(entry.provider.bytes())).collect()
    };
    json!({
        "holders": names(&holders),
        "caps": Dimension::ALL.map(|dimension| caps.of_dimension(dimension)),
        "count": count,
        "drawn": names(&drawn.into_iter().copied().collect::<Vec<_>>()),
    })
}

/// Some providers on few values of each dimension.
fn roster(rng: &mut SeededRng) -> Roster {
    let (mut roster, providers, values) = (Roster::default(), 3 + rng.below(30), 2 + rng.below(7));
    for _ in 0..providers {
        let node = NodeId::new(*blake3::hash(&rng.below(u64::MAX).to_le_bytes()).as_bytes());
        let [operator, infrastructure, region] = [(); 3].map(|()| format!("value-{}", rng.below(values)));
        let domain = Domain { operator, infrastructure, region };
        let size = 1 + rng.below(40);
        let weight = 1 + rng.below(1 << size);
        roster.set(node, Some(Offer { weight, price: Amount(rng.below(1000)), domain: (&domain).into() }));
    }
    roster
}
