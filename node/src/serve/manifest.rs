//! manifest/1: an object's manifest, from the copy beside a column of it (`proto/wire/manifest`).

use ostrakon_proto::wire::{Frame, Refusal, RefusalCode, manifest::ManifestRequest};

use super::{Serve, answer, decode, no_body, refuse_store};

impl Serve {
    pub(super) async fn manifest(&self, frame: Frame) -> Result<Frame, Refusal> {
        no_body(&frame)?;
        let ManifestRequest { object } = decode(&frame)?;
        let found = self.on_columns(move |columns| columns.manifest(&object)).await;
        let manifest = found.map_err(refuse_store)?;
        let manifest = manifest.ok_or_else(|| {
            Refusal::new(RefusalCode::NotFound, format!("no column of object {object} is stored on this node"))
        })?;
        Ok(answer((), manifest))
    }
}
