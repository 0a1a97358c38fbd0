//! `get DIRLINK -o home` on a directory with files of one's own: they all stay, whatever the flags.

use anyhow::{Result, ensure};
use ostrakon_tests::scenarios::Stage;

const USAGE: i32 = 2;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let prepare = r#"
        rm -rf home tree && mkdir -p home/mine tree/sub
        echo diary > home/mine/diary; echo old > home/shared; echo new > tree/shared; echo x > tree/sub/x
        all=$(ostrakon -q add tree)
        mine() { [ "$(cat home/mine/diary)" = diary ] || { echo DELETED; exit 99; }; }
    "#;
    let try_it = |script: &str| stage.cluster.shell(&format!("{prepare}\n{script}\ncode=$?; mine; exit $code"));
    let refused = try_it("ostrakon get \"$all\" -o home")?;
    refused.expect_code(USAGE)?;
    ensure!(refused.stderr.contains("--overwrite") && refused.stderr.contains("not empty"), "no way out: {refused}");
    try_it("ostrakon get \"$all\" -o home --force")?.expect_code(USAGE)?;
    let merged = "ostrakon get \"$all\" -o home --overwrite; [ $(cat home/shared) = new ] && [ -e home/sub/x ]";
    try_it(merged)?.expect_code(0)?;
    try_it("ostrakon get \"$all\" -o home/; [ $(cat home/shared) = old ] && [ -e home/tree/sub/x ]")?.expect_code(0)?;
    try_it("mkdir home/new; ostrakon get \"$all\" -o home/new && [ -e home/new/sub/x ]")?.expect_code(0)?;
    try_it("cd home && ostrakon get \"$all\" -o . && cd .. && [ -e home/tree/sub/x ]")?.expect_code(0)?;
    // A directory of theirs where a file is to be, or a symlink where a directory is: nothing is changed.
    let in_the_way = try_it("rm home/shared; mkdir home/shared; ostrakon get \"$all\" -o home --overwrite")?;
    in_the_way.expect_code(USAGE)?;
    ensure!(in_the_way.stderr.contains("home/shared"), "what is in the way is not named: {in_the_way}");
    let over_link = "ln -s mine home/sub; ostrakon get \"$all\" -o home --overwrite; code=$?; ls home/mine; exit $code";
    let link = try_it(over_link)?;
    link.expect_code(USAGE)?;
    ensure!(String::from_utf8_lossy(&link.stdout).trim() == "diary", "written through a symlink: {link}");
    stage.cluster.shell("rm -rf home tree")?.expect_code(0)?;
    Ok("refused, merged, put into it, into an empty one; what is in the way stays".to_owned())
}
