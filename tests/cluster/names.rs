//! Names that stand for objects: set, conflicting, read through by the name, proven absent, by the commands that people
//! use.

use anyhow::{Result, ensure};
use ostrakon_tests::{content, scenarios::Stage};
use serde::Deserialize;

const OTHER: i32 = 1;
const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;

/// What `name show`, `set` and `remove` print.
#[derive(Debug, Deserialize)]
struct Name {
    owner: String,
    cid: Option<String>,
    version: Option<u64>,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (cluster, file) = (&stage.cluster, stage.cluster.files.join("named"));
    let name = |args: &[&str]| cluster.run(&[&["name"], args].concat());
    let first = content::write_file(&file, 500, 10_000)?;
    let one = cluster.add(&file, &[])?;
    let second = content::write_file(&file, 501, 20_000)?;
    let two = cluster.add(&file, &["--public"])?;

    let absent = name(&["show", "report"])?;
    absent.expect_code(NOT_FOUND)?;
    ensure!(absent.said().contains("proven"), "{absent}");
    let leaks = name(&["set", "report", &one.link])?;
    leaks.expect_code(USAGE)?;
    ensure!(!leaks.said().contains(key_of(&one.link)), "the key of a link is said again: {leaks}");
    let set: Name = name(&["set", "report", &one.cid, "--new"])?.json()?;
    let shown: Name = name(&["show", "report"])?.json()?;
    ensure!(shown.cid.as_ref() == Some(&one.cid) && shown.version == set.version, "{shown:?} after {set:?}");
    // The profile remembers the key of what it added.
    cluster.expect_read("name:report", &first)?;

    let version = shown.version.unwrap_or_default();
    let stale = (version + 1).to_string();
    for expect in [&["--new"][..], &["--expect", &stale]] {
        let conflict = name(&[&["set", "report", &two.cid], expect].concat())?;
        conflict.expect_code(OTHER)?;
        for part in [&shown.owner, &one.cid, &format!("version {version}")] {
            ensure!(conflict.said().contains(part.as_str()), "a conflict that does not name {part}: {conflict}");
        }
    }
    let set: Name = name(&["set", "report", &two.cid, "--expect", &version.to_string()])?.json()?;
    ensure!(set.version > Some(version) && set.cid == Some(two.cid.clone()), "{set:?} after {shown:?}");
    // Everybody reads a public object by whose name it is.
    cluster.expect_read(&format!("name:report@{}", shown.owner), &second)?;

    name(&["remove", "report", "--expect", &version.to_string()])?.expect_code(OTHER)?;
    let removed: Name = name(&["remove", "report"])?.json()?;
    ensure!(removed.cid.is_none() && removed.version.is_none(), "{removed:?}");
    name(&["remove", "report"])?.expect_code(NOT_FOUND)?;
    cluster.run(&["cat", "name:report"])?.expect_code(NOT_FOUND)?;
    cluster.run(&["cat", "name:"])?.expect_code(USAGE)?;
    Ok("a name was set, read through, kept from three who did not know its version, and removed".into())
}

/// What stands behind `#`.
fn key_of(link: &str) -> &str {
    link.split_once('#').map_or(link, |(_, key)| key)
}
