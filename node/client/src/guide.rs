//! One page for each task. Every page is a program that is compiled with this documentation.
//!
//! * [`open`]: a client of a network
//! * [`add`]: store a file, a directory, bytes or a stream
//! * [`get`]: read an object, whole or in part
//! * [`range`]: read at any position
//! * [`directory`]: list and read what is in a directory
//! * [`verify`]: prove that an object is stored, with and without a network
//! * [`names`]: names that point to objects
#![cfg_attr(feature = "object-store", doc = "* [`object_store`]: buckets, by the trait that programs know")]
//! * [`wallet`]: balance, payments, terms
//! * [`errors`]: what to do about a failure

/// A client of a network.
///
/// A profile is a directory with an account key and the genesis of a network; `ostrakon init` creates one, and
/// [`Profile::init`](crate::Profile::init) does too. [`Client::open_default`](crate::Client::open_default) opens the
/// one that `OSTRAKON_PROFILE` names, or else the user's.
///
/// ```no_run
/// # async fn page() -> Result<(), ostrakon::Error> {
/// use ostrakon::{Client, Profile};
///
/// let client = Client::open_default()?;
/// let other = Profile::open("/srv/app/profile")?.connect()?;
/// println!("block {}", client.chain().head().await?.height);
/// # drop(other);
/// # Ok(())
/// # }
/// ```
///
/// A client is cheap to clone, and its clones share connections. It trusts no node: what it reads is proven against the
/// validators' signatures, from the genesis on.
pub mod open {}

/// Store a file, a directory, bytes or a stream.
///
/// ```no_run
/// # async fn page(client: ostrakon::Client) -> Result<(), ostrakon::Error> {
/// use ostrakon::{Class, Event};
///
/// let added = client.add("report.pdf").await?;
/// println!("{}", added.link);
///
/// let photos = client.add("photos").class(Class::Economy).epochs(2_000).exclude(["*.tmp"]);
/// println!("costs {:?}", photos.quote().await?);
///
/// let stream = tokio::io::repeat(7);
/// let added = client.add_reader(tokio::io::AsyncReadExt::take(stream, 1 << 20)).size(1 << 20);
/// let added = added.on_event(|event| if let Event::Progress { done, .. } = event { println!("{done} bytes") });
/// println!("{}", added.await?.link);
/// # Ok(())
/// # }
/// ```
///
/// The link has the key that the object is encrypted with: anyone who has it can read, and nobody else. Futures are
/// `Send`. Dropping one cancels the add, and tells the holders; an add of a file or directory with a profile resumes
/// when it is repeated.
pub mod add {}

/// Read an object, whole or in part.
///
/// ```no_run
/// # async fn page(client: ostrakon::Client, link: ostrakon::Link) -> Result<(), ostrakon::Error> {
/// let bytes = client.get(&link).bytes().await?;
/// println!("{} bytes", bytes.len());
///
/// let fetched = client.get(&link).save("copy.pdf").await?;
/// println!("from {} columns", fetched.columns_used.len());
///
/// client.get(&link).write_to(tokio::io::stdout()).await?;
/// # Ok(())
/// # }
/// ```
///
/// Every byte is verified before it is returned. Holders that fail are replaced by others while any k of n are left.
pub mod get {}

/// Read at any position: [`Get::reader`](crate::Get::reader) implements `AsyncRead` and `AsyncSeek`.
///
/// ```no_run
/// # async fn page(client: ostrakon::Client, link: ostrakon::Link) -> Result<(), Box<dyn std::error::Error>> {
/// use std::io::SeekFrom;
/// use tokio::io::{AsyncReadExt, AsyncSeekExt};
///
/// let first = client.get(&link).range(..1024).bytes().await?;
/// let last = client.get(&link).last(1024).bytes().await?;
///
/// let mut reader = client.get(&link).reader().await?;
/// let mut header = [0; 16];
/// reader.read_exact(&mut header).await?;
/// reader.seek(SeekFrom::End(-16)).await?;
/// # drop((first, last));
/// # Ok(())
/// # }
/// ```
///
/// The object is opened once; only what is read is fetched.
pub mod range {}

/// List and read what is in a directory.
///
/// ```no_run
/// # async fn page(client: ostrakon::Client, link: ostrakon::Link) -> Result<(), ostrakon::Error> {
/// use ostrakon::Listing;
///
/// let directory = client.open_pack(&link).await?;
/// let mut entries = directory.list(None, Listing::Everything).await?;
/// while let Some(entry) = entries.next().await? {
///     println!("{}", entry.path);
/// }
/// let june = client.get(&link).path("2024/june/beach.jpg").bytes().await?;
/// client.get(&link).path("2024").save("photos-2024").await?;
/// # drop(june);
/// # Ok(())
/// # }
/// ```
///
/// The index is read page by page, and a file without the rest of the directory.
pub mod directory {}

