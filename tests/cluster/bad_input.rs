//! What users get wrong on a network that works: each has its exit code, and its message names what is wrong.

use std::fs;

use anyhow::{Context, Result, ensure};
use ostrakon_proto::{id::ObjectId, link::Link, seal::ObjectKey};
use ostrakon_tests::{
    cluster::{Outcome, Running},
    content,
    scenarios::Stage,
};

const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const INTEGRITY: i32 = 4;
const FUNDS: i32 = 6;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let file = stage.cluster.files.join("to-add");
    let hash = content::write_file(&file, 400, 300_000)?;
    let added = stage.cluster.add(&file, &[])?;
    stage.cluster.expect_read(&added.link, &hash)?;

    malformed(stage)?;
    unknown(stage)?;
    wrong_key(stage, &added.link)?;
    stranger(stage, &added.cid, &added.link, &hash)?;
    overwriting(stage, &added.link)?;
    Ok("malformed, unknown, wrong key, no money, no key, file there already".into())
}

fn expect(outcome: &Outcome, code: i32, names: &str) -> Result<()> {
    outcome.expect_code(code)?;
    ensure!(outcome.said().contains(names), "the message does not name {names:?}: {outcome}");
    Ok(())
}

fn malformed(stage: &Stage) -> Result<()> {
    for link in ["ostrakon:", "ostrakon:x#y", "not-a-link", "ostrakon:bafyr4ihx#aaaa"] {
        expect(&stage.cluster.run(&["get", link, "-o", "-"])?, USAGE, "link")?;
    }
    expect(&stage.cluster.run(&["add", "no-such-file"])?, USAGE, "no-such-file")?;
    expect(&stage.cluster.run(&["add", "/dev/null"])?, USAGE, "/dev/null")?;
    // 14 nodes cannot hold 20 columns, and nothing smaller is done instead.
    let file = stage.cluster.files.join("to-add");
    let outcome = stage.cluster.run(&["add".as_ref(), file.as_os_str(), "--code".as_ref(), "10/20".as_ref()])?;
    expect(&outcome, USAGE, "14")
}

fn unknown(stage: &Stage) -> Result<()> {
    let cid = ObjectId::new([7; 32]).to_string();
    for args in [&["get", &cid, "-o", "-"][..], &["status", &cid], &["verify", &cid], &["rm", "--yes", &cid]] {
        expect(&stage.cluster.run(args)?, NOT_FOUND, &cid)?;
    }
    Ok(())
}

/// The key is checked before a byte is read, so nothing is written either.
fn wrong_key(stage: &Stage, link: &str) -> Result<()> {
    let mut link: Link = link.parse().context("`add` prints a link")?;
    link.key = Some(ObjectKey::from_bytes([7; 32]));
    let out = stage.cluster.files.join("wrong-key");
    let outcome = stage.cluster.run(&["get".as_ref(), link.to_string().as_ref(), "-o".as_ref(), out.as_os_str()])?;
    expect(&outcome, INTEGRITY, "key")?;
    ensure!(!out.exists(), "a wrong key left a file behind");
    Ok(())
}

/// Another profile: no money, and no link but what it is given.
fn stranger(stage: &Stage, cid: &str, link: &str, hash: &blake3::Hash) -> Result<()> {
    let profile = stage.cluster.files.join("stranger");
    let (genesis, file) = (stage.cluster.profile().join("genesis.toml"), stage.cluster.files.join("to-add"));
    let run = |args: &[&std::ffi::OsStr]| {
        let all = [&["--json".as_ref(), "--profile".as_ref(), profile.as_os_str()], args].concat();
        Running::start(&stage.cluster.binaries.client, &all)?.wait(std::time::Duration::from_secs(60))
    };
    run(&["init".as_ref(), "--no-passphrase".as_ref(), "--network".as_ref(), genesis.as_os_str()])?.expect_code(0)?;
    expect(&run(&["add".as_ref(), file.as_os_str()])?, FUNDS, " has 0: fund the account")?;
    let to_self: String =
        serde_json::from_slice::<serde_json::Value>(&run(&["wallet".as_ref(), "address".as_ref()])?.stdout)?["address"]
            .as_str()
            .context("`wallet address` prints an address")?
            .into();
    let send = run(&["wallet".as_ref(), "send".as_ref(), to_self.as_ref(), "5".as_ref()])?;
    expect(&send, FUNDS, " has 0 obols")?;
    let keyless = run(&["get".as_ref(), cid.as_ref(), "-o".as_ref(), "-".as_ref()])?;
    ensure!(keyless.code.is_some_and(|code| code != 0), "a private object was read without its key");
    expect(&keyless, USAGE, "key")?;
    ensure!(
        run(&["rm".as_ref(), "--yes".as_ref(), cid.as_ref()])?.code != Some(0),
        "a stranger ended another's commitment"
    );

    // Anyone who has the link can read.
    let out = stage.cluster.files.join("strangers-copy");
    run(&["get".as_ref(), link.as_ref(), "-o".as_ref(), out.as_os_str()])?.expect_code(0)?;
    ensure!(content::hash_file(&out)? == *hash, "WRONG BYTES for a stranger");
    Ok(())
}

fn overwriting(stage: &Stage, link: &str) -> Result<()> {
    let out = stage.cluster.files.join("precious");
    fs::write(&out, "precious")?;
    let outcome = stage.cluster.run(&["get".as_ref(), link.as_ref(), "-o".as_ref(), out.as_os_str()])?;
    expect(&outcome, USAGE, "--overwrite")?;
    ensure!(fs::read_to_string(&out)? == "precious", "a file was overwritten without --overwrite");
    Ok(())
}
