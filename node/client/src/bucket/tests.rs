//! Buckets on a network of fake nodes with one ledger.

use std::collections::BTreeMap;

use super::*;
use crate::{
    Client,
    fake::{Fault, World},
};

mod pipelined;
mod spreading;

async fn put(bucket: &Bucket, key: &str, body: &[u8]) -> PutDone {
    bucket.put(key, Put::new(std::io::Cursor::new(body.to_vec()))).await.expect("put")
}

async fn get(bucket: &Bucket, key: &str) -> Vec<u8> {
    let info = bucket.head(key).await.expect("it is there");
    let parts: Vec<bytes::Bytes> =
        futures::TryStreamExt::try_collect(bucket.read(&info, 0..info.size())).await.expect("read");
    parts.concat()
}

fn keys(listed: &Listed) -> Vec<&str> {
    listed.objects.iter().map(|object| object.key.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_bucket_is_found_again_with_the_owners_key_alone() {
    let world = World::new(14);
    let buckets = world.client().buckets().expect("a key");
    assert_eq!(buckets.list().await.expect("none yet"), []);
    let photos = buckets.create("photos").await.expect("created");
    let again = buckets.create("photos").await.expect_err("exists");
    assert!(matches!(again, BucketError::BucketExists { .. }), "{again}");
    let done = put(&photos, "a/b.txt", b"hello").await;
    assert_eq!((done.size, done.etag.to_string().as_str()), (5, "5d41402abc4b2a76b9719d911017c592"));
    let large: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    put(&photos, "large", &large).await;

    let other = world.client_as(251).buckets().expect("the same account");
    let names: Vec<String> = other.list().await.expect("listed").into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["photos"]);
    let photos = other.open("photos").await.expect("opened");
    assert_eq!(get(&photos, "a/b.txt").await, b"hello");
    assert_eq!(get(&photos, "large").await, large);
    let missing = photos.head("b").await.expect_err("never put");
    assert!(matches!(missing, BucketError::NoSuchKey { .. }), "{missing}");

    for key in ["a/b.txt", "large"] {
        assert!(photos.delete(key, Condition::None).await.expect("deleted"));
    }
    let before = balance(&world).await;
    other.delete("photos").await.expect("empty");
    assert!(balance(&world).await > before, "what the bucket's account had returns");
    assert!(matches!(other.open("photos").await, Err(BucketError::NoBucket { .. })));
    let photos = other.create("photos").await.expect("it can be created again");
    assert_eq!(photos.list(ListQuery { limit: 10, ..ListQuery::default() }).await.expect("listed").objects.len(), 0);
}

async fn balance(world: &World) -> ostrakon_proto::id::Amount {
    world.client().balance().await.expect("an account")
}

async fn bucket(world: &World) -> (Client, Bucket) {
    let client = world.client();
    let bucket = client.buckets().expect("a key").create("test-bucket").await.expect("created");
    (client, bucket)
}

#[tokio::test(start_paused = true)]
async fn conditions_are_judged_when_the_change_is_committed() {
    let world = World::new(14);
    let (_client, bucket) = bucket(&world).await;
    let put = async |key: &str, condition: Condition| {
        let put = Put { condition, ..Put::new(std::io::Cursor::new(b"x")) };
        bucket.put(key, put).await.map(|done| done.etag.to_string())
    };
    let missing = put("a", Condition::Present).await.expect_err("nothing there");
    assert!(matches!(missing, BucketError::NoSuchKey { .. }), "{missing}");
    let etag = put("a", Condition::Absent).await.expect("nothing there");
    for wrong in
        [Condition::Absent, Condition::Matches(vec!["00".to_owned()]), Condition::MatchesNone(vec![etag.clone()])]
    {
        assert!(matches!(put("a", wrong).await, Err(BucketError::Precondition)));
    }
    put("a", Condition::Matches(vec![etag])).await.expect("it matches");
    for (key, wrong) in [("a", Condition::Absent), ("b", Condition::Present)] {
        let body = futures::stream::poll_fn(|_| -> std::task::Poll<Option<std::io::Result<bytes::Bytes>>> {
            panic!("nobody has to send a body for nothing")
        });
        let put = Put { condition: wrong, ..Put::new(tokio_util::io::StreamReader::new(body)) };
        let refused = bucket.put(key, put).await.expect_err("refused");
        assert!(matches!(refused, BucketError::Precondition | BucketError::NoSuchKey { .. }), "{refused}");
    }
    // Of many who create one key at the same time, one does.
    let all = futures::future::join_all((0..8).map(|_| put("b", Condition::Absent))).await;
    assert_eq!(all.iter().filter(|done| done.is_ok()).count(), 1);
    assert!(!bucket.delete("c", Condition::None).await.expect("nothing to do"));
}

#[tokio::test(start_paused = true)]
async fn two_writers_of_one_bucket_lose_nothing() {
    let world = World::new(14);
    let (_client, one) = bucket(&world).await;
    let other = world.client_as(251).buckets().expect("a key").open("test-bucket").await.expect("opened");
    let puts = (0..12).map(|number| {
        let bucket = if number % 2 == 0 { one.clone() } else { other.clone() };
        async move { put(&bucket, &format!("key-{number:02}"), format!("body {number}").as_bytes()).await }
    });
    futures::future::join_all(puts).await;
    for bucket in [&one, &other] {
        let listed = bucket.list(ListQuery { limit: 100, ..ListQuery::default() }).await.expect("listed");
        assert_eq!(listed.objects.len(), 12, "{:?}", keys(&listed));
        assert_eq!(get(bucket, "key-07").await, b"body 7");
    }
}

#[tokio::test(start_paused = true)]
async fn lists_fold_prefixes_and_continue_page_by_page() {
    let world = World::new(14);
    let (_client, bucket) = bucket(&world).await;
    let all = ["../x", "a", "a/", "a//b", "a/b", "a/c/d", "b", "c/1", "c/2"];
    futures::future::join_all(all.iter().map(|key| put(&bucket, key, b"x"))).await;
    let page = async |prefix: &str, delimiter: &str, after: &str, limit| {
        let query = ListQuery { prefix: prefix.into(), delimiter: delimiter.into(), after: after.into(), limit };
        bucket.list(query).await.expect("listed")
    };
    let whole = page("", "", "", 100).await;
    assert_eq!((keys(&whole), &whole.next), (all.to_vec(), &None));
    let folded = page("", "/", "", 100).await;
    assert_eq!((keys(&folded), &folded.prefixes), (vec!["a", "b"], &vec!["../".to_owned(), "a/".into(), "c/".into()]));
    let inside = page("a/", "/", "", 100).await;
    assert_eq!((keys(&inside), &inside.prefixes), (vec!["a/", "a/b"], &vec!["a//".to_owned(), "a/c/".into()]));
    for delimiter in ["", "/"] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let Listed { objects, prefixes, next } = page("", delimiter, &after, 1).await;
            seen.extend(objects.into_iter().map(|object| object.key).chain(prefixes));
            let Some(next) = next else { break };
            after = next;
        }
        let expect: Vec<&str> = if delimiter.is_empty() { all.to_vec() } else { vec!["../", "a", "a/", "b", "c/"] };
        assert_eq!(seen, expect);
    }
}

