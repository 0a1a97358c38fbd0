//! Uses a bucket by the `object_store` crate, as programs do that know S3 by it. Run it on a network of your own:
//!
//! ```text
//! ostrakon devnet up --dir net
//! OSTRAKON_PROFILE=net/profile cargo run --release -p ostrakon-examples --example object_store
//! ostrakon devnet down --dir net
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt};
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion, path::Path};
use ostrakon::{Client, bucket::BucketError, object_store::BucketStore};

#[tokio::main]
async fn main() -> Result<()> {
    let buckets = Client::open_default()?.buckets()?;
    let bucket = match buckets.open("potsherds").await {
        Err(BucketError::NoBucket { .. }) => buckets.create("potsherds").await?,
        opened => opened?,
    };
    // Whatever takes a store can be given this one.
    let store = BucketStore::from(bucket);
    write(&store).await?;
    count(&store).await?;
    upload(&store).await?;

    let mut objects = store.list(None);
    while let Some(object) = objects.try_next().await? {
        println!("{:>8} bytes, {}: {}", object.size, object.last_modified, object.location);
    }
    // Deletions are committed together, not one by one.
    let all = store.list(None).map_ok(|object| object.location).boxed();
    let deleted: Vec<Path> = store.delete_stream(all).try_collect().await?;
    println!("deleted {} objects", deleted.len());
    Ok(())
}

/// Small objects: those that are put at the same time share a commit.
async fn write(store: &dyn ObjectStore) -> Result<()> {
    let letters = Path::from("letters");
    let puts = ["alpha", "beta", "gamma"].map(|name| (letters.clone().join(name), name));
    futures::future::try_join_all(puts.iter().map(|(path, name)| store.put(path, (*name).into()))).await?;
    let read = store.get_range(&letters.clone().join("beta"), 1..3).await?;
    println!("bytes 1 and 2 of beta: {}", String::from_utf8_lossy(&read));
    // Neither a copy nor a new name moves any bytes.
    store.rename(&letters.clone().join("gamma"), &Path::from("archive/gamma")).await?;
    Ok(())
}

/// A counter that any number of programs may increment: of those that replace one version, one succeeds.
async fn count(store: &dyn ObjectStore) -> Result<()> {
    let path = Path::from("runs");
    loop {
        let (count, mode) = match store.get(&path).await {
            Ok(found) => {
                let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: None };
                let count: u64 = std::str::from_utf8(&found.bytes().await?)?.parse()?;
                (count + 1, PutMode::Update(version))
            }
            Err(Error::NotFound { .. }) => (1, PutMode::Create),
            Err(error) => return Err(error.into()),
        };
        match store.put_opts(&path, count.to_string().into(), mode.into()).await {
            Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => {}
            done => {
                done?;
                println!("run {count}");
                return Ok(());
            }
        }
    }
}

/// A large object, whose parts are uploaded at the same time.
async fn upload(store: &dyn ObjectStore) -> Result<()> {
    let path = Path::from("large");
    let mut upload = store.put_multipart(&path).await?;
    let parts = [1, 2, 3].map(|byte| upload.put_part(vec![byte; 5 * 1024 * 1024].into()));
    futures::future::try_join_all(parts).await?;
    upload.complete().await?;
    let object = store.head(&path).await?;
    ensure!(object.size == 15 * 1024 * 1024, "the object has {} bytes", object.size);
    println!("uploaded {} bytes in 3 parts", object.size);
    Ok(())
}
