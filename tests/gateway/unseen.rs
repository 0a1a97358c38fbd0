//! Of a private bucket nothing is on the nodes' disks: not its name, no key, no metadata, no plaintext. The same search
//! finds what was added publicly, so it would find the rest.

use std::fs;

use anyhow::{Result, ensure};
use ostrakon_tests::{content::files_below, scenarios::Stage};

use crate::server::Gateway;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (cluster, mut rng) = (&stage.cluster, stage.rng());
    // Not to be compressed, and found nowhere else.
    let mut needle = |kind: &str| format!("{kind}{:016x}{:016x}", rng.below(u64::MAX), rng.below(u64::MAX));
    let [bucket, key, metadata, body] = ["bucket", "key", "metadata", "body"].map(&mut needle);
    let public = needle("public");
    cluster.run(&["bucket", "create", &bucket])?.expect_code(0)?;
    let gateway = Gateway::start(cluster)?;
    let settings = [("BUCKET", bucket.as_str()), ("KEY", key.as_str()), ("METADATA", &metadata), ("BODY", &body)];
    gateway.run("unseen.py", &settings)?;
    let file = cluster.files.join(&public);
    fs::write(&file, public.repeat(5_000))?;
    cluster.add(&file, &["--public"])?;

    let (needles, mut searched, mut control) = ([&bucket, &key, &metadata, &body], 0, 0);
    for node in cluster.status()?.nodes {
        for path in files_below(&node.data_dir)? {
            // Of what is deleted meanwhile nothing is on the disk.
            let Ok(bytes) = fs::read(&path) else { continue };
            let has = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            let found = needles.into_iter().find(|needle| has(needle));
            ensure!(found.is_none(), "{} has {found:?}", path.display());
            control += usize::from(has(&public));
            searched += 1;
        }
    }
    ensure!(control > 0, "what was added publicly was not found either");
    Ok(format!("{searched} files have no name, key, metadata or byte of a private bucket; {control} a public file's"))
}
