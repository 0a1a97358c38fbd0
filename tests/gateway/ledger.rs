//! What the ledger says of a bucket's account, which follows from its owner's key and the bucket's name.

use std::path::Path;

use anyhow::Result;
use ostrakon::{AccountId, Client, Profile, Protection};
use ostrakon_proto::{bucket::BucketSecret, sign::Keypair};
use tokio::runtime::Runtime;

/// The ledger, as the owner of buckets reads it.
pub(crate) struct Ledger {
    runtime: Runtime,
    client: Client,
    profile: Profile,
}

impl Ledger {
    /// For the owner that has this profile.
    pub(crate) fn open(profile: &Path) -> Result<Self> {
        let (runtime, profile) = (Runtime::new()?, Profile::open(profile)?);
        let client = runtime.block_on(async { profile.connect() })?;
        Ok(Self { runtime, client, profile })
    }

    /// The epoch in progress.
    pub(crate) fn epoch(&self) -> Result<u64> {
        Ok(self.runtime.block_on(self.client.chain().head())?.epoch.0)
    }

    /// Transactions of a bucket's account: one for each batch that has no large object, and few at the beginning.
    pub(crate) fn transactions(&self, bucket: &str) -> Result<u64> {
        let account: AccountId = self.key(bucket).public();
        Ok(self.runtime.block_on(self.client.chain().account(account))?.nonce)
    }

    /// Writes a profile of a bucket's account.
    pub(crate) fn write_profile(&self, bucket: &str, directory: &Path) -> Result<()> {
        Profile::init_with(directory, self.profile.genesis(), &self.key(bucket), &Protection::None)?;
        Ok(())
    }

    fn key(&self, bucket: &str) -> Keypair {
        BucketSecret::derive(self.profile.keypair(), bucket).keypair()
    }
}
