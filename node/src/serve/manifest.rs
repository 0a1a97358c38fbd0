//! manifest/1: an object's manifest, from the copy beside a column of it (`proto/wire/manifest`).

use std::sync::Arc;

use ostrakon_proto::wire::{Frame, Refusal, RefusalCode, manifest::ManifestRequest};

use super::{Serve, answer, decode, no_body, refuse_store};

impl Serve {
    pub(super) async fn manifest(&self, frame: Frame) -> Result<Frame, Refusal> {
        no_body(&frame)?;
        let ManifestRequest { object } = decode(&frame)?;
        let columns = Arc::clone(&self.parts.columns);
        let found = self.parts.workers.run(move || columns.manifest(&object)).await;
        let manifest = found.map_err(|error| refuse_store(&error))?;
        let manifest = manifest.ok_or_else(|| {
            Refusal::new(RefusalCode::NotFound, format!("no column of object {object} is stored on this node"))
        })?;
        Ok(answer((), manifest))
    }
}