#[tokio::test(start_paused = true)]
async fn parts_become_an_object_without_being_moved() {
    let world = World::new(14);
    let (_client, bucket) = bucket(&world).await;
    let upload = bucket.begin_upload("big", NewUpload::default()).await.expect("begun");
    let listed = bucket.uploads(UploadsQuery { limit: 10, ..UploadsQuery::default() }).await.expect("listed");
    assert_eq!(listed.uploads.iter().map(|(key, id, _)| (key.as_str(), *id)).collect::<Vec<_>>(), [("big", upload)]);
    let parts: Vec<Vec<u8>> =
        [6_000_000_usize, 5_242_880, 10].iter().zip(1..).map(|(len, byte)| vec![byte; *len]).collect();
    for (number, part) in [(3, &parts[2]), (1, &parts[0]), (2, &parts[1])] {
        let put = Put::new(std::io::Cursor::new(part.clone()));
        bucket.put_part("big", upload, number, put).await.expect("put");
    }
    let complete = |numbers: &[u16]| {
        let part = |number: &u16| CompletePart { number: *number, etag: None, checksum: None };
        let parts = numbers.iter().map(part).collect();
        bucket.complete_upload("big", upload, parts, (Condition::None, None))
    };
    assert!(matches!(complete(&[1, 3, 2]).await, Err(BucketError::InvalidPartOrder)));
    assert!(matches!(complete(&[1, 4]).await, Err(BucketError::InvalidPart { number: 4 })));
    assert!(matches!(complete(&[1, 3, 4]).await, Err(BucketError::InvalidPart { number: 4 })));
    let done = complete(&[1, 2, 3]).await.expect("complete");
    assert_eq!(done.size, 11_242_890);
    assert!(done.etag.to_string().ends_with("-3"));
    assert_eq!(get(&bucket, "big").await, parts.concat());
    assert_eq!(bucket.head("big").await.expect("there").parts(), [6_000_000, 5_242_880, 10]);
    assert!(matches!(complete(&[1]).await, Err(BucketError::NoSuchUpload { .. })));
}

