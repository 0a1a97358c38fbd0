//! Ranges at the end of a file, as HTTP has them: what starts before the end is cut off there, what starts at the end
//! or after it is an error, and `-N` is the last N bytes.

use anyhow::{Result, ensure};
use ostrakon_tests::scenarios::Stage;

const USAGE: i32 = 2;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let script = "mkdir -p ranges && printf 0123456789 > ranges/ten && : > ranges/none
        ostrakon -q add ranges/ten; ostrakon -q add ranges";
    let added = stage.cluster.shell(script)?;
    let links = String::from_utf8_lossy(&added.expect_code(0)?.stdout).into_owned();
    let links: Vec<&str> = links.lines().collect();
    let [file, tree] = links[..] else { anyhow::bail!("two links expected from {added}") };
    let (inside, empty) = (format!("{tree}/ten"), format!("{tree}/none"));
    let cases: [(&str, Option<&str>); 12] = [
        ("0-0", Some("0")),
        ("9-9", Some("9")),
        ("9-", Some("9")),
        ("8-99", Some("89")),
        ("0-", Some("0123456789")),
        ("-3", Some("789")),
        ("-99", Some("0123456789")),
        ("10-", None),
        ("10-10", None),
        ("11-", None),
        ("11-20", None),
        ("-0", None),
    ];
    for link in [file, &inside] {
        for (range, expect) in cases {
            check(stage, link, range, expect)?;
        }
    }
    check(stage, &empty, "-5", Some(""))?;
    check(stage, &empty, "0-", None)?;
    stage.cluster.shell("rm -r ranges")?.expect_code(0)?;
    Ok(format!("{} ranges, of a file and of one in a directory", cases.len() + 2))
}

fn check(stage: &Stage, link: &str, range: &str, expect: Option<&str>) -> Result<()> {
    let commands = [
        "cat '{}' --range={}",
        "get '{}' -o - --range={}",
        "get '{}' -o range-part --overwrite --range={} && cat range-part",
    ];
    for command in commands {
        let command = command.replacen("{}", link, 1).replacen("{}", range, 1);
        let quiet = if command.contains("range-part") { "-q" } else { "" };
        let script = format!("rm -f range-part; ostrakon {quiet} {command}; code=$?; rm -f range-part; exit $code");
        let outcome = stage.cluster.shell(&script)?;
        match expect {
            Some(bytes) => {
                outcome.expect_code(0)?;
                let got = String::from_utf8_lossy(&outcome.stdout).into_owned();
                let is_part = bytes.len() == 10 || !got.contains("0123456789");
                ensure!(got.ends_with(bytes) && is_part, "{bytes:?} expected: {outcome}");
            }
            None => {
                outcome.expect_code(USAGE)?;
                ensure!(outcome.stderr.contains("range"), "the range is not named: {outcome}");
            }
        }
    }
    Ok(())
}
