//! A link as it arrives: with a blank, a carriage return, `<...>`, upper case, `ostrakon://` or `%23`. It is read where
//! that is harmless; and where it is not a link, or reading fails, no message, log or process list has a part of its
//! key.

use std::{
    fs,
    io::Write,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ostrakon_proto::{id::ObjectId, link::Link, seal::ObjectKey};
use ostrakon_tests::{
    content,
    process::{Outcome, Running, until},
    scenarios::Stage,
};

const LIMIT: Duration = Duration::from_secs(60);
/// As many characters of a key in a row are no accident.
const PART: usize = 8;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let file = stage.cluster.files.join("linked");
    // More than a pipe holds, so that a command that writes it can be looked at.
    content::write_file(&file, 600, 4 << 20)?;
    let link = stage.cluster.add(&file, &[])?.link;
    let small = stage.cluster.files.join("linked-small");
    fs::write(&small, "a secret letter")?;
    let letter = stage.cluster.add(&small, &[])?.link;

    let changed = harmless_changes(stage, &letter)?;
    other_ways_in(stage, &letter)?;
    not_in_the_process_list(stage, &link)?;
    let refused = refusals(stage, &letter)?;
    failures(stage, &letter)?;
    Ok(format!("{changed} changed links read, {refused} refusals and the failures behind them without a key"))
}

/// What mail, browsers and QR codes do to a link.
fn harmless_changes(stage: &Stage, link: &str) -> Result<usize> {
    let middle = link.len() - 20;
    let changed = [
        link.to_owned(),
        format!("  {link} "),
        format!("{link}\r"),
        format!("{link}\r\n"),
        format!("<{link}>"),
        format!("{}\r\n  {}", &link[..middle], &link[middle..]),
        link.to_uppercase(),
        link.replace("ostrakon:", "ostrakon://"),
        link.replace("ostrakon:", "OSTRAKON://").replace('#', "/#"),
        link.replace('#', "%23"),
        format!(" <{}>\r", link.replace('#', "%23").replace("ostrakon:", "ostrakon://")),
    ];
    for text in &changed {
        expect_letter(&stage.cluster.run(&["cat", text])?)?;
    }
    Ok(changed.len())
}

/// By stdin, a file and the environment, where no other user can read it.
fn other_ways_in(stage: &Stage, link: &str) -> Result<()> {
    let mut command = stage.cluster.command();
    command.args(["cat", "-"]);
    let mut running = Running::spawn(command, Stdio::piped())?;
    running.stdin().context("stdin is a pipe")?.write_all(format!("{link}\r\n").as_bytes())?;
    expect_letter(&running.wait(LIMIT)?)?;

    let path = stage.cluster.files.join("the-link");
    fs::write(&path, format!("<{link}>\n"))?;
    let path = path.to_str().context("the path is plain text")?;
    expect_letter(&stage.cluster.run(&["cat", "--link-file", path])?)?;

    let mut command = stage.cluster.command();
    command.arg("cat").env("OSTRAKON_LINK", link);
    expect_letter(&Running::spawn(command, Stdio::null())?.wait(LIMIT)?)?;
    for args in [&["get", "--link-file", path, "-o", "-"][..], &["status", "--link-file", path]] {
        stage.cluster.run(args)?.expect_code(0)?;
    }
    Ok(())
}

fn expect_letter(outcome: &Outcome) -> Result<()> {
    outcome.expect_code(0)?;
    ensure!(outcome.stdout == b"a secret letter", "other bytes: {outcome}");
    Ok(())
}

/// A command that runs shows its arguments to everyone on the machine.
fn not_in_the_process_list(stage: &Stage, link: &str) -> Result<()> {
    let mut command = stage.cluster.command();
    command.args(["cat", link]);
    let blocked = Blocked::start(command)?;
    let arguments = || fs::read(format!("/proc/{}/cmdline", blocked.0.id()));
    until("the link is gone from the process list", LIMIT, || {
        let shown = String::from_utf8_lossy(&arguments()?).into_owned();
        Ok(shown.contains("cat") && leak(&shown, link).is_none())
    })
}

/// A command whose output nobody reads. Killed when dropped.
struct Blocked(Child);

