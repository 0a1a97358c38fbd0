//! A destination that cannot be written to is refused before anything is fetched, and leaves nothing hidden behind.

use std::time::Duration;

use anyhow::{Result, ensure};
use ostrakon_tests::{content, scenarios::Stage};

const USAGE: i32 = 2;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    content::write_file(&stage.cluster.files.join("source"), 911, 40_000_000)?;
    let added = stage.cluster.add(&stage.cluster.files.join("source"), &[])?;
    // Fetched at this rate, the object would take a day.
    let get = |output: &str| {
        let script = format!(
            "mkdir -p there && touch file && before=$(find . | sort)
            ostrakon get '{}' --limit-download 500 -o {output}; code=$?
            [ \"$before\" = \"$(find . | sort)\" ] || {{ find . | sort; exit 99; }}; exit $code",
            added.link
        );
        stage.cluster.shell(&script)
    };
    let tried = [
        ("newdir/", "newdir"),
        ("there", "there"),
        ("there --overwrite", "there"),
        ("file", "--overwrite"),
        ("no/such/place", "no/such"),
        ("file/x", "file"),
        ("''", "-o"),
    ];
    for (output, names) in tried {
        let outcome = get(output)?;
        outcome.expect_code(USAGE)?;
        ensure!(outcome.stderr.contains(names), "the message does not name {names:?}: {outcome}");
        ensure!(outcome.took < Duration::from_secs(60), "refused late: {outcome}");
    }
    stage.cluster.shell("rm -r there file source")?.expect_code(0)?;
    Ok(format!("{} destinations", tried.len()))
}
