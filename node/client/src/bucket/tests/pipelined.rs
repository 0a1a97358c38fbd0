//! Batches that follow each other without waiting until they are final, on a ledger whose blocks take their time.

use std::time::Duration;

use ostrakon_net::sim::{LinkConditions, SimConfig};
use ostrakon_proto::id::NodeId;
use tokio::time::{Instant, sleep};

use super::*;

/// How long a block takes.
const BLOCK: Duration = Duration::from_secs(2);
/// Seeds of the tests with chance.
const SEEDS: std::ops::Range<u64> = 0..6;

async fn opened(world: &World, number: u8) -> Bucket {
    world.client_as(number).buckets().expect("a key").open("test-bucket").await.expect("opened")
}

#[tokio::test(start_paused = true)]
async fn batches_do_not_wait_for_each_other() {
    let world = World::slow(14, BLOCK, SimConfig::default(), 7);
    let (_client, bucket) = bucket(&world).await;
    put(&bucket, "first", b"so that everything is known").await;
    let (began, before) = (Instant::now(), world.transactions());
    let puts = (0..3_u64).map(|number| {
        let bucket = bucket.clone();
        async move {
            sleep(Duration::from_millis(200 * number)).await;
            put(&bucket, &format!("key-{number}"), b"x").await;
        }
    });
    futures::future::join_all(puts).await;
    assert_eq!(world.transactions() - before, 3, "a batch each");
    assert!(began.elapsed() < 2 * BLOCK, "{:?}: one after the other takes three blocks", began.elapsed());
    for number in 0..3 {
        assert_eq!(get(&opened(&world, 251).await, &format!("key-{number}")).await, b"x");
    }
}

/// What is refused by a state that is not final yet is told once it is; and so many batches that runs are merged.
#[tokio::test(start_paused = true)]
async fn batches_on_their_way_are_judged_by() {
    let world = World::slow(14, BLOCK, SimConfig::default(), 7);
    let (_client, bucket) = bucket(&world).await;
    let creates = (0..40_u64).map(|number| {
        let bucket = bucket.clone();
        async move {
            sleep(Duration::from_millis(300 * number)).await;
            let (key, body) = (format!("key-{}", number / 2), number.to_string());
            let put = Put { condition: Condition::Absent, ..Put::new(body.as_bytes()) };
            bucket.put(&key, put).await.map(|_| (key, body.clone()))
        }
    });
    let done = futures::future::join_all(creates).await;
    let refused = done.iter().filter(|done| matches!(done, Err(BucketError::Precondition))).count();
    let made: BTreeMap<String, String> = done.into_iter().flatten().collect();
    assert_eq!((made.len(), refused), (20, 20), "of two who create one key one does");
    let other = opened(&world, 251).await;
    for (key, body) in made {
        assert_eq!(get(&other, &key).await, body.into_bytes());
    }
    assert_eq!(other.check().await.expect("checked").problems, Vec::<String>::new());
}

/// A merged run is an object of its own, which is read only once it is on the ledger. Its writer is not taken for two.
#[tokio::test(start_paused = true)]
async fn a_lone_writer_merges_without_a_contest() {
    let world = World::slow(14, BLOCK, SimConfig::default(), 7);
    let (_client, bucket) = bucket(&world).await;
    // Runs of the second level are merged into one of the third.
    let puts = (0..80_u64).map(|number| {
        let bucket = bucket.clone();
        async move {
            sleep(BLOCK / 2 * u32::try_from(number).expect("few")).await;
            let began = Instant::now();
            put(&bucket, &format!("key-{number}"), b"x").await;
            began.elapsed()
        }
    });
    let took = futures::future::join_all(puts).await;
    let late = took.iter().filter(|took| **took > BLOCK + BLOCK / 4).count();
    assert!(late <= 1, "{late} puts waited for a second block: only that which reads the merged run has to: {took:?}");
}

/// A batch is lost on its way, and another machine's takes its nonce: so the version is there that the next one names,
/// which must not be applied all the same.
#[tokio::test(start_paused = true)]
async fn a_batch_follows_no_other_than_its_own() {
    let world = World::slow(14, BLOCK, SimConfig::default(), 7);
    let (_client, bucket) = bucket(&world).await;
    let other = opened(&world, 251).await;
    put(&other, "zero", b"so that the other knows it all").await;
    put(&bucket, "zero", b"so that everything is known").await;
    other.head("zero").await.expect("there");
    world.forget_next();
    let after = async |bucket: &Bucket, ms: u64, key: &str| {
        sleep(Duration::from_millis(ms)).await;
        put(bucket, key, key.as_bytes()).await;
    };
    futures::join!(after(&bucket, 0, "one"), after(&bucket, 300, "two"), after(&other, 600, "three"));
    let third = opened(&world, 252).await;
    for key in ["one", "two", "three"] {
        assert_eq!(get(&third, key).await, key.as_bytes());
    }
    assert_eq!(third.check().await.expect("checked").problems, Vec::<String>::new());
}

