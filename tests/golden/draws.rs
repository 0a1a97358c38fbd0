//! Draws from made-up rosters, in which the three dimensions cross and weights differ, come out the same in a program
//! that shares no code with this one: `verifier/draws.py`. So do rosters' roots, classes and caps, and the refusals.

use std::{fs, process::Command};

use ostrakon_proto::{
    codec,
    id::{AccountId, Amount, Epoch, NodeId},
    ledger::state::Domain,
    params::Code,
    placement::{Caps, Dimension, Draw, DrawSeed, Offer, Roster, draw, prove_draw},
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
        "drawn": drawn.map(|drawn| drawn.iter().map(|entry| hex::encode(entry.provider.bytes())).collect::<Vec<_>>()),
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
