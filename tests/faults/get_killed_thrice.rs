//! `kill -9` in a directory's get, three times, and then the whole: one hidden directory at most, and none at the end;
//! what was fetched is not fetched again.

use anyhow::{Result, ensure};
use ostrakon_tests::scenarios::Stage;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let script = r#"
        set -e
        rm -rf tree out && mkdir tree
        for number in 1 2 3 4 5 6 7 8 9 10 11 12; do head -c 5000000 /dev/urandom > tree/$number; done
        all=$(ostrakon -q add tree)
        for files in 3 5 8; do
            ostrakon -q get "$all" -o out --limit-download 20M & get=$!
            until [ "$(ls .ostrakon-*.part 2>/dev/null | wc -l)" -ge $files ]; do sleep 0.01; done
            kill -9 $get; wait $get || true
            [ "$(ls -d .ostrakon-* | wc -l)" = 1 ] || { ls -a; echo "hidden directories pile up"; exit 1; }
            [ ! -e out ] || { echo "a part has the name of the whole"; exit 1; }
        done
        ostrakon --json get "$all" -o out
        diff -r tree out
        [ -z "$(ls -d .ostrakon-* 2>/dev/null)" ] || { ls -a; echo "left over"; exit 1; }
        rm -r tree out
    "#;
    let outcome = stage.cluster.shell(script)?;
    outcome.expect_code(0)?;
    let got: serde_json::Value = serde_json::from_slice(&outcome.stdout)?;
    let (resumed, size) = (got["resumed"].as_u64().unwrap_or(0), got["size"].as_u64().unwrap_or(0));
    ensure!(resumed >= 20_000_000 && size == 60_000_000, "{resumed} of {size} bytes resumed: {outcome}");
    Ok(format!("three kills; {resumed} of {size} bytes were not fetched again"))
}
