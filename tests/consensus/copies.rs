//! The home of a validator is copied: neither the copy nor an old image of it makes the validator equivocate.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, ensure};
use ostrakon_tests::{cluster::until, scenarios::size, validators::Validators};

const ALL: [usize; 4] = [0, 1, 2, 3];
const SOON: Duration = Duration::from_secs(60);

pub(crate) fn run() -> Result<String> {
    let heights = size(200, 20);
    let mut network = Validators::start(4, 1)?;
    network.advance(&ALL, SOON)?;

    // An image as a backup has it: of a process that was stopped.
    network.kill(0)?;
    let image = network.files().join("image");
    copy(&network.all[0].home, &image)?;
    network.revive(0)?;
    let imaged = network.top(&ALL);
    network.reach(&ALL, imaged + 5, SOON)?;

    same_place(&network, &image)?;
    beside(&network, &image, heights)?;
    together(&mut network, heights)?;
    back_in_time(&mut network, &image, heights)?;
    let history = network.audit(&ALL)?;
    let (blocks, heard) = (history.decided.len(), network.witness.statements());
    let what = "a copy beside the running validator, one that starts with it, and an old image of it";
    Ok(format!("{what}: {blocks} blocks, {heard} statements"))
}

/// The copy as it is: the same address is taken, and the process reports it.
fn same_place(network: &Validators, image: &Path) -> Result<()> {
    let home = network.files().join("same-place");
    copy(image, &home)?;
    let mut process = network.spawn(&home)?;
    until("the copy ends", SOON, || Ok(process.has_ended()))?;
    let log = fs::read_to_string(home.join("node.log"))?;
    ensure!(log.contains("127.0.0.1") && !log.contains("panicked"), "the copy does not say why it ended:\n{log}");
    Ok(())
}

/// The copy on an address of its own: it runs beside the validator, sends nothing to anyone, and logs why.
fn beside(network: &Validators, image: &Path, heights: u64) -> Result<()> {
    let home = elsewhere(network, image, "beside")?;
    let mut process = network.spawn(&home)?;
    let begun = network.top(&ALL);
    let log = || fs::read_to_string(home.join("node.log")).unwrap_or_default();
    until("the copy logs why it does not sign", SOON, || Ok(log().contains("another process signs with its key")))?;
    network.reach(&[1, 2, 3], begun + heights, SOON * 10)?;
    ensure!(!process.has_ended(), "a silent validator still follows the chain:\n{}", log());
    let contradictions = network.witness.contradictions();
    ensure!(contradictions.is_empty(), "EQUIVOCATION of a copy: {contradictions:?}");
    Ok(())
}

/// The validator and a copy of its newest disk start in the same moment.
fn together(network: &mut Validators, heights: u64) -> Result<()> {
    network.kill(0)?;
    let image = network.files().join("newest");
    copy(&network.all[0].home, &image)?;
    let home = elsewhere(network, &image, "together")?;
    let _copy = network.spawn(&home)?;
    network.revive(0)?;
    let begun = network.top(&[1, 2, 3]);
    network.reach(&[1, 2, 3], begun + heights, SOON * 10)?;
    let contradictions = network.witness.contradictions();
    ensure!(contradictions.is_empty(), "EQUIVOCATION of two that start together: {contradictions:?}");
    Ok(())
}

/// The validator itself, with the disk of long ago.
fn back_in_time(network: &mut Validators, image: &Path, heights: u64) -> Result<()> {
    network.kill(0)?;
    let home = network.all[0].home.clone();
    fs::remove_dir_all(&home)?;
    copy(image, &home)?;
    network.revive(0)?;
    let begun = network.top(&[1, 2, 3]);
    network.reach(&ALL, begun + heights, SOON * 10)?;
    // Not before it has watched for some time that no other process signs with its key.
    let speaks = || Ok(network.heard(0).is_some_and(|heard| heard.0 > begun));
    until("the validator takes part again", SOON, speaks)?;
    let contradictions = network.witness.contradictions();
    ensure!(contradictions.is_empty(), "EQUIVOCATION of an old image: {contradictions:?}");
    Ok(())
}

/// The image with another port.
fn elsewhere(network: &Validators, image: &Path, name: &str) -> Result<PathBuf> {
    let home = network.files().join(name);
    copy(image, &home)?;
    let settings = fs::read_to_string(home.join("node.toml"))?;
    let others = settings.lines().filter(|line| !line.starts_with("listen"));
    let moved: Vec<&str> = ["listen = [\"/ip4/127.0.0.1/tcp/0\"]"].into_iter().chain(others).collect();
    fs::write(home.join("node.toml"), moved.join("\n"))?;
    Ok(home)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, name) = {
            let entry = entry?;
            (entry.path(), entry.file_name())
        };
        if entry.is_dir() {
            copy(&entry, &to.join(name))?;
        } else if name != "node.log" {
            fs::copy(&entry, to.join(name))?;
        }
    }
    Ok(())
}
