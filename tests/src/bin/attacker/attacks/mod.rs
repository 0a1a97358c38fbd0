//! The attacks: each runs until the program ends. [`sockets`] are those that need no handshake, [`connections`] those
//! of many of them; [`questions`] ask what costs the node more than the asker, [`consensus`] asks validators;
//! [`buffers`] fill memory, [`uploads`] fill disks, [`kademlia`] fills address books, [`garbage`] is no request at all,
//! and [`waiting`] is no attack.

mod buffers;
mod connections;
mod consensus;
mod garbage;
mod kademlia;
mod questions;
mod sockets;
mod uploads;
mod waiting;

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures::future::{BoxFuture, FutureExt};
use ostrakon_tests::attack::{ATTACKS, EVERYTHING, WAITING};
use tokio::task::JoinSet;

use crate::outsider::Outsider;

/// Runs the attack of this name, or all.
pub(super) async fn run(name: &str, outsider: Arc<Outsider>) -> Result<()> {
    let chosen: Vec<&str> = match name {
        EVERYTHING => ATTACKS.iter().map(|attack| attack.name).collect(),
        one => vec![one],
    };
    let running: Option<Vec<BoxFuture<'static, ()>>> =
        chosen.into_iter().map(|name| attack(name, Arc::clone(&outsider))).collect();
    let Some(running) = running else { bail!("{name:?} is not an attack") };
    let mut running: JoinSet<()> = running.into_iter().collect();
    let ended = running.join_next().await.context("there is no attack")?;
    ended.with_context(|| format!("the attack {name} panicked"))?;
    bail!("the attack {name} ended by itself")
}

fn attack(name: &str, outsider: Arc<Outsider>) -> Option<BoxFuture<'static, ()>> {
    Some(match name {
        "silent" => sockets::silent(outsider).boxed(),
        "silent-fast" => sockets::silent_fast(outsider).boxed(),
        "drip" => sockets::drip(outsider).boxed(),
        "connections" => connections::many(outsider, 506, 1).boxed(),
        "connections-all" => connections::many(outsider, 3_050, usize::MAX).boxed(),
        "churn" => connections::churn(outsider).boxed(),
        "resets" => connections::resets(outsider).boxed(),
        "yamux-pings" => connections::pings(outsider).boxed(),
        "empty-noise" => connections::empty_noise(outsider).boxed(),
        "long-polls" => questions::long_polls(outsider).boxed(),
        "long-polls-spread" => questions::long_polls_spread(outsider).boxed(),
        WAITING => waiting::clients(outsider).boxed(),
        "snapshots" => questions::snapshots(outsider).boxed(),
        "activity" => questions::activity(outsider).boxed(),
        "records" => questions::records(outsider).boxed(),
        "submit" => questions::submit(outsider).boxed(),
        "get" => questions::missing(outsider).boxed(),
        "votes" => consensus::votes(outsider).boxed(),
        "forged-votes" => consensus::forged_votes(outsider).boxed(),
        "claims" => consensus::claims(outsider).boxed(),
        "one-byte-frames" => buffers::one_byte_frames(outsider).boxed(),
        "late-pongs" => buffers::late_pongs(outsider).boxed(),
        "unread-answers" => buffers::unread_answers(outsider).boxed(),
        "open-uploads" => uploads::open_uploads(outsider).boxed(),
        "credit" => uploads::credit(outsider).boxed(),
        "kademlia" => kademlia::fill(outsider).boxed(),
        "garbage-tcp" => garbage::over_tcp(outsider).boxed(),
        "garbage-quic" => garbage::over_quic(outsider).boxed(),
        _ => return None,
    })
}
