//! The two commands without a network: what a newcomer types wrong, and what a script relies on.

use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use ostrakon_tests::cluster::{Binaries, Outcome, Running};

mod certificates;
mod founding;
mod help;

const LIMIT: Duration = Duration::from_secs(30);

fn binaries() -> Binaries {
    Binaries::find().expect("the commands are built")
}

fn run(program: &Path, line: &str) -> Outcome {
    let args: Vec<&str> = line.split_whitespace().collect();
    Running::start(program, &args).and_then(|running| running.wait(LIMIT)).expect("the command ends by itself")
}

/// The last part of every refusal: it names what is wrong, in one place, and is no backtrace.
fn assert_clear(outcome: &Outcome, names: &str) {
    assert!(outcome.said().contains(names), "the message does not name {names:?}: {outcome}");
    assert!(!outcome.said().contains("panicked"), "a panic is not a message: {outcome}");
}

#[test]
fn help_and_version_are_on_stdout() {
    let binaries = binaries();
    for program in [&binaries.client, &binaries.node] {
        let name = program.file_name().expect("a file").to_string_lossy();
        for line in ["--help", "--version"] {
            let outcome = run(program, line);
            assert_eq!(outcome.code, Some(0), "{outcome}");
            assert!(String::from_utf8_lossy(&outcome.stdout).contains(&*name), "{outcome}");
            assert!(outcome.stderr.is_empty(), "{outcome}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    let client = binaries().client;
    for (line, names) in [
        ("", "Usage"),
        ("frobnicate", "frobnicate"),
        ("add", "PATH"),
        ("add x --code 6/4", "6/4"),
        ("add x --code 4/300", "4/300"),
        ("add x --epochs 0", "0"),
        ("get ostrakon:gibberish", "not a link"),
        ("get bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", "not a link"),
        ("get bafyr4iaha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4 --range 5-1", "5-1"),
        ("wallet send ost1nonsense 5", "ost1nonsense"),
        ("governance vote 1 maybe", "maybe"),
        ("governance propose admit-validator ostval1nonsense", "ostval1nonsense"),
        ("governance propose upgrade 2", "--epoch"),
        ("devnet up", "--dir"),
        ("demo --nodes 2", "2"),
    ] {
        let outcome = run(&client, line);
        assert_eq!(outcome.code, Some(2), "{outcome}");
        assert_clear(&outcome, names);
    }
}

#[test]
fn a_missing_profile_is_named_with_the_way_out() {
    let client = binaries().client;
    for line in ["ls", "wallet balance", "ledger head", "providers", "governance list"] {
        let outcome = run(&client, &format!("--profile no-such-profile {line}"));
        assert_ne!(outcome.code, Some(0), "{outcome}");
        assert_clear(&outcome, "no-such-profile");
        assert_clear(&outcome, "ostrakon init");
    }
}

#[test]
fn json_has_errors_as_an_object_on_stdout() {
    let outcome = run(&binaries().client, "--json --profile no-such-profile wallet balance");
    let object: serde_json::Value = serde_json::from_slice(&outcome.stdout).expect("one JSON object");
    assert_eq!(object["error"]["code"].as_i64(), outcome.code.map(i64::from), "{outcome}");
    assert!(
        object["error"]["message"].as_str().is_some_and(|message| message.contains("no-such-profile")),
        "{outcome}"
    );
    assert!(object["error"]["hint"].as_str().is_some_and(|hint| hint.contains("ostrakon init")), "{outcome}");
    for line in ["--json --profile no-such-profile cat bafy", "--json frobnicate", "--json add"] {
        let outcome = run(&binaries().client, line);
        let object: serde_json::Value = serde_json::from_slice(&outcome.stdout).expect("one JSON object");
        assert_eq!(object["error"]["code"].as_i64(), Some(2), "{outcome}");
        assert!(outcome.stderr.is_empty(), "stderr has nothing beside the object: {outcome}");
    }
}

#[test]
fn an_interrupted_command_has_the_shell_s_exit_code() {
    let client = binaries().client;
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let mut command = Command::new(&client);
        command.args(["demo", "--nodes", "3", "--kill", "1"]).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        // Once it has printed anything, it listens to signals.
        let stdout = child.stdout.as_mut().expect("piped");
        stdout.read_exact(&mut [0]).expect("it prints what it does");
        let killed = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(killed.expect("kill runs").success());
        let output = child.wait_with_output().expect("ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(&format!("interrupted by SIG{}", &signal[1..])), "{stderr}");
    }
}

#[test]
fn man_pages_are_made_forevery_command() {
    let dir = tempfile::tempdir().expect("a directory");
    let outcome = run(&binaries().client, &format!("generate man {}", dir.path().display()));
    assert_eq!(outcome.code, Some(0), "{outcome}");
    for page in ["ostrakon.1", "ostrakon-add.1", "ostrakon-certificate-verify.1"] {
        assert!(dir.path().join(page).is_file(), "{page} is missing: {outcome}");
    }
}

#[test]
fn completions_are_made_forevery_shell() {
    let client = binaries().client;
    for shell in ["bash", "zsh", "fish"] {
        let outcome = run(&client, &format!("generate completions {shell}"));
        assert_eq!(outcome.code, Some(0), "{outcome}");
        assert!(String::from_utf8_lossy(&outcome.stdout).contains("devnet"), "{outcome}");
    }
}

#[test]
fn a_devnet_that_is_not_there_is_not_found() {
    let client = binaries().client;
    for verb in ["status", "down", "kill 0", "start"] {
        let outcome = run(&client, &format!("devnet {verb} --dir no-such-devnet"));
        assert_eq!(outcome.code, Some(3), "{outcome}");
        assert_clear(&outcome, "no-such-devnet");
    }
}