/// Against a plain map: many batches, so that runs are merged, overwritten and deleted keys among them.
#[tokio::test(start_paused = true)]
async fn many_batches_say_what_a_map_says() {
    let world = World::new(14);
    let (client, bucket) = bucket(&world).await;
    let mut expect: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for step in 0..90_u32 {
        let key = format!("key-{}", step * 7 % 23);
        if step % 5 == 4 {
            assert_eq!(bucket.delete(&key, Condition::None).await.expect("done"), expect.remove(&key).is_some());
        } else {
            let body = format!("body of step {step}").into_bytes();
            put(&bucket, &key, &body).await;
            expect.insert(key, body);
        }
    }
    let again = client.buckets().expect("a key").open("test-bucket").await.expect("opened");
    let listed = again.list(ListQuery { limit: 1_000, ..ListQuery::default() }).await.expect("listed");
    assert_eq!(keys(&listed), expect.keys().map(String::as_str).collect::<Vec<_>>());
    for (key, body) in &expect {
        assert_eq!(get(&again, key).await, *body, "{key}");
    }
}

/// After nine of ten objects are deleted, what is left is written again, and the rest is released.
#[tokio::test(start_paused = true)]
async fn what_is_deleted_is_paid_no_longer() {
    let world = World::new(14);
    let (_client, bucket) = bucket(&world).await;
    let body = |number: usize| vec![u8::try_from(number % 251).expect("small"); 50_000];
    let puts = (0..60).map(|number| {
        let bucket = bucket.clone();
        async move { put(&bucket, &format!("key-{number:02}"), &body(number)).await }
    });
    futures::future::join_all(puts).await;
    put(&bucket, "large", &vec![7; 2_000_000]).await;
    put(&bucket, "large", b"small now").await;
    let full = bucket.check().await.expect("checked");
    assert_eq!((full.objects, full.problems), (61, Vec::<String>::new()));
    assert!(full.stored_bytes < 3_300_000, "{} bytes: what was overwritten is released", full.stored_bytes);
    let keys = (0..60).filter(|number| number % 10 != 0).map(|number| (format!("key-{number:02}"), Condition::None));
    assert!(bucket.delete_all(keys.collect()).await.into_iter().all(|deleted| deleted.is_ok_and(|there| there)));
    let compacted = bucket.compact().await.expect("compacted");
    assert!(compacted.rewritten > 0, "{compacted:?}");
    let checked = bucket.check().await.expect("checked");
    assert_eq!((checked.objects, checked.bytes, checked.problems), (7, 6 * 50_000 + 9, Vec::<String>::new()));
    assert!(checked.stored_bytes <= 2 * checked.bytes, "{} bytes for {}", checked.stored_bytes, checked.bytes);
    for number in (0..60).step_by(10) {
        assert_eq!(get(&bucket, &format!("key-{number:02}")).await, body(number));
    }
    let leases = bucket.renew().await.expect("nothing is due");
    assert_eq!((leases.objects, leases.extended, leases.lost), (checked.stored_objects, 0, Vec::new()));
}

