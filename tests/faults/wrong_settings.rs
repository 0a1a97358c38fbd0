//! A `node.toml` with twelve wrong values, most of which would have let the node start and fail later, or silently:
//! `config check` finds all in one run, each with what to write instead, and `run` refuses the same.

use std::fs;

use anyhow::Result;
use ostrakon_tests::{
    own_node::{OwnNode, expect_refusal},
    scenarios::Stage,
};

/// What an operator may write, and what the message must have.
const WRONG: [(&str, &str); 12] = [
    ("listen = [\"127.0.0.1:4001\", \"/dns4/node.example/tcp/4001\"]", "write /ip4/127.0.0.1/tcp/4001"),
    ("", "a node listens on IP addresses"),
    ("bootstrap = [\"/ip4/192.0.2.1/tcp/4001\"]", "/p2p/ostnode1"),
    ("worker_threads = 0", "1 to 256"),
    ("log = \"inof\"", "\"inof\" is not a level"),
    ("metrics = \"9464\"", "`metrics` cannot be read"),
    ("[provider]\nowner_key_file = \"no-such.key\"", "no-such.key"),
    ("addresses = [\"/invalid\", \"/ip4/0.0.0.0/tcp/4001\", \"/ip4/192.0.2.1/tcp/0\"]", "\"/invalid\" is not"),
    ("price_obols = \"0.001\"", "means all interfaces"),
    ("capacity_bytes = 1000000000000000000", "`provider.capacity_bytes` is 1000000000000000000"),
    ("[provider.domain]\noperator = \"Me\"", "`provider.domain`"),
    ("infrastructure = \"here\"\nregion = \"far\"", "has port 0"),
];

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (files, program) = (&stage.cluster.files, &stage.cluster.binaries.node);
    let node = OwnNode::init(program, files.join("wrong-settings"), &stage.cluster.profile().join("genesis.toml"))?;
    let right = fs::read_to_string(node.dir.join("node.toml"))?;
    node.operate(&["config", "check"])?.expect_code(0)?;

    let lines: Vec<&str> = WRONG.iter().map(|(line, _)| *line).collect();
    node.configure(&lines.join("\n"))?;
    let mut names: Vec<&str> = WRONG.iter().map(|(_, name)| *name).collect();
    names.push("node.toml");
    node.is_refused(&names)?;

    // A level that is misspelt in the environment silences the node as well.
    node.configure(&right)?;
    expect_refusal(&node.operate(&["config", "check", "--log", "inof"])?, &["`log`"])?;
    Ok("12 wrong values, all named in one run by `config check` and by `run`".to_owned())
}
