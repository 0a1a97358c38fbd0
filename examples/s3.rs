//! Uses a bucket over S3, by the `object_store` crate's client of it: all that a program needs of Ostrakon is the
//! address of a gateway, and an access key. Run it on a network of your own:
//!
//! ```text
//! ostrakon devnet up --dir net
//! export OSTRAKON_PROFILE=net/profile
//! ostrakon bucket create photos
//! ostrakon bucket key create --bucket photos          # prints the two values that are needed below
//! ostrakon gateway --listen 127.0.0.1:9000 &
//! export AWS_ENDPOINT_URL=http://127.0.0.1:9000 AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...
//! cargo run --release -p ostrakon-examples --example s3 photos
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anyhow::{Context, Result, ensure};
use futures::TryStreamExt;
use object_store::{
    Attribute, Attributes, Error, ObjectStore, ObjectStoreExt, PutMode,
    aws::{AmazonS3Builder, S3CopyIfNotExists},
    path::Path,
};

#[tokio::main]
async fn main() -> Result<()> {
    let bucket = std::env::args().nth(1).context("usage: s3 BUCKET")?;
    // Endpoint and key come from the environment, as for other clients of S3.
    let store = AmazonS3Builder::from_env()
        .with_bucket_name(&bucket)
        .with_region("us-east-1")
        .with_allow_http(true)
        // Signing what a gateway on the same machine is sent would only hash it once more.
        .with_unsigned_payload(true)
        // A copy can be made subject to this header here, which Amazon's own service does not know.
        .with_copy_if_not_exists(S3CopyIfNotExists::Header("if-none-match".to_owned(), "*".to_owned()))
        .build()?;

    let path = Path::from("letters/alpha.txt");
    let attributes = Attributes::from_iter([(Attribute::ContentType, "text/plain")]);
    let put = store.put_opts(&path, "alpha".into(), attributes.into()).await?;
    println!("put {path}: {}", put.e_tag.unwrap_or_default());
    match store.put_opts(&path, "other".into(), PutMode::Create.into()).await {
        Err(Error::AlreadyExists { .. }) => println!("it is not created twice"),
        other => drop(other?),
    }
    let copy = Path::from("archive/alpha.txt");
    if let Err(Error::AlreadyExists { .. }) = store.copy_if_not_exists(&path, &copy).await {
        println!("the archive has it already");
    }

    let large = Path::from("large");
    let mut upload = store.put_multipart(&large).await?;
    let parts = [1, 2].map(|byte| upload.put_part(vec![byte; 5 * 1024 * 1024].into()));
    futures::future::try_join_all(parts).await?;
    upload.complete().await?;
    let read = store.get_range(&large, 5 * 1024 * 1024 - 2..5 * 1024 * 1024 + 2).await?;
    ensure!(read == [1, 1, 2, 2][..], "other bytes came back");
    println!("uploaded {} bytes in 2 parts", store.head(&large).await?.size);

    let objects: Vec<_> = store.list(None).try_collect().await?;
    for object in objects {
        println!("{:>8} bytes: {}", object.size, object.location);
        store.delete(&object.location).await?;
    }
    Ok(())
}