/// The network's one validator does not respond: what is known is served, and marked; nothing is written.
#[tokio::test(start_paused = true)]
async fn without_a_quorum_reads_are_marked_and_nothing_is_written() {
    let world = World::new(14);
    let (_client, bucket) = bucket(&world).await;
    put(&bucket, "a", b"hello").await;
    assert_eq!((get(&bucket, "a").await, bucket.is_stale()), (b"hello".to_vec(), false));
    world.fault(world.nodes[0], Fault::Silent);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!((get(&bucket, "a").await, bucket.is_stale()), (b"hello".to_vec(), true));
    assert_eq!(noting_stale(get(&bucket, "a")).await, (b"hello".to_vec(), true));
    let refused = bucket.put("b", Put::new(&b"x"[..])).await.expect_err("nobody would agree on it");
    assert!(matches!(refused, BucketError::Unavailable(_)), "{refused}");
    world.heal();
    put(&bucket, "b", b"again").await;
    assert_eq!((get(&bucket, "b").await, bucket.is_stale()), (b"again".to_vec(), false));
    assert_eq!(noting_stale(get(&bucket, "b")).await, (b"again".to_vec(), false));
}

/// An object of two parts is overwritten while it is read, and the ledger forgets where its parts were.
#[tokio::test(start_paused = true)]
async fn a_read_that_has_begun_reads_to_its_end() {
    let world = World::hasty(14, 60, 24);
    let (_client, bucket) = bucket(&world).await;
    let upload = bucket.begin_upload("big", NewUpload::default()).await.expect("begun");
    let parts: Vec<Vec<u8>> = (1..=2).map(|byte| vec![byte; 5 << 20]).collect();
    for (number, part) in (1..).zip(&parts) {
        bucket.put_part("big", upload, number, Put::new(&part[..])).await.expect("put");
    }
    let part = |number| CompletePart { number, etag: None, checksum: None };
    let complete = bucket.complete_upload("big", upload, vec![part(1), part(2)], (Condition::None, None));
    complete.await.expect("complete");
    let other = world.client_as(251).buckets().expect("a key").open("test-bucket").await.expect("opened");

    let info = bucket.head("big").await.expect("there");
    let mut reading = bucket.read(&info, 0..info.size());
    let mut read = futures::TryStreamExt::try_next(&mut reading).await.expect("read").expect("not empty").to_vec();
    put(&bucket, "big", b"small now").await;
    (0..200).for_each(|_| world.act(&[]));
    while let Some(bytes) = futures::TryStreamExt::try_next(&mut reading).await.expect("it was open") {
        read.extend(bytes);
    }
    assert!(read == parts.concat());
    let mut late = other.read(&info, 0..info.size());
    let error = futures::TryStreamExt::try_next(&mut late).await.expect_err("it is released");
    assert!(matches!(error, BucketError::Replaced), "{error}");
    assert_eq!(get(&other, "big").await, b"small now");
}

