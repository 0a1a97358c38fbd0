//! What `get` and `ls` print is short and right: "1 entry", no rate of three bytes; `ls` takes several, and `-l` alone.

use anyhow::{Result, ensure};
use ostrakon_tests::scenarios::Stage;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let script = r#"
        set -e
        mkdir -p short1 short2 && printf abc > short1/a && printf abc > short2/a && printf abc > short2/b
        ostrakon -q add short1; ostrakon -q add short2; ostrakon -q add short1/a
    "#;
    let added = stage.cluster.shell(script)?;
    let links = String::from_utf8_lossy(&added.expect_code(0)?.stdout).into_owned();
    let links: Vec<&str> = links.lines().collect();
    let [one, two, file] = links[..] else { anyhow::bail!("three links expected from {added}") };
    let get = |link: &str| stage.cluster.shell(&format!("rm -rf out; ostrakon get '{link}' -o out; rm -rf out"));
    for (link, expect) in [(one, "3 B to out"), (two, "2 entries, 6 B to out"), (file, "3 B to out")] {
        let outcome = get(link)?;
        outcome.expect_code(0)?;
        let printed = String::from_utf8_lossy(&outcome.stdout).into_owned();
        ensure!(printed.trim() == expect && outcome.stderr.is_empty(), "{expect:?} expected: {outcome}");
    }
    let quiet = stage.cluster.shell(&format!("ostrakon cat '{file}'"))?;
    ensure!(quiet.expect_code(0)?.stdout == b"abc" && quiet.stderr.is_empty(), "more than the file: {quiet}");
    let several = stage.cluster.shell(&format!("ostrakon ls '{one}' '{two}'"))?;
    let lines = String::from_utf8_lossy(&several.expect_code(0)?.stdout).lines().count();
    ensure!(lines == 5, "two titles and three names expected: {several}");
    ensure!(!several.said().contains('#'), "a key is printed: {several}");
    let long = stage.cluster.shell("ostrakon ls -l")?;
    ensure!(long.expect_code(0)?.said().contains("UTC"), "no times: {long}");
    stage.cluster.shell("rm -r short1 short2")?.expect_code(0)?;
    Ok("one and two entries, a file; ls of two, ls -l".to_owned())
}
