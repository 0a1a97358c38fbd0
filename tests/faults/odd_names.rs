//! Names with escape codes, newlines and bytes that are not UTF-8: never raw on a terminal, whole in JSON and on disk.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{cluster::Outcome, scenarios::Stage};
use serde_json::Value;

const NAMES: [&[u8]; 4] = [b"red \x1b[31m", b"two\nlines", b"latin \xe9", b"plain"];

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let files = &stage.cluster.files;
    let tree = files.join("odd");
    fs::create_dir(&tree)?;
    for name in NAMES {
        fs::write(tree.join(OsStr::from_bytes(name)), name)?;
    }
    let all = stage.cluster.run(&["add".as_ref(), tree.as_os_str()])?.json::<Value>()?;
    let link = all["link"].as_str().context("a link")?;

    let listed = stage.cluster.shell(&format!("ostrakon ls '{link}'; ostrakon ls -l '{link}'"))?;
    clean(&listed, &["red \\u{1b}[31m", "two\\nlines", "latin \\xe9"])?;
    let entries = stage.cluster.run(&["ls", link])?.json::<Value>()?["entries"].clone();
    let mut found: Vec<Vec<u8>> = entries.as_array().context("entries")?.iter().map(bytes_of).collect();
    found.sort();
    let mut expect = NAMES.map(<[u8]>::to_vec);
    expect.sort();
    ensure!(found == expect, "names are lost: {found:?}");

    let back = files.join("back");
    fs::create_dir(&back)?;
    for name in NAMES {
        let target = [link.as_bytes(), b"/", name].concat();
        let mut command = stage.cluster.command();
        command.arg("get").arg(OsStr::from_bytes(&target)).current_dir(&back);
        let got = ostrakon_tests::process::Running::spawn(command, std::process::Stdio::null())?;
        let got = got.wait(std::time::Duration::from_secs(60))?;
        got.expect_code(0)?;
        clean(&got, &[])?;
    }
    let mut names: Vec<Vec<u8>> =
        fs::read_dir(&back)?.map(|entry| Ok(entry?.file_name().into_vec())).collect::<Result<_>>()?;
    names.sort();
    ensure!(names == expect, "other names came back: {names:?}");

    // A single file's name is kept in the list of what was added, and is what it is saved under.
    let one = files.join(OsStr::from_bytes(b"one\x1b[32m\xe9"));
    fs::write(&one, "one")?;
    for flags in [&[][..], &["--public"]] {
        let added = stage.cluster.add(&one, flags)?;
        clean(&stage.cluster.shell("ostrakon ls; ostrakon ls -l")?, &["one\\u{1b}[32m\\xe9"])?;
        let script = format!(
            "mkdir -p odd-one && cd odd-one && ostrakon -q get '{}' && cmp ../one?* one?* && rm one?*",
            added.link
        );
        stage.cluster.shell(&script)?.expect_code(0)?;
    }
    fs::remove_dir(files.join("odd-one"))?;
    fs::remove_dir_all(tree)?;
    fs::remove_dir_all(back)?;
    fs::remove_file(one)?;
    Ok(format!("{} names", NAMES.len() + 1))
}

/// Nothing that a terminal would obey, and these texts.
fn clean(outcome: &Outcome, shows: &[&str]) -> Result<()> {
    let printed = outcome.said();
    ensure!(!printed.contains('\x1b') && !printed.contains('\u{fffd}'), "raw names on a terminal: {outcome}");
    for text in shows {
        ensure!(printed.contains(text), "{text:?} is not shown: {outcome}");
    }
    Ok(())
}

/// A name of the JSON listing: text, or where that loses bytes hexadecimal.
fn bytes_of(entry: &Value) -> Vec<u8> {
    match entry["path_hex"].as_str() {
        Some(text) => hex::decode(text).unwrap_or_default(),
        None => entry["path"].as_str().unwrap_or_default().as_bytes().to_vec(),
    }
}