/// Counts up, by reading and replacing what was read. Returns how often that was acknowledged, and how often it was not
/// and may have been done.
async fn count_up(bucket: &Bucket, times: usize) -> (u64, u64) {
    let (mut sure, mut unsure) = (0, 0);
    for _ in 0..times {
        let Ok(info) = bucket.head("counter").await else { continue };
        let parts: Result<Vec<bytes::Bytes>, _> =
            futures::TryStreamExt::try_collect(bucket.read(&info, 0..info.size())).await;
        let Ok(parts) = parts else { continue };
        let number: u64 = String::from_utf8(parts.concat()).expect("a number").parse().expect("a number");
        let next = (number + 1).to_string();
        let put = Put { condition: Condition::Matches(vec![info.etag.to_string()]), ..Put::new(next.as_bytes()) };
        match bucket.put("counter", put).await {
            Ok(_) => sure += 1,
            Err(BucketError::Precondition | BucketError::NoSuchKey { .. } | BucketError::Busy) => {}
            Err(_) => unsure += 1,
        }
    }
    (sure, unsure)
}

/// Some of what these clients send and are sent is lost from now on.
fn lose_some(world: &World, clients: [u8; 2]) {
    let latency = Duration::from_millis(1)..=Duration::from_millis(20);
    let link = LinkConditions { latency, loss_per_mille: 5 };
    for client in clients.map(|number| NodeId::new([number; 32])) {
        for node in &world.nodes {
            world.network.set_link(client, *node, Some(link.clone()));
            world.network.set_link(*node, client, Some(link.clone()));
        }
    }
}

async fn counter(bucket: &Bucket) -> u64 {
    String::from_utf8(get(bucket, "counter").await).expect("a number").parse().expect("a number")
}

/// Two machines count one number up, several times at the same time each, where messages are lost: no count is lost,
/// and none is counted twice.
#[tokio::test(start_paused = true)]
async fn two_machines_lose_no_count() {
    for seed in SEEDS {
        let world = World::slow(14, BLOCK, SimConfig::default(), seed);
        let (_client, one) = bucket(&world).await;
        put(&one, "counter", b"0").await;
        let other = opened(&world, 251).await;
        if seed % 2 == 1 {
            lose_some(&world, [250, 251]);
        }
        let tasks = (0..6).map(|number| {
            let bucket = if number % 2 == 0 { one.clone() } else { other.clone() };
            async move {
                sleep(Duration::from_millis(170 * number)).await;
                count_up(&bucket, 6).await
            }
        });
        let counted = futures::future::join_all(tasks).await;
        sleep(3 * BLOCK).await;
        let (sure, unsure) = counted.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let number = counter(&opened(&world, 252).await).await;
        assert!(
            (sure..=sure + unsure).contains(&number),
            "seed {seed}: {number}, {sure} acknowledged, {unsure} unsure"
        );
        assert!(sure > 0, "seed {seed}");
    }
}

/// Two machines write all the time: neither waits for the other for long.
#[tokio::test(start_paused = true)]
async fn two_machines_take_turns() {
    let world = World::slow(14, BLOCK, SimConfig::default(), 7);
    let (_client, one) = bucket(&world).await;
    let other = opened(&world, 251).await;
    let began = Instant::now();
    let writes = async |bucket: &Bucket, task: u64| {
        sleep(Duration::from_millis(190 * task)).await;
        let mut count = 0;
        while began.elapsed() < 60 * BLOCK {
            put(bucket, &format!("key-{task}-{count}"), b"x").await;
            count += 1;
        }
        count
    };
    let counts =
        futures::join!(writes(&one, 0), writes(&one, 2), writes(&one, 4), writes(&other, 1), writes(&other, 3));
    let least = [counts.0, counts.1, counts.2, counts.3, counts.4].into_iter().min();
    assert!(least >= Some(10), "{counts:?}");
}

/// A machine is gone at any moment: what it was told stays, and nothing else is committed.
#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_survives_a_crash_at_any_moment() {
    for seed in SEEDS {
        let world = World::slow(14, BLOCK, SimConfig::default(), seed);
        let (_client, bucket) = bucket(&world).await;
        let done = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        for number in 0..30_u64 {
            let (bucket, done) = (bucket.clone(), std::sync::Arc::clone(&done));
            tokio::spawn(async move {
                sleep(Duration::from_millis(211 * number)).await;
                let key = format!("key-{number}");
                let body = vec![7; if number % 7 == 0 { 1_200_000 } else { 100 }];
                if bucket.put(&key, Put::new(&body[..])).await.is_ok() {
                    ostrakon_net::lock(&done).push((key, body));
                }
            });
        }
        sleep(Duration::from_millis(2_500 + 617 * seed)).await;
        world.network.crash(NodeId::new([250; 32]));
        let acknowledged = ostrakon_net::lock(&done).clone();
        sleep(3 * BLOCK).await;
        let other = opened(&world, 251).await;
        for (key, body) in &acknowledged {
            assert!(get(&other, key).await == *body, "seed {seed}: {key}");
        }
        assert_eq!(other.check().await.expect("checked").problems, Vec::<String>::new(), "seed {seed}");
        put(&other, "after", b"more").await;
    }
}
