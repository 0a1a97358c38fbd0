//! `add a b`: an object each; from a list too; and one that fails does not keep the others.

use anyhow::{Result, ensure};
use ostrakon_tests::scenarios::Stage;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let script = "echo a > a; echo b > b; mkdir -p c/target; echo c > c/in; echo no > c/target/out
        ostrakon -q add a b > two; printf 'a\\nc\\n' | ostrakon -q add --files-from - --exclude target > listed
        for link in $(cat two); do ostrakon -q cat $link; done
        ostrakon -q ls $(tail -n1 listed)";
    let several = stage.cluster.shell(script)?;
    several.expect_code(0)?;
    ensure!(several.stdout == b"a\nb\nin\n", "{several}");
    let one_missing = stage.cluster.shell("ostrakon -q add a not-there b")?;
    one_missing.expect_code(2)?;
    let links = String::from_utf8_lossy(&one_missing.stdout).lines().count();
    ensure!(links == 2 && one_missing.stderr.contains("not-there"), "{one_missing}");
    Ok("two paths, a list, globs, and one path that is missing".to_owned())
}
