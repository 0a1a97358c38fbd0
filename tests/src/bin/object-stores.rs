//! `object-stores [PART OF A NAME ..]`: the `object_store` crate's suite for implementations, function by function.
//!
//! Each is tried on a bucket of its own of the profile that `OSTRAKON_PROFILE` names: `native` with the SDK's store,
//! `s3` by the crate's client of S3, on the gateway that `S3_ENDPOINT`, `S3_ACCESS_KEY` and `S3_SECRET_KEY` name, if
//! they do. Prints a line for each; fails where one of them fails.

#![expect(clippy::print_stdout, reason = "this is the main function of a suite")]

use std::{env, process::ExitCode, sync::Arc, time::Instant};

use anyhow::{Context, Result};
use object_store::{
    Error, ObjectStore,
    aws::{AmazonS3Builder, S3CopyIfNotExists},
    integration,
    list::PaginatedListStore,
    multipart::MultipartStore,
};
use ostrakon::{Client, bucket::Buckets, object_store::BucketStore};

/// All functions of the suite. The last is about HTTP, which the SDK's store does not use.
const SUITE: [&str; 19] = [
    "put_get_delete_list",
    "put_get_attributes",
    "get_opts",
    "put_opts",
    "stream_get",
    "list_uses_directories_correctly",
    "list_with_delimiter",
    "get_nonexistent_object",
    "rename_and_copy",
    "copy_if_not_exists",
    "copy_rename_nonexistent_object",
    "multipart",
    "multipart_with_opts",
    "multipart_put_part_out_of_order",
    "multipart_race_condition",
    "multipart_out_of_order",
    "list_paginated",
    "list_with_offset_exclusivity",
    ABOUT_HTTP,
];
const ABOUT_HTTP: &str = "response_extensions";

/// A store, by all that it implements.
#[derive(Clone)]
struct Tried {
    objects: Arc<dyn ObjectStore>,
    parts: Arc<dyn MultipartStore>,
    pages: Arc<dyn PaginatedListStore>,
}

impl Tried {
    fn new(store: impl ObjectStore + MultipartStore + PaginatedListStore) -> Self {
        let store = Arc::new(store);
        Self { objects: store.clone(), parts: store.clone(), pages: store }
    }
}

/// Panics where the store does not do what the function expects.
async fn function(name: &str, Tried { objects, parts, pages }: Tried) {
    let (objects, parts) = (&*objects, &*parts);
    match name {
        "put_get_delete_list" => integration::put_get_delete_list(objects).await,
        "put_get_attributes" => integration::put_get_attributes(objects).await,
        "get_opts" => integration::get_opts(objects).await,
        "put_opts" => integration::put_opts(objects, true).await,
        "stream_get" => integration::stream_get(objects).await,
        "list_uses_directories_correctly" => integration::list_uses_directories_correctly(objects).await,
        "list_with_delimiter" => integration::list_with_delimiter(objects).await,
        "get_nonexistent_object" => {
            let read = integration::get_nonexistent_object(objects, None).await;
            assert!(matches!(read, Err(Error::NotFound { .. })), "{read:?}");
        }
        "rename_and_copy" => integration::rename_and_copy(objects).await,
        "copy_if_not_exists" => integration::copy_if_not_exists(objects).await,
        "copy_rename_nonexistent_object" => integration::copy_rename_nonexistent_object(objects).await,
        "multipart" => integration::multipart(objects, parts).await,
        "multipart_with_opts" => integration::multipart_with_opts(objects, parts).await,
        "multipart_put_part_out_of_order" => integration::multipart_put_part_out_of_order(objects, parts).await,
        "multipart_race_condition" => integration::multipart_race_condition(objects, true).await,
        "multipart_out_of_order" => integration::multipart_out_of_order(objects).await,
        "list_paginated" => integration::list_paginated(objects, &*pages).await,
        "list_with_offset_exclusivity" => integration::list_with_offset_exclusivity(objects).await,
        ABOUT_HTTP => integration::response_extensions(objects, true).await,
        other => panic!("the suite has no function {other}"),
    }
}

/// By the crate's client of S3.
fn over_s3(bucket: &str, endpoint: &str) -> Result<Tried> {
    let key = |name| env::var(name).with_context(|| format!("{name} is not set"));
    let store = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_access_key_id(key("S3_ACCESS_KEY")?)
        .with_secret_access_key(key("S3_SECRET_KEY")?)
        .with_region("us-east-1")
        .with_bucket_name(bucket)
        .with_allow_http(true)
        .with_copy_if_not_exists(S3CopyIfNotExists::Header("if-none-match".to_owned(), "*".to_owned()))
        .with_http_connector(integration::MarkerHttpConnector::default())
        .build()?;
    Ok(Tried::new(store))
}

/// Whether all functions pass whose names have one of these parts.
async fn run(buckets: &Buckets, parts: &[String]) -> Result<bool> {
    let (endpoint, mut all_pass) = (env::var("S3_ENDPOINT").ok(), true);
    for way in ["native", "s3"] {
        for (number, name) in SUITE.into_iter().enumerate() {
            let is_chosen = parts.is_empty() || parts.iter().any(|part| format!("{way} {name}").contains(part));
            if !is_chosen || (way, name) == ("native", ABOUT_HTTP) {
                continue;
            }
            let bucket_name = format!("conf-store-{way}-{number}");
            let bucket = buckets.create(&bucket_name).await?;
            let tried = match (way, &endpoint) {
                ("s3", Some(endpoint)) => over_s3(&bucket_name, endpoint)?,
                ("s3", None) => continue,
                _ => Tried::new(BucketStore::from(bucket)),
            };
            let start = Instant::now();
            // A panic ends the task alone, and says on stderr why.
            let passes = tokio::spawn(function(name, tried)).await.is_ok();
            all_pass &= passes;
            let outcome = if passes { "ok" } else { "FAILED" };
            println!("{way} {name}: {outcome} ({:.1} s)", start.elapsed().as_secs_f32());
        }
    }
    Ok(all_pass)
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let parts: Vec<String> = env::args().skip(1).collect();
    let passed = run(&Client::open_default()?.buckets()?, &parts).await?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
