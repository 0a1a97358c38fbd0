//! Stores on a network of fake nodes: the crate's own suite for implementations, function by function, each on a bucket
//! of its own, and what it does not ask for. Of the suite, `response_extensions` is left out: it is about HTTP.

use object_store::{
    Attribute, Attributes, ObjectStoreExt, TagSet, UpdateVersion, integration, multipart::MultipartStore,
};

use super::*;
use crate::{
    ErrorKind,
    bucket::ListQuery,
    fake::{Fault, World},
};

async fn store(world: &World) -> BucketStore {
    world.client().buckets().expect("a key").create("test-bucket").await.expect("created").into()
}

/// The same bucket, opened by another client.
async fn other(world: &World) -> BucketStore {
    BucketStore::open(&world.client_as(251), "test-bucket").await.expect("opened")
}

async fn get(store: &BucketStore, path: &str) -> Result<Bytes> {
    store.get(&Path::from(path)).await?.bytes().await
}

/// Puts an object whose key is not a path, perhaps.
async fn put(store: &BucketStore, key: &str) {
    store.bucket.put(key, Put::new(&b"x"[..])).await.expect("put");
}

/// The bucket's error that an error comes from.
fn source(error: &Error) -> Option<&BucketError> {
    std::error::Error::source(error)?.downcast_ref()
}

#[tokio::test(start_paused = true)]
async fn put_get_delete_list() {
    integration::put_get_delete_list(&store(&World::new(14)).await).await;
}

#[tokio::test(start_paused = true)]
async fn put_get_attributes() {
    integration::put_get_attributes(&store(&World::new(14)).await).await;
}

#[tokio::test(start_paused = true)]
async fn get_opts() {
    integration::get_opts(&store(&World::new(14)).await).await;
}

#[tokio::test(start_paused = true)]
async fn put_opts() {
    integration::put_opts(&store(&World::new(14)).await, true).await;
}

#[tokio::test(start_paused = true)]
async fn stream_get() {
    integration::stream_get(&store(&World::new(14)).await).await;
}

#[tokio::test(start_paused = true)]
async fn list_uses_directories_correctly() {
    integration::list_uses_directories_correctly(&store(&World::new(14)).await).await;
}

#[tokio::test(start_paused = true)]
async fn list_with_delimiter() {
    integration::list_with_delimiter(&store(&World::new(14)).await).await;
}

