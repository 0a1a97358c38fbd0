//! A part from the middle of a very large object, through a gateway that has never seen it: what it fetches for that.

use anyhow::{Result, ensure};
use ostrakon_benches::{figures::Sheet, noise, wanted::Wanted};
use ostrakon_tests::process::say;

use crate::{http::Body, options::Options, stage::Stage};

const MIB: u64 = 1 << 20;
const KEY: &str = "very-large";

/// Measures.
pub(crate) async fn measure(options: &Options, stage: &mut Stage, sheet: &mut Sheet<'_>) -> Result<()> {
    let (mib, block) = (options.range_mib(), noise(usize::try_from(MIB)?));
    let target = stage.bucket("range").await?;
    target.session().await?.put(KEY, Body { block: &block, times: mib }).await?;
    stage.restart_gateway()?;
    let mut session = stage.target(&target.bucket)?.session().await?;
    // Who signs, and which buckets there are, is fetched once.
    session.head(KEY).await?;
    // Not at a boundary of anything.
    let start = mib / 2 * MIB + MIB / 3;
    let before = stage.fetched()?;
    let part = session.range(KEY, start..start + MIB).await?;
    let fetched = (stage.fetched()? - before) / 1_048_576.0;
    let from = usize::try_from(MIB / 3)?;
    ensure!(part == [&block[from..], &block[..from]].concat(), "WRONG BYTES: what was got is not what was put");
    say(&format!("    1 MiB from the middle of {mib} MiB: {fetched:.2} MiB fetched"));
    sheet.want(format!("1 MiB from the middle of {mib} MiB: MiB fetched"), fetched, Wanted::AtMost(2.2));
    Ok(())
}