/// The copy of an object has the checksum that is asked for, without being stored again.
#[tokio::test(start_paused = true)]
async fn a_copy_has_the_checksum_that_is_asked_for() {
    let world = World::new(14);
    let (_client, bucket) = bucket(&world).await;
    let digests = vec![ChecksumAlgorithm::Crc32];
    let done = bucket.put("a", Put { digests, ..Put::new(&b"123456789"[..]) }).await.expect("put");
    assert_eq!(hex::encode(done.checksum.expect("CRC32").bytes), "cbf43926");
    let copy = async |checksum: Option<ChecksumAlgorithm>| {
        let object = bucket.head("a").await.expect("there");
        let source = CopySource { bucket: &bucket, key: "a", object: &object };
        let done = bucket.copy(source, "b", NewCopy { checksum, ..NewCopy::default() }).await.expect("copied");
        let there = bucket.head("b").await.expect("there");
        assert_eq!((&there.checksum, there.etag, &there.pieces), (&done.checksum, object.etag, &object.pieces));
        hex::encode(done.checksum.expect("one").bytes)
    };
    assert_eq!(copy(None).await, "cbf43926");
    assert_eq!(copy(Some(ChecksumAlgorithm::Crc32)).await, "cbf43926");
    assert_eq!(copy(Some(ChecksumAlgorithm::Crc64Nvme)).await, "ae8b14860a799888");
    let sha = copy(Some(ChecksumAlgorithm::Sha256)).await;
    assert_eq!(sha, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");
}

/// A large body that is not to be stored: its holders are told before they sign for it.
#[tokio::test(start_paused = true)]
async fn what_is_refused_stays_with_nobody() {
    let world = World::new(14);
    let (_client, bucket) = bucket(&world).await;
    let large = vec![7; 3_000_000];
    let check = |_: &Computed| Err("another MD5".to_owned());
    let wrong = Put { check: Box::new(check), size: Some(3_000_000), ..Put::new(&large[..]) };
    let refused = bucket.put("a", wrong).await.expect_err("refused");
    assert!(matches!(&refused, BucketError::Check(why) if why == "another MD5"), "{refused}");
    let short = Put { size: Some(4_000_000), ..Put::new(&large[..]) };
    assert!(matches!(bucket.put("a", short).await, Err(BucketError::Body(_))));
    // Another creates it while the body is sent.
    let rest = futures::stream::once(async {
        put(&bucket, "a", b"first").await;
        Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"the rest"))
    });
    let body = tokio::io::AsyncReadExt::chain(&large[..], tokio_util::io::StreamReader::new(Box::pin(rest)));
    let late = Put { condition: Condition::Absent, size: Some(3_000_008), ..Put::new(body) };
    assert!(matches!(bucket.put("a", late).await, Err(BucketError::Precondition)));
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(world.puts().aborted, 3 * 12, "every holder of each");
    assert_eq!(get(&bucket, "a").await, b"first");
}

/// One change that cannot be recorded does not fail the others of its batch.
#[tokio::test(start_paused = true)]
async fn a_description_that_is_too_long_is_refused_by_itself() {
    let world = World::new(14);
    let (_client, bucket) = bucket(&world).await;
    let metadata = vec![("long".to_owned(), "x".repeat(2 << 20))];
    let described = Described { metadata, ..Described::default() };
    let long = bucket.put("a", Put { described, ..Put::new(&b"a"[..]) });
    let (long, _) = futures::join!(long, put(&bucket, "b", b"b"));
    assert!(matches!(long, Err(BucketError::DescriptionTooLong { .. })));
    assert_eq!(get(&bucket, "b").await, b"b");
}

/// Reads that may be older ask the validators less often, and see what was written here all the same.
#[tokio::test(start_paused = true)]
async fn reads_that_may_be_stale_see_what_others_wrote_a_little_later() {
    let world = World::new(14);
    let (_client, bucket) = bucket(&world).await;
    let age = std::time::Duration::from_secs(1);
    let other = world.client_as(251).buckets_within(age).expect("a key").open("test-bucket").await.expect("opened");
    put(&other, "own", b"1").await;
    assert_eq!(get(&other, "own").await, b"1");
    put(&bucket, "foreign", b"2").await;
    assert!(matches!(other.head("foreign").await, Err(BucketError::NoSuchKey { .. })));
    tokio::time::sleep(age).await;
    assert_eq!(get(&other, "foreign").await, b"2");
}

