//! A bucket of very many keys, beside one of a thousand: what its index takes, and what a gateway that has read nothing
//! yet, and then one that has, needs for a question.
//!
//! The keys are put by the SDK, whose writer is the gateway's: more of its puts wait at the same time than a gateway
//! answers requests, so that it takes minutes, and not hours.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use ostrakon::bucket::{Bucket, Put};
use ostrakon_benches::{
    figures::{Sheet, percentile},
    float,
    wanted::Wanted,
};
use ostrakon_tests::{interrupt, process::say};
use tokio::time::sleep;

use crate::{
    crowd::SeededRng,
    options::Options,
    s3::{Session, Target},
    stage::{Ledger, Stage},
};

/// Keys of the other bucket.
const FEW: u64 = 1_000;
/// Puts that wait at the same time: two batches of them.
const WAITING: usize = 2_048;
/// Questions about one key, and pages of lists, whose medians are compared.
const HEADS: usize = 200;
const LISTS: usize = 20;
/// Keys of a page.
const PAGE: usize = 1_000;
/// What a byte costs the holders, of the code of a network of this size.
const STORED: f64 = 3.0;
/// How often what the index no longer needs is released, and the pause before the next time.
const LOOKS: usize = 60;
const PAUSE: Duration = Duration::from_secs(2);
const MIB: f64 = 1_048_576.0;

/// Medians of what a bucket's questions took, in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    head: f64,
    list: f64,
}

/// Measures.
pub(crate) async fn measure(options: &Options, stage: &mut Stage, sheet: &mut Sheet<'_>) -> Result<()> {
    let keys = options.keys();
    stage.bucket("few").await?;
    fill(&stage.buckets.open("few").await?, FEW).await?;
    stage.bucket("many").await?;
    let (bucket, before) = (stage.buckets.open("many").await?, stage.ledger().await?);
    fill(&bucket, keys).await?;
    let after = settled(stage, &bucket).await?;
    let each = (after.stored - before.stored) / STORED / float(keys);
    sheet.want(format!("{keys} keys of 40 bytes: bytes of index for each"), each, Wanted::AtMost(150.0));

    stage.restart_gateway()?;
    let (many, few) = (stage.target("many")?, stage.target("few")?);
    let began = Instant::now();
    ensure!(many.session().await?.list("", PAGE).await? == PAGE, "the first page is not full");
    let (took, fetched) = (began.elapsed().as_secs_f64(), stage.fetched()? / MIB);
    say(&format!("    the first list: {took:.2} s, {fetched:.2} MiB fetched"));
    sheet.want("first list of a new gateway: s", took, Wanted::AtMost(3.0));
    sheet.want("first list of a new gateway: MiB fetched", fetched, Wanted::AtMost(4.0));

    let [few, many] = [ask(&few, FEW).await?, ask(&many, keys).await?];
    sheet.add(format!("{FEW} keys: a HEAD, ms"), few.head * 1e3);
    sheet.add(format!("{FEW} keys: a page of a list, ms"), few.list * 1e3);
    sheet.want(format!("{keys} keys: a HEAD, times that"), many.head / few.head, Wanted::AtMost(3.0));
    sheet.want(format!("{keys} keys: a page of a list, times that"), many.list / few.list, Wanted::AtMost(3.0));
    Ok(())
}

/// The key with this number: 40 bytes, not in the order in which they are put.
fn key(number: u64) -> String {
    let digits = blake3::hash(&number.to_le_bytes()).to_hex();
    format!("{}/{}", &digits[..12], &digits[12..39])
}

/// Puts so many empty objects.
async fn fill(bucket: &Bucket, keys: u64) -> Result<()> {
    let began = Instant::now();
    let put = |number: u64| async move {
        interrupt::check()?;
        bucket.put(&key(number), Put { size: Some(0), ..Put::new(tokio::io::empty()) }).await?;
        if number > 0 && number.is_multiple_of(100_000) {
            say(&format!("    {number} keys after {} s", began.elapsed().as_secs()));
        }
        anyhow::Ok(())
    };
    stream::iter(0..keys).map(put).buffer_unordered(WAITING).try_collect::<()>().await?;
    say(&format!("    {keys} keys were put in {:.1} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// Waits until the runs that are to be merged are, and what is used no more is gone: what is released is stored until
/// its epoch ends. Returns what the ledger counts then.
async fn settled(stage: &Stage, bucket: &Bucket) -> Result<Ledger> {
    let mut last = stage.ledger().await?;
    for _ in 0..LOOKS {
        interrupt::check()?;
        sleep(PAUSE).await;
        // The gateway looks after the bucket too, and may come first.
        let released = bucket.compact().await.map_or(1, |done| done.released);
        let now = stage.ledger().await?;
        if released > 0 || now.stored.to_bits() != last.stored.to_bits() {
            last = now;
        } else if now.epoch.0 > last.epoch.0 + 1 {
            break;
        }
    }
    Ok(last)
}

/// Asks for keys at random, and lists from keys at random.
async fn ask(target: &Target, keys: u64) -> Result<Asked> {
    let (mut session, mut rng) = (target.session().await?, SeededRng::new(0));
    let (mut heads, mut lists) = (Vec::new(), Vec::new());
    for _ in 0..HEADS {
        let began = Instant::now();
        session.head(&key(rng.below(keys))).await?;
        heads.push(began.elapsed().as_secs_f64());
    }
    for _ in 0..LISTS {
        interrupt::check()?;
        lists.push(page(&mut session, &key(rng.below(keys))).await?);
    }
    let middle = |values: &mut Vec<f64>| percentile(values, 50).unwrap_or(f64::NAN);
    let asked = Asked { head: middle(&mut heads), list: middle(&mut lists) };
    say(&format!("    {keys} keys: a HEAD {:.1} ms, a page {:.1} ms", asked.head * 1e3, asked.list * 1e3));
    Ok(asked)
}

/// How long a page takes that begins after this key.
async fn page(session: &mut Session, after: &str) -> Result<f64> {
    let began = Instant::now();
    session.list(&after.replace('/', "%2F"), PAGE).await?;
    Ok(began.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_of_forty_bytes_and_in_no_order() {
        let keys: Vec<String> = (0..100).map(key).collect();
        assert!(keys.iter().all(|key| key.len() == 40), "{keys:?}");
        assert!(!keys.is_sorted());
    }
}
