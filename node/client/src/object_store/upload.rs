//! Multipart uploads: by one handle, and by ids that can be handed on.

use async_trait::async_trait;
use futures::FutureExt;
use object_store::{
    Error, MultipartUpload, PutMultipartOptions, PutPayload, PutResult, Result, UploadPart,
    multipart::{MultipartStore, PartId},
    path::Path,
};

use super::{
    BucketStore, body, described,
    errors::{generic, told},
    put_result, quoted, unquoted,
};
use crate::bucket::{CompletePart, Condition, MultipartId, NewUpload, PutDone};

/// Parts of an upload, as in S3.
const PARTS: u16 = 10_000;

/// An upload whose parts follow each other.
#[derive(Clone, Debug)]
pub(super) struct InOrder {
    store: BucketStore,
    location: Path,
    upload: MultipartId,
    parts: usize,
}

impl BucketStore {
    /// Begins an upload.
    pub(super) async fn begin(&self, location: &Path, options: PutMultipartOptions) -> Result<InOrder> {
        let PutMultipartOptions { tags, attributes, extensions: _ } = options;
        let new = NewUpload { described: described(&attributes, &tags)?, checksum: None };
        let upload = self.bucket.begin_upload(location.as_ref(), new).await.map_err(told(location))?;
        Ok(InOrder { store: self.clone(), location: location.clone(), upload, parts: 0 })
    }

    /// The upload with this id.
    fn upload(&self, location: &Path, id: &str) -> Result<InOrder> {
        let mut upload = MultipartId::default();
        let parsed = hex::decode_to_slice(id, &mut upload);
        parsed.map_err(|source| Error::NotFound { path: location.to_string(), source: source.into() })?;
        Ok(InOrder { store: self.clone(), location: location.clone(), upload, parts: 0 })
    }
}

impl InOrder {
    async fn put(self, index: usize, payload: PutPayload) -> Result<PutDone> {
        let number = number(index)?;
        let done = self.store.bucket.put_part(self.location.as_ref(), self.upload, number, body(payload)).await;
        done.map_err(told(&self.location))
    }

    /// Makes the object of its parts: of each the entity tag, if that is known.
    async fn finish(&self, mut etags: Vec<Option<String>>) -> Result<PutResult> {
        if etags.is_empty() {
            // An object without bytes has a part, which has none.
            self.clone().put(0, PutPayload::default()).await?;
            etags.push(None);
        }
        let part = |(index, etag)| Ok(CompletePart { number: number(index)?, etag, checksum: None });
        let parts = etags.into_iter().enumerate().map(part).collect::<Result<_>>()?;
        let (key, conditions) = (self.location.as_ref(), (Condition::None, None));
        let done = self.store.bucket.complete_upload(key, self.upload, parts, conditions).await;
        done.map(put_result).map_err(told(&self.location))
    }

    async fn give_up(&self) -> Result<()> {
        self.store.bucket.abort_upload(self.location.as_ref(), self.upload).await.map_err(told(&self.location))
    }
}

/// The number of a part, of which the first is 1.
fn number(index: usize) -> Result<u16> {
    let number = index.checked_add(1).and_then(|number| u16::try_from(number).ok());
    number.filter(|number| *number <= PARTS).ok_or_else(|| generic(format!("an upload has {PARTS} parts at most")))
}

#[async_trait]
impl MultipartUpload for InOrder {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let index = self.parts;
        self.parts = index.saturating_add(1);
        self.clone().put(index, payload).map(|done| done.map(|_| ())).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.finish(vec![None; self.parts]).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.give_up().await
    }
}

#[async_trait]
impl MultipartStore for BucketStore {
    async fn create_multipart(&self, location: &Path) -> Result<object_store::MultipartId> {
        self.create_multipart_opts(location, PutMultipartOptions::default()).await
    }

    async fn create_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<object_store::MultipartId> {
        Ok(hex::encode(self.begin(location, options).await?.upload))
    }

    async fn put_part(
        &self,
        location: &Path,
        id: &object_store::MultipartId,
        index: usize,
        payload: PutPayload,
    ) -> Result<PartId> {
        let done = self.upload(location, id)?.put(index, payload).await?;
        Ok(PartId { content_id: quoted(done.etag) })
    }

    async fn complete_multipart(
        &self,
        location: &Path,
        id: &object_store::MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let etag = |part: PartId| Some(unquoted(&part.content_id).to_owned());
        self.upload(location, id)?.finish(parts.into_iter().map(etag).collect()).await
    }

    async fn abort_multipart(&self, location: &Path, id: &object_store::MultipartId) -> Result<()> {
        self.upload(location, id)?.give_up().await
    }
}