/// The object that has the block of this name, as a gateway finds it.
async fn found(bucket: &Bucket, name: &str) -> Option<String> {
    // Longer than a state is taken for the newest.
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    let (_, hash) = crate::ipfs::block_name(name).expect("a CID");
    bucket.find_block(&hash).await.expect("read").map(|(object, _)| object.key)
}

#[tokio::test(start_paused = true)]
async fn objects_of_a_public_bucket_are_found_by_their_blocks_while_they_are_there() {
    use crate::ipfs::{Tree, raw_name};
    let world = World::new(14);
    let buckets = world.client().buckets().expect("a key");
    let bucket = buckets.create_public("website").await.expect("created");
    let private = buckets.create("private").await.expect("created");
    let large: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let done = put(&bucket, "small", b"hello").await;
    assert_eq!(
        done.cid.map(|cid| cid.to_string()).as_deref(),
        Some("bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq")
    );
    put(&bucket, "large", &large).await;
    assert_eq!(put(&private, "small", b"hello").await.cid, None);
    let tree = Tree::of(&large).expect("a tree");
    let (root, leaf) = (tree.root().to_string(), raw_name(&tree.leaves()[2]).to_string());
    let info = bucket.head("large").await.expect("there");
    assert_eq!(cid_of(&info).map(|cid| cid.to_string()), Some(root.clone()));

    // Another machine, which knows the key alone.
    let other = world.client_as(251).buckets().expect("the same account");
    let names: Vec<String> = other.public().await.expect("read").iter().map(|one| one.name().to_owned()).collect();
    assert_eq!(names, ["website"]);
    let other = other.open("website").await.expect("opened");
    for name in [&root, &leaf] {
        assert_eq!(found(&other, name).await.as_deref(), Some("large"));
    }
    assert_eq!(found(&other, &done.cid.expect("public").to_string()).await.as_deref(), Some("small"));
    assert_eq!(found(&private, &root).await, None);

    // A copy has the same blocks: they are there until the last is gone.
    let source = CopySource { bucket: &bucket, key: "large", object: &info };
    bucket.copy(source, "copy", NewCopy::default()).await.expect("copied");
    assert!(bucket.delete("large", Condition::None).await.expect("deleted"));
    assert_eq!(found(&other, &leaf).await.as_deref(), Some("copy"));
    put(&bucket, "copy", b"other bytes").await;
    for name in [&root, &leaf] {
        assert_eq!(found(&other, name).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_of_whole_parts_is_public_as_if_it_was_put_as_one() {
    use crate::ipfs::{LEAF, Tree};
    let world = World::new(14);
    let bucket = world.client().buckets().expect("a key").create_public("website").await.expect("created");
    let bytes: Vec<u8> = (0..5 * LEAF + 1000).map(|at| u8::try_from(at % 251).expect("small")).collect();
    let complete = async |cut: usize| {
        let id = bucket.begin_upload("parts", NewUpload::default()).await.expect("begun");
        for (number, part) in [(1, &bytes[..cut]), (2, &bytes[cut..])] {
            let put = Put::new(std::io::Cursor::new(part.to_vec()));
            bucket.put_part("parts", id, number, put).await.expect("put");
        }
        let part = |number| CompletePart { number, etag: None, checksum: None };
        bucket.complete_upload("parts", id, vec![part(1), part(2)], (Condition::None, None)).await.expect("completed")
    };
    assert_eq!(complete(5 * LEAF).await.cid, Tree::of(&bytes).map(|tree| tree.root()));
    // Where its leaves end is known only by reading it again.
    assert_eq!(complete(5 * LEAF + 1).await.cid, None);
}