#[tokio::test(start_paused = true)]
async fn get_nonexistent_object() {
    let world = World::new(14);
    let store = store(&world).await;
    for location in [None, Some(Path::from("no/such"))] {
        let error = integration::get_nonexistent_object(&store, location).await.expect_err("it was never put");
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn rename_and_copy() {
    integration::rename_and_copy(&store(&World::new(14)).await).await;
}

#[tokio::test(start_paused = true)]
async fn copy_if_not_exists() {
    integration::copy_if_not_exists(&store(&World::new(14)).await).await;
}

#[tokio::test(start_paused = true)]
async fn copy_rename_nonexistent_object() {
    integration::copy_rename_nonexistent_object(&store(&World::new(14)).await).await;
}

#[tokio::test(start_paused = true)]
async fn multipart() {
    let world = World::new(14);
    let store = store(&world).await;
    integration::multipart(&store, &store).await;
}

#[tokio::test(start_paused = true)]
async fn multipart_with_opts() {
    let world = World::new(14);
    let store = store(&world).await;
    integration::multipart_with_opts(&store, &store).await;
}

#[tokio::test(start_paused = true)]
async fn multipart_put_part_out_of_order() {
    let world = World::new(14);
    let store = store(&world).await;
    integration::multipart_put_part_out_of_order(&store, &store).await;
}

#[tokio::test(start_paused = true)]
async fn multipart_race_condition() {
    integration::multipart_race_condition(&store(&World::new(14)).await, true).await;
}

#[tokio::test(start_paused = true)]
async fn multipart_out_of_order() {
    integration::multipart_out_of_order(&store(&World::new(14)).await).await;
}

#[tokio::test(start_paused = true)]
async fn list_paginated() {
    let world = World::new(14);
    let store = store(&world).await;
    integration::list_paginated(&store, &store).await;
}

#[tokio::test(start_paused = true)]
async fn list_with_offset_exclusivity() {
    integration::list_with_offset_exclusivity(&store(&World::new(14)).await).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_opened_is_there() {
    let world = World::new(14);
    let client = world.client();
    let missing = BucketStore::open(&client, "test-bucket").await.expect_err("there is none");
    assert!(matches!(missing, BucketError::NoBucket { .. }), "{missing}");
    let store = store(&world).await;
    assert_eq!(store.to_string(), "Ostrakon(test-bucket)");
    store.put(&Path::from("a"), "hello".into()).await.expect("put");
    assert_eq!(get(&other(&world).await, "a").await.expect("there"), "hello");
}

/// Writers on two machines, each of which replaces the version that it has read.
#[tokio::test(start_paused = true)]
async fn no_update_of_two_writers_is_lost() {
    let world = World::new(14);
    let stores = [store(&world).await, other(&world).await];
    let path = Path::from("count");
    stores[0].put_opts(&path, "0".into(), PutMode::Create.into()).await.expect("created");
    let increments = (0..12).map(async |number: usize| {
        let store = &stores[number % 2];
        loop {
            let read = store.get(&path).await.expect("there");
            let version = UpdateVersion { e_tag: read.meta.e_tag.clone(), version: None };
            let count: u32 = String::from_utf8_lossy(&read.bytes().await.expect("read")).parse().expect("a number");
            let next = (count + 1).to_string();
            match store.put_opts(&path, next.into(), PutMode::Update(version).into()).await {
                Err(Error::Precondition { .. }) => {}
                done => return done.expect("updated"),
            }
        }
    });
    futures::future::join_all(increments).await;
    assert_eq!(get(&stores[0], "count").await.expect("there"), "12");
    let unknown = PutMode::Update(UpdateVersion { e_tag: None, version: None });
    let refused = stores[0].put_opts(&path, "1".into(), unknown.into()).await.expect_err("it names no version");
    assert!(matches!(refused, Error::Generic { .. }), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_not_paths_hide_no_others() {
    let world = World::new(14);
    let store = store(&world).await;
    let keys = ["../x", "a", "a//b", "b/", "b/c", "d/./e", "f"];
    futures::future::join_all(keys.iter().map(|key| put(&store, key))).await;
    let listed: Vec<Option<String>> =
        store.list(None).map(|meta| meta.ok().map(|meta| meta.location.to_string())).collect().await;
    let listed: Vec<Option<&str>> = listed.iter().map(Option::as_deref).collect();
    assert_eq!(listed, [None, Some("a"), None, Some("b"), Some("b/c"), None, Some("f")]);
    let failed = store.list_with_delimiter(None).await.expect_err("`..` cannot be a path");
    assert!(matches!(failed, Error::InvalidPath { .. }), "{failed}");
    let inside = store.list_with_delimiter(Some(&Path::from("b"))).await.expect("listed");
    assert_eq!(inside.objects.len(), 2);
    // No path is such a key, so nothing is deleted but what is named.
    store.delete(&Path::from("b")).await.expect("there is none");
    assert!(store.bucket().head("b/").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_listing_has_all_pages() {
    let world = World::new(14);
    let store = store(&world).await;
    let paths: Vec<Path> = (0..2_300).map(|number| Path::from(format!("dir-{}/{number:04}", number % 2))).collect();
    let puts = paths.iter().map(|path| store.put(path, PutPayload::default()));
    futures::future::try_join_all(puts).await.expect("put");
    let all: Vec<ObjectMeta> = store.list(None).try_collect().await.expect("listed");
    assert_eq!(all.len(), paths.len());
    let inside = store.list_with_delimiter(Some(&Path::from("dir-1"))).await.expect("listed");
    assert_eq!((inside.objects.len(), inside.common_prefixes.len()), (1_150, 0));
    let rest = store.list_with_offset(None, &Path::from("dir-1/1999"));
    assert_eq!(rest.try_collect::<Vec<_>>().await.expect("listed").len(), 150);
}

#[tokio::test(start_paused = true)]
async fn many_are_deleted_in_few_commits() {
    let world = World::new(14);
    let store = store(&world).await;
    let paths: Vec<Path> = (0..300).map(|number| Path::from(format!("{number:03}"))).collect();
    futures::future::join_all(paths.iter().map(|path| put(&store, path.as_ref()))).await;
    let before = world.transactions();
    let broken = Error::NotImplemented { operation: "listing".to_owned(), implementer: "a test".to_owned() };
    let asked = paths.iter().cloned().map(Ok).chain([Err(broken), Ok(Path::from("never put"))]).collect::<Vec<_>>();
    let deleted: Vec<Result<Path>> = store.delete_stream(stream::iter(asked).boxed()).collect().await;
    let commits = world.transactions() - before;
    assert!((1..=5).contains(&commits), "{commits} transactions");
    // What the source could not say is told where it stood, and stops nothing.
    assert_eq!(deleted.len(), 302);
    for (number, result) in deleted.iter().enumerate() {
        match result {
            Ok(path) => assert_eq!(path.as_ref(), paths.get(number).map_or("never put", Path::as_ref)),
            Err(error) => assert!(number == 300 && matches!(error, Error::NotImplemented { .. }), "{number}: {error}"),
        }
    }
    assert_eq!(store.list(None).count().await, 0);
}

#[tokio::test(start_paused = true)]
async fn copies_and_renames_move_no_bytes() {
    let world = World::new(14);
    let store = store(&world).await;
    let [one, two, three] = ["one", "two", "three"].map(Path::from);
    let large: Bytes = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let mut tags = TagSet::default();
    tags.push("kind", "test run");
    let attributes = Attributes::from_iter([(Attribute::ContentType, "text/plain")]);
    let options = PutOptions { tags, attributes: attributes.clone(), ..PutOptions::default() };
    store.put_opts(&one, large.clone().into(), options).await.expect("put");
    let (bytes, transactions) = (world.puts().bytes, world.transactions());
    store.copy(&one, &two).await.expect("copied");
    store.rename(&one, &three).await.expect("renamed");
    let written = world.puts().bytes - bytes;
    assert!(written < 100_000, "{written} bytes of columns");
    assert_eq!(world.transactions() - transactions, 2);
    for path in [&two, &three] {
        let read = store.get(path).await.expect("there");
        assert_eq!(read.attributes, attributes);
        assert_eq!(read.bytes().await.expect("read"), large);
        let tags = store.bucket().head(path.as_ref()).await.expect("there").tags;
        assert_eq!(tags, [("kind".to_owned(), "test run".to_owned())]);
    }
    let missing = store.head(&one).await.expect_err("renamed");
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    let there = store.rename_if_not_exists(&two, &three).await.expect_err("it exists");
    assert!(matches!(&there, Error::AlreadyExists { path, .. } if path == "three"), "{there}");
    store.rename(&two, &two).await.expect("nothing changes");
    assert_eq!(get(&store, "two").await.expect("still there"), large);
    let checked = store.bucket().check().await.expect("checked");
    assert_eq!((checked.objects, checked.problems), (2, Vec::<String>::new()));
}

#[tokio::test(start_paused = true)]
async fn ranges_are_of_one_version() {
    let world = World::new(14);
    let store = store(&world).await;
    let path = Path::from("digits");
    store.put(&path, "0123456789".into()).await.expect("put");
    let ranges = store.get_ranges(&path, &[8..20, 0..2, 3..4]).await.expect("read");
    assert_eq!(ranges, ["89", "01", "3"]);
    for bad in [[0..2, 10..11], [0..2, 3..3]] {
        let error = store.get_ranges(&path, &bad).await.expect_err("no such bytes");
        assert!(matches!(error, Error::Generic { .. }), "{error}");
    }
    assert_eq!(store.get_ranges(&path, &[]).await.expect("nothing to read"), Vec::<Bytes>::new());
    let head = store.get_opts(&path, GetOptions::new().with_head(true)).await.expect("there");
    assert_eq!((head.meta.size, head.bytes().await.expect("none").len()), (10, 0));
    for (version, found) in [("null", true), ("2", false)] {
        let options = GetOptions::new().with_version(Some(version));
        assert_eq!(store.get_opts(&path, options).await.is_ok(), found, "{version}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_finished_by_whom_its_id_is_handed_to() {
    let world = World::new(14);
    let (store, other) = (store(&world).await, other(&world).await);
    let path = Path::from("handed on");
    let id = store.create_multipart(&path).await.expect("begun");
    let parts: Vec<Bytes> = vec![vec![1; 5 * 1024 * 1024].into(), vec![2; 3].into()];
    let last = other.put_part(&path, &id, 1, parts[1].clone().into()).await.expect("put");
    let first = store.put_part(&path, &id, 0, parts[0].clone().into()).await.expect("put");
    for index in [10_000, usize::MAX] {
        let refused = store.put_part(&path, &id, index, "x".into()).await.expect_err("too many parts");
        assert!(matches!(refused, Error::Generic { .. }), "{refused}");
    }
    let swapped = vec![last.clone(), first.clone()];
    let swapped = other.complete_multipart(&path, &id, swapped).await.expect_err("they have other entity tags");
    assert!(matches!(source(&swapped), Some(BucketError::InvalidPart { number: 1 })), "{swapped}");
    other.complete_multipart(&path, &id, vec![first, last]).await.expect("complete");
    assert_eq!(get(&store, "handed on").await.expect("there"), parts.concat());
    for id in [id.as_str(), "", "zz"] {
        let error = store.abort_multipart(&path, &id.to_owned()).await.expect_err("there is none");
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
    let mut small = store.put_multipart(&path).await.expect("begun");
    for part in ["one", "two"] {
        small.put_part(part.into()).await.expect("put");
    }
    let error = small.complete().await.expect_err("the first is too small");
    assert!(matches!(source(&error), Some(BucketError::PartTooSmall { number: 1, size: 3 })), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_says_whether_to_try_again() {
    let world = World::new(14);
    let store = store(&world).await;
    let empty = store.put(&Path::default(), "x".into()).await.expect_err("no key is empty");
    assert!(matches!(source(&empty), Some(BucketError::KeyTooLong { bytes: 0 })), "{empty}");
    world.fault(world.nodes[0], Fault::Silent);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let refused = store.put(&Path::from("a"), "x".into()).await.expect_err("nobody would agree on it");
    assert_eq!(source(&refused).map(BucketError::kind), Some(ErrorKind::Network), "{refused}");
    world.heal();
    store.put(&Path::from("a"), "x".into()).await.expect("put");
    let listed = store.bucket().list(ListQuery { limit: 2, ..ListQuery::default() }).await.expect("listed");
    assert_eq!(listed.objects.len(), 1);
}
