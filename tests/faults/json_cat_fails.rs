//! `--json cat` of what fails: one JSON object in all, on one stream, and nothing else.

use anyhow::{Context, Result, ensure};
use ostrakon_proto::id::ObjectId;
use ostrakon_tests::scenarios::Stage;
use serde_json::Value;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let unknown = ObjectId::new([7; 32]).to_string();
    let added = stage.cluster.shell("mkdir -p tree; echo x > tree/x; ostrakon -q add tree")?;
    let tree = String::from_utf8_lossy(&added.expect_code(0)?.stdout).trim().to_owned();
    let inside = format!("{tree}/none");
    let cases: [(&[&str], i32); 6] = [
        (&["cat", &unknown], 3),
        (&["cat", &tree], 2),
        (&["cat", &inside], 3),
        (&["get", &unknown, "-o", "-"], 3),
        (&["get", &unknown, "-o", "x"], 3),
        (&["cat", &inside, "--range", "x"], 2),
    ];
    for (args, code) in cases {
        let outcome = stage.cluster.run(args)?;
        outcome.expect_code(code)?;
        let all = format!("{}{}", String::from_utf8_lossy(&outcome.stdout), outcome.stderr);
        let object: Value = serde_json::from_str(&all).with_context(|| format!("more than one object: {outcome}"))?;
        ensure!(object["error"]["code"].as_i64() == Some(code.into()), "another code in the object: {outcome}");
    }
    stage.cluster.shell("rm -r tree")?.expect_code(0)?;
    Ok(format!("{} failures", cases.len()))
}