impl Blocked {
    fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Ok(Self(command.spawn().context("cannot start ostrakon")?))
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // It may have ended by itself, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is not a link is refused by every command that takes one, and by those that take none.
fn refusals(stage: &Stage, link: &str) -> Result<usize> {
    let (head, key) = link.split_once('#').context("a private link has a key")?;
    let damaged = [
        link[..link.len() - 1].to_owned(),
        format!("{link}q"),
        format!("{link}#{key}"),
        link.replacen("bafy", "bafz", 1),
        link.replace('#', "-"),
        link.replace('#', "%23%23"),
        key.to_owned(),
        format!("{head}/{key}/../x#{key}"),
    ];
    let mut count = 0;
    for text in &damaged {
        for args in [
            &["cat", text][..],
            &["get", text, "-o", "-"],
            &["ls", text],
            &["status", text],
            &["verify", text],
            &["rm", "--yes", text],
            &["renew", text, "--epochs", "1"],
            &["certificate", "create", text],
            &["name", "set", "a-name", text],
        ] {
            count += 1;
            refused(stage, args, link)?;
        }
    }
    let (first, rest) = link.split_at(link.len() - 30);
    for args in [
        &["cat", link, "another"][..],
        &["cat", "another", link],
        &["cat", first, rest],
        &["ls", head, link],
        &[link],
        &["wallet", link],
        &["providers", link],
        &["add", "x", "--code", link],
        &["renew", head, "--epochs", link],
        &["wallet", "send", link, "1"],
        &["get", link, "--range", link],
        &["name", "set", "a-name", link],
        &["frobnicate", key],
    ] {
        count += 1;
        refused(stage, args, link)?;
    }
    Ok(count)
}

/// With and without `--json`: a usage error, and no part of the key anywhere.
fn refused(stage: &Stage, args: &[&str], link: &str) -> Result<()> {
    let mut plain = stage.cluster.command();
    plain.args(args);
    for outcome in [Running::spawn(plain, Stdio::null())?.wait(LIMIT)?, stage.cluster.run(args)?] {
        // The line of an outcome has what was typed; what was printed is what counts.
        ensure!(outcome.code == Some(2), "exit code 2 expected from {}", outcome.said());
        silent(&outcome, link)?;
        ensure!(!outcome.said().contains("panicked"), "a panic: {}", outcome.said());
    }
    Ok(())
}

/// Links that are links, of objects that are not there or do not open, with every log there is.
fn failures(stage: &Stage, link: &str) -> Result<()> {
    let mut unknown: Link = link.parse().context("`add` prints a link")?;
    let wrong_key = Link { key: Some(ObjectKey::from_bytes([0x5a; 32])), ..unknown.clone() }.to_string();
    unknown.object = ObjectId::new([7; 32]);
    let (unknown, known) = (unknown.to_string(), link.to_owned());
    for (link, code) in [(&unknown, 3), (&wrong_key, 4), (&known, 0)] {
        for args in [&["cat", link][..], &["verify", link], &["ls", link]] {
            let mut command = stage.cluster.command();
            command.args(["-vv"]).args(args).env("RUST_LOG", "trace");
            let outcome = Running::spawn(command, Stdio::null())?.wait(LIMIT)?;
            let expected = outcome.code == Some(code) || (args[0] == "ls" && code == 0);
            ensure!(expected, "exit code {code} expected from {}: {}", args[0], outcome.said());
            silent(&outcome, link)?;
        }
    }
    Ok(())
}

fn silent(outcome: &Outcome, link: &str) -> Result<()> {
    match leak(&outcome.said(), link) {
        None => Ok(()),
        Some(part) => anyhow::bail!("the part {part:?} of a key is printed: {}", outcome.said()),
    }
}

/// The first part of the link's key that the text has, as it is written or in hexadecimal.
fn leak(text: &str, link: &str) -> Option<String> {
    let text = text.to_lowercase();
    let key = link.split_once('#')?.1.to_owned();
    let bytes = link.parse::<Link>().ok()?.key.map(|key| hex::encode(key.bytes()))?;
    let parts = |secret: &str| -> Vec<String> {
        (0..=secret.len() - PART).map(|at| secret[at..at + PART].to_owned()).collect()
    };
    [parts(&key), parts(&bytes)].concat().into_iter().find(|part| text.contains(part.as_str()))
}
