//! A client that puts one small object after the other, beside one that submits plain transactions: in turn, so that
//! both meet the same network.

use std::time::Instant;

use anyhow::Result;
use ostrakon_benches::{against::median, figures::Sheet, noise, wanted::Wanted};
use ostrakon_tests::{interrupt, process::say};

use crate::{crowd::SIZE, http::Body, options::Options, stage::Stage};

/// Measures.
pub(crate) async fn measure(options: &Options, stage: &Stage, sheet: &mut Sheet<'_>) -> Result<()> {
    let target = stage.bucket("lone").await?;
    let (mut session, body) = (target.session().await?, noise(SIZE));
    session.put("first", Body::of(&body)).await?;
    let (mut puts, mut transactions) = (Vec::new(), Vec::new());
    for number in 0..options.lone() {
        interrupt::check()?;
        let began = Instant::now();
        stage.client.anchor(blake3::hash(&number.to_le_bytes()).into()).await?;
        transactions.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        session.put(&format!("key-{number}"), Body::of(&body)).await?;
        puts.push(began.elapsed().as_secs_f64());
    }
    let (put, submitted) = (median(&puts), median(&transactions));
    let ms = |seconds: Option<f64>| seconds.unwrap_or_default() * 1e3;
    say(&format!("    a PUT {:.0} ms, a transaction {:.0} ms", ms(put), ms(submitted)));
    let ratio = put.zip(submitted).map(|(put, submitted)| put / submitted);
    sheet.add("a transaction, from submitted to final: median, s", submitted);
    sheet.add("a lone PUT of 4 KiB: median, s", put);
    sheet.want("a lone PUT, times a transaction", ratio, Wanted::AtMost(2.5));
    Ok(())
}