/// Prove that an object is stored.
///
/// [`Client::verify`](crate::Client::verify) reads every column. A [`Certificate`](crate::Certificate) is the ledger's
/// proof that the object is stored until an epoch: it is checked with the genesis of the network alone, on any machine.
/// Once the first validators may have their bonds back, that is not enough: the id of the block that the proof rests on
/// must come from a source that you trust.
///
/// ```no_run
/// # async fn page(client: ostrakon::Client, link: ostrakon::Link) -> Result<(), ostrakon::Error> {
/// use ostrakon::{Certificate, read_genesis};
///
/// let genesis = read_genesis("genesis.toml")?;
/// let certificate = client.chain().certificate(&genesis, link.object).await?;
/// std::fs::write("proof.cert", certificate.to_bytes())?;
///
/// // Elsewhere, without a network:
/// let committed = Certificate::from_bytes(&std::fs::read("proof.cert")?)?.verify(&genesis)?;
/// committed.basis.check(&genesis, None, ostrakon::now_ms())?;
/// println!("{} stored as of block {}", committed.object, committed.basis.height);
/// # Ok(())
/// # }
/// ```
pub mod verify {}

/// Names that point to objects, and can be moved.
///
/// ```no_run
/// # async fn page(client: ostrakon::Client, link: ostrakon::Link) -> Result<(), Box<dyn std::error::Error>> {
/// use ostrakon::{Expect, Name, object_of};
///
/// let photos: Name = "photos".parse()?;
/// client.set_name(&photos, Some(link.object), Expect::Any).await?;
///
/// let account = client.account().expect("this client has an account");
/// let (_height, found) = client.chain().name(account, &photos).await?;
/// let object = found.as_ref().and_then(object_of);
/// # drop(object);
/// # Ok(())
/// # }
/// ```
///
/// A change names the version that it replaces ([`Expect`](crate::Expect)), so that of two concurrent ones one fails.
pub mod names {}

/// Buckets, for programs that use the `object_store` crate.
///
/// A bucket is a sorted map from keys to objects, which can be replaced and deleted. [`BucketStore`] implements
/// [`ObjectStore`] on it, so that whatever takes a store can be given a bucket. It needs the feature `object-store`. A
/// bucket pays for what it stores from the account of the profile.
///
/// ```no_run
/// # async fn page() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::TryStreamExt;
/// use object_store::{ObjectStore, ObjectStoreExt, PutMode, UpdateVersion, path::Path};
/// use ostrakon::{Client, object_store::BucketStore};
///
/// let client = Client::open_default()?;
/// client.buckets()?.create("photos").await?;
/// let store = BucketStore::open(&client, "photos").await?;
///
/// let path = Path::from("2026/beach.jpg");
/// let put = store.put(&path, "a picture".into()).await?;
/// // Replaces this version, or nothing at all.
/// let version = PutMode::Update(UpdateVersion::from(put));
/// store.put_opts(&path, "another picture".into(), version.into()).await?;
///
/// let mut objects = store.list(Some(&Path::from("2026")));
/// while let Some(object) = objects.try_next().await? {
///     println!("{} has {} bytes", object.location, object.size);
/// }
/// # Ok(())
/// # }
/// ```
///
/// Each acknowledged write is a commit on the ledger, which takes a second or so. Writes that are made at the same time
/// share one: put many objects concurrently rather than one after the other. Bodies of more than a few MiB are best
/// uploaded in parts ([`ObjectStore::put_multipart_opts`]), so that not all of them have to be in memory.
///
/// [`BucketStore`]: crate::object_store::BucketStore
/// [`ObjectStore`]: ::object_store::ObjectStore
/// [`ObjectStore::put_multipart_opts`]: ::object_store::ObjectStore::put_multipart_opts
#[cfg(feature = "object-store")]
pub mod object_store {}

/// Balance, payments, and the terms of objects.
///
/// ```no_run
/// # async fn page(client: ostrakon::Client, link: ostrakon::Link) -> Result<(), Box<dyn std::error::Error>> {
/// use ostrakon::{AccountId, Amount};
///
/// println!("{} obols", client.balance().await?);
/// let payee: AccountId = "ost1...".parse()?;
/// let paid = client.transfer(payee, Amount(2_500_000)).await?;
/// println!("in block {}", paid.height);
///
/// let month = client.chain().pace().epochs_in(std::time::Duration::from_secs(30 * 86_400));
/// let end = client.extend(link.object, month, Amount::ZERO).await?;
/// println!("paid until epoch {end}");
/// client.release(link.object).await?;
/// # Ok(())
/// # }
/// ```
///
/// Transactions of one account may be submitted concurrently by any number of tasks.
pub mod wallet {}

/// What to do about a failure.
///
/// ```no_run
/// # async fn page(client: ostrakon::Client, link: ostrakon::Link) -> Result<(), ostrakon::Error> {
/// use ostrakon::{ChainError, ErrorKind};
///
/// match client.get(&link).bytes().await {
///     Ok(bytes) => println!("{} bytes", bytes.len()),
///     Err(error) if error.is_retryable() => println!("{error}; trying again later"),
///     Err(error) if error.kind() == ErrorKind::NotFound => println!("gone: {error}"),
///     Err(error) => {
///         if let Some(ChainError::Expired(_)) = error.downcast_ref() {
///             println!("this client was offline for too long");
///         }
///         return Err(error);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub mod errors {}
