//! The verbs against fake nodes, on virtual time: sizes, ranges, and holders that fail in every way.

use std::{
    collections::BTreeSet,
    future::IntoFuture,
    sync::{Arc, Mutex, OnceLock},
};

use futures::StreamExt;
use ostrakon_lies::{Lie, hints, proven};
use ostrakon_net::{lock, sim::SimConfig};
use ostrakon_proto::{
    id::{AccountId, Amount, BlockId, Height, NodeId},
    ledger::{
        state::{ProposalOutcome, ProposedChange},
        tx::{Action, Anchor, Ballot, DecidedBlock, Drain, Evidence, Header, Propose, Transfer},
        vote::{QuorumCertificate, SignedVote, Vote, VoteKind},
    },
    light::{self, CertifiedHeader, Checkpoint, activity::AccountTx},
    limits,
    link::Link,
    params::Code,
    seal::ObjectKey,
    sign::Keypair,
};
use tokio::{
    io::{AsyncReadExt, AsyncSeekExt},
    time::{Duration, Instant},
};

use crate::{
    Activity, Add, AddError, Added, Client, ColumnCheck, Error, ErrorKind, Event, Events, GetError, Hint,
    StatusOptions, StatusState,
    chain::{Chain, ChainError},
    fake::{Fault, World, account, crowd, validator},
};

mod adding;
mod dead;
mod ledger;
mod lies;
mod reading;
mod single_files;

const CODE: Code = Code { k: 4, n: 9 };

/// An add of these bytes, whose length is announced.
fn adding(client: &Client, data: &[u8]) -> Add<'static> {
    client.add_bytes(data.to_vec()).code(CODE).epochs(10)
}

/// An add of these bytes, whose length is found out.
fn streaming<'a>(client: &Client, data: &'a [u8]) -> Add<'a> {
    client.add_reader(data).code(CODE).epochs(10)
}

fn bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"content").finalize_xof().fill(&mut bytes);
    bytes
}

async fn add(client: &Client, data: &[u8]) -> Added {
    adding(client, data).await.expect("added")
}

async fn get(client: &Client, link: &Link) -> Result<(Vec<u8>, crate::Fetched), Error> {
    let mut out = Vec::new();
    let fetched = client.get(link).write_to(&mut out).await?;
    Ok((out, fetched))
}

fn holders(added: &Added) -> Vec<NodeId> {
    added.slots.iter().map(|slot| slot.provider).collect()
}

/// Notes what it is told.
fn listener() -> (impl Fn(Event) + Send + Sync + 'static, Arc<Mutex<Vec<Event>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&told);
    (move |event| lock(&to).push(event), told)
}

#[tokio::test(start_paused = true)]
async fn what_was_added_comes_back() {
    let world = World::new(14);
    let client = world.client();
    // Nothing; a short stripe; a whole piece of each kind; one row and a bit; many rows; more than is read ahead.
    for len in [0, 1, 100, 65_520, 65_536, 4 * 65_536, 1_048_577, 7 << 20, (16 << 20) + 1] {
        let data = bytes(len);
        for public in [false, true] {
            for size in [None, Some(u64::try_from(len).expect("small"))] {
                let mut add = streaming(&client, &data);
                (add.options.public, add.options.size) = (public, size);
                let added = add.await.expect("added");
                assert_eq!(
                    (added.size, added.slots.len(), added.link.key.is_none()),
                    (u64::try_from(len).expect("small"), 9, public)
                );
                assert_eq!(
                    added.term.existing,
                    public && size.is_some(),
                    "{len}: the second of two public ones is there"
                );
                let (got, fetched) = get(&client, &added.link).await.expect("got");
                assert!(got == data, "{len} {public} {size:?}");
                assert_eq!((fetched.blake3, fetched.reconstructed), (Some(blake3::hash(&data).into()), false));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn futures_can_be_spawned() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let world = World::new(14);
    let client = world.client();
    let none = Events::none();
    let added = is_send(client.add_bytes("bytes").into_future()).await.expect("added");
    let mut out = Vec::new();
    is_send(client.get(&added.link).write_to(&mut out)).await.expect("got");
    assert_eq!(is_send(client.get(&added.link).bytes()).await.expect("got"), out);
    assert!(is_send(client.get(&added.link).stream()).all(|bytes| std::future::ready(bytes.is_ok())).await);
    let mut reader = is_send(client.get(&added.link).reader()).await.expect("opened");
    assert_eq!(is_send(reader.read(&mut [0; 9])).await.expect("read"), 5);
    let directory = tempfile::tempdir().expect("a directory");
    is_send(client.get(&added.link).save(directory.path().join("x"))).await.expect("saved");
    is_send(client.verify(&added.link, &none)).await.expect("verified");
    is_send(client.status(&added.link, StatusOptions { probe: true })).await.expect("known");
    is_send(client.release(added.link.object).into_future()).await.expect("released");
}

/// Four transactions of the account's own, with those of another between them, of which two pay it.
fn busy() -> World {
    let world = World::new(4);
    let (own, other) = (account(), crowd());
    let pay = |to: &Keypair, amount| Action::Transfer(Transfer { to: to.public(), amount: Amount(amount) });
    let anchor = || Action::Anchor(Anchor { hash: [1; 32] });
    world.act(&[(&own, pay(&other, 1)), (&other, anchor())]);
    world.act(&[(&other, pay(&own, 2)), (&own, anchor()), (&own, pay(&other, 3)), (&other, pay(&own, 4))]);
    world.act(&[(&own, pay(&own, 5)), (&other, anchor())]);
    world
}

/// Amounts of what is listed; anchors are 0.
fn amounts(activity: &Activity) -> Vec<u64> {
    let amount = |entry: &AccountTx| match &entry.tx.body.action {
        Action::Transfer(transfer) => transfer.amount.0,
        _ => 0,
    };
    activity.txs.iter().map(amount).collect()
}
