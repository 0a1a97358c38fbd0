//! A bucket of a server of S3, ours or another: the requests that are measured, each checked.

use std::{net::SocketAddr, ops::Range, time::SystemTime};

use anyhow::{Result, ensure};

use crate::{
    http::{Body, Connection, Request},
    sign::Signer,
};

/// A bucket, and who uses it. Keys are of letters, digits, `-` and `/`.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) bucket: String,
    pub(crate) signer: Signer,
}

/// A connection to a bucket.
#[derive(Debug)]
pub(crate) struct Session {
    target: Target,
    connection: Connection,
}

impl Target {
    /// Connects.
    pub(crate) async fn session(&self) -> Result<Session> {
        Ok(Session { target: self.clone(), connection: Connection::open(self.address).await? })
    }

    fn request<'a>(&self, method: &'static str, key: &str, query: &str, body: Body<'a>) -> Request<'a> {
        let path = if key.is_empty() { format!("/{}", self.bucket) } else { format!("/{}/{key}", self.bucket) };
        let headers = self.signer.headers(method, (&path, query), SystemTime::now());
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        Request { method, target, headers, body }
    }
}

impl Session {
    /// Puts an object.
    pub(crate) async fn put(&mut self, key: &str, body: Body<'_>) -> Result<()> {
        self.connection.ask(&self.target.request("PUT", key, "", body)).await.map(drop)
    }

    /// Gets an object of no more than a few MiB.
    pub(crate) async fn get(&mut self, key: &str) -> Result<Vec<u8>> {
        self.connection.ask(&self.target.request("GET", key, "", Body::NONE)).await
    }

    /// Gets a whole object, which must have these bytes.
    pub(crate) async fn get_same(&mut self, key: &str, expect: &[u8]) -> Result<()> {
        let mut left = expect;
        let mut compare = |bytes: &[u8]| {
            ensure!(left.starts_with(bytes), "WRONG BYTES: what was fetched is not what was put");
            left = &left[bytes.len()..];
            Ok(())
        };
        let request = self.target.request("GET", key, "", Body::NONE);
        self.connection.hand_on(&request, &mut compare).await?;
        ensure!(left.is_empty(), "WRONG BYTES: {} are missing at the end", left.len());
        Ok(())
    }

    /// Gets a range of an object.
    pub(crate) async fn range(&mut self, key: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let mut request = self.target.request("GET", key, "", Body::NONE);
        request.headers.push(("range", format!("bytes={}-{}", range.start, range.end.saturating_sub(1))));
        self.connection.ask(&request).await
    }

    /// Asks whether there is an object, which there must be.
    pub(crate) async fn head(&mut self, key: &str) -> Result<()> {
        self.connection.ask(&self.target.request("HEAD", key, "", Body::NONE)).await.map(drop)
    }

    /// Lists so many keys after one, and says how many are listed.
    pub(crate) async fn list(&mut self, after: &str, most: usize) -> Result<usize> {
        let query = format!("list-type=2&max-keys={most}&start-after={after}");
        let listed = self.connection.ask(&self.target.request("GET", "", &query, Body::NONE)).await?;
        Ok(String::from_utf8_lossy(&listed).matches("<Key>").count())
    }
}
