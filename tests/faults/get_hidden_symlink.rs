//! In a directory that others can write to, a symlink or hard link of theirs lies where a get would put its hidden
//! file: nothing is written through it, and the get succeeds.

use anyhow::{Result, ensure};
use ostrakon_tests::scenarios::Stage;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    // A get that is killed in the middle shows its hidden names; who can guess names from those plants links there.
    let script = r#"
        set -e
        rm -rf open && mkdir -m 1777 open && echo precious > victim
        head -c 60000000 /dev/urandom > source
        link=$(ostrakon -q add source)
        ostrakon -q get "$link" -o open/out --limit-download 20M & get=$!
        until [ "$(stat -c %b open/.ostrakon-*.part 2>/dev/null || echo 0)" -gt 40000 ]; do sleep 0.01; done
        kill -9 $get; wait $get || true
        for name in open/.ostrakon-*; do
            [ "$(stat -c %a "$name")" = 600 ] || { echo "others can read $name"; exit 1; }
            rm "$name" && ln -s ../victim "$name"
        done
        ostrakon -q get "$link" -o open/out
        cmp source open/out
        for name in open/.ostrakon-*; do rm "$name" && ln victim "$name"; done
        ostrakon -q get "$link" -o open/out --overwrite
        cmp source open/out
        [ "$(cat victim)" = precious ] || { echo "written through"; exit 1; }
        [ ! -L open/out ] && [ "$(stat -c %h open/out)" = 1 ]
        rm -rf open source victim
    "#;
    let outcome = stage.cluster.shell(script)?;
    outcome.expect_code(0)?;
    ensure!(!outcome.said().contains("written through"), "{outcome}");
    Ok("symlinks and hard links at the names of a killed get's hidden files".to_owned())
}
