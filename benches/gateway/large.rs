//! A large object through the gateway, beside the same through the SDK: put and got in turn.

use std::time::Instant;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::TryStreamExt;
use ostrakon_benches::{against::median, figures::Sheet, float, noise, wanted::Wanted};
use ostrakon_tests::{interrupt, process::say};

use crate::{http::Body, options::Options, stage::Stage};

/// Put before anything counts: connections and allocators are then what they stay.
const WARM_UP: usize = 8 << 20;

/// Seconds of a put and of a get.
type Took = (f64, f64);

/// Measures.
pub(crate) async fn measure(options: &Options, stage: &Stage, sheet: &mut Sheet<'_>) -> Result<()> {
    let (size, rounds) = options.large();
    let target = stage.bucket("large").await?;
    let (mut ours, mut theirs): (Vec<Took>, Vec<Took>) = Default::default();
    let mib = size >> 20;
    for round in 0..=rounds {
        interrupt::check()?;
        let bytes = Bytes::from(noise(if round == 0 { WARM_UP } else { size }));
        let direct = by_sdk(stage, bytes.clone()).await?;
        let mut session = target.session().await?;
        let (key, began) = (format!("object-{round}"), Instant::now());
        session.put(&key, Body::of(&bytes)).await?;
        let (put, began) = (began.elapsed().as_secs_f64(), Instant::now());
        session.get_same(&key, &bytes).await?;
        let through = (put, began.elapsed().as_secs_f64());
        if round > 0 {
            let [(add, get), (put, got)] = [direct, through];
            say(&format!("    {mib} MiB: SDK {add:.2} s and {get:.2} s, gateway {put:.2} s and {got:.2} s"));
            theirs.push(direct);
            ours.push(through);
        }
    }
    let middle = |all: &[Took], pick: fn(&Took) -> f64| median(&all.iter().map(pick).collect::<Vec<_>>());
    let [add, get] = [middle(&theirs, |took| took.0), middle(&theirs, |took| took.1)];
    let [put, got] = [middle(&ours, |took| took.0), middle(&ours, |took| took.1)];
    let rate = |seconds: Option<f64>| Some(float(u64::try_from(mib).ok()?) / seconds?);
    let ratio = |above: Option<f64>, below: Option<f64>| Some(above? / below?);
    sheet.add(format!("{mib} MiB: the SDK adds, MiB/s"), rate(add));
    sheet.add(format!("{mib} MiB: the SDK gets, MiB/s"), rate(get));
    sheet.want(format!("{mib} MiB: rate of a PUT, times the SDK's add"), ratio(add, put), Wanted::AtLeast(0.7));
    sheet.want(format!("{mib} MiB: rate of a GET, times the SDK's get"), ratio(get, got), Wanted::AtLeast(0.8));
    Ok(())
}

/// The same by the SDK, in this process.
async fn by_sdk(stage: &Stage, bytes: Bytes) -> Result<Took> {
    let began = Instant::now();
    let added = stage.client.add_bytes(bytes.clone()).await?;
    let (add, began) = (began.elapsed().as_secs_f64(), Instant::now());
    let (mut stream, mut at) = (Box::pin(stage.client.get(&added.link).stream()), 0);
    while let Some(piece) = stream.try_next().await? {
        ensure!(bytes[at..].starts_with(&piece), "WRONG BYTES: what was got is not what was added");
        at += piece.len();
    }
    ensure!(at == bytes.len(), "WRONG BYTES: {} are missing at the end", bytes.len() - at);
    Ok((add, began.elapsed().as_secs_f64()))
}
