//! Blocks that are not everywhere yet: what is acknowledged is read by everyone, whichever node is asked.

use std::time::Duration;

use ostrakon_net::sim::SimConfig;
use tokio::time::{sleep, timeout};

use super::{get, put};
use crate::{
    bucket::{Bucket, BucketError, Put},
    fake::World,
};

/// Five nodes, of which four vote, and a bucket as two machines have it.
async fn two_machines() -> (World, Bucket, Bucket) {
    let world = World::council(5, 4, (SimConfig::default(), 7));
    let one = world.client_as(250).buckets().expect("a key").create("bucket").await.expect("created");
    let other = world.client_as(251).buckets().expect("a key").open("bucket").await.expect("opened");
    put(&one, "key", b"first").await;
    assert_eq!(get(&other, "key").await, b"first");
    (world, one, other)
}

/// Each node in turn lacks the newest block: one of them is the one that the reader asks first.
#[tokio::test(start_paused = true)]
async fn a_read_finds_what_was_acknowledged_though_the_node_that_it_asks_lags() {
    let (world, one, other) = two_machines().await;
    for (round, node) in world.nodes.iter().enumerate() {
        assert_eq!(get(&other, "key").await, get(&one, "key").await, "before round {round}");
        world.hold_back(*node);
        let body = format!("round {round}");
        put(&one, "key", body.as_bytes()).await;
        assert_eq!(get(&other, "key").await, body.as_bytes());
        world.catch_up(*node);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_before_more_than_two_thirds_have_its_block() {
    let (world, one, _) = two_machines().await;
    world.nodes[..2].iter().for_each(|node| world.hold_back(*node));
    let mut putting = std::pin::pin!(put(&one, "key", b"second"));
    assert!(timeout(Duration::from_secs(3), &mut putting).await.is_err(), "two of four validators lack it");
    world.catch_up(world.nodes[0]);
    timeout(Duration::from_secs(3), putting).await.expect("three of four have it");
}

/// A block is with one validator of four: a reader may find it or not, but not one find it and the next one miss it.
#[tokio::test(start_paused = true)]
async fn what_one_reader_has_seen_the_next_one_sees() {
    let (world, one, _) = two_machines().await;
    let mut readers = Vec::new();
    for number in 20..32 {
        let reader = world.client_as(number).buckets().expect("a key").open("bucket").await.expect("opened");
        readers.push((get(&reader, "key").await, reader).1);
    }
    world.nodes[..3].iter().for_each(|node| world.hold_back(*node));
    let putting = one.put("key", Put::new(&b"second"[..]));
    let reading = async {
        sleep(Duration::from_secs(1)).await;
        let mut seen = Vec::new();
        for reader in &readers {
            // Who finds the new block waits until more have it.
            if let Ok(Ok(info)) = timeout(Duration::from_secs(2), reader.head("key")).await {
                seen.push((info.etag.to_string(), reader.is_stale()));
            }
        }
        seen
    };
    let (done, seen) = futures::join!(putting, reading);
    assert!(matches!(done, Err(BucketError::Unavailable(_))), "{done:?}");
    let sure: Vec<&String> = seen.iter().filter(|(_, is_stale)| !is_stale).map(|(etag, _)| etag).collect();
    assert!(!sure.is_empty() && sure.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
}
