//! Two dozen tiny adds by `xargs -P16` of one profile: all succeed.

use anyhow::{Result, ensure};
use ostrakon_tests::scenarios::Stage;

const ADDS: usize = 24;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let one = stage.cluster.shell("echo first > tiny-0; ostrakon -q add tiny-0")?;
    one.expect_code(0)?;
    let script = format!(
        "for i in $(seq {ADDS}); do echo $i > tiny-$i; done
        seq -f tiny-%g {ADDS} | xargs -P16 -n1 ostrakon -q add"
    );
    let all = stage.cluster.shell(&script)?;
    all.expect_code(0)?;
    let links = String::from_utf8(all.stdout.clone())?;
    let distinct: std::collections::BTreeSet<&str> = links.lines().collect();
    ensure!(distinct.len() == ADDS, "{} links of {ADDS}: {all}", distinct.len());
    let (in_turn, took) = (one.took.as_secs_f32() * 24.0, all.took.as_secs_f32());
    Ok(format!("{ADDS} adds in {took:.1} s; one after the other they take {in_turn:.1} s"))
}
