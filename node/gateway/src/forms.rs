//! The name of a form's file, which a key may ask for as `${filename}`: s3s reads it and does not tell it.
//!
//! In goes a form as it comes; out come the same bytes, and the name once it was seen. Whether the form is well-formed
//! is s3s's to say.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::limits;

/// What a key says where the name is to stand.
const PLACE: &str = "${filename}";

/// The name of a form's file, once it was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileName(Arc<OnceLock<String>>);

impl FileName {
    /// The key that a form's key means.
    pub(crate) fn insert(&self, key: &str) -> String {
        key.replace(PLACE, self.0.get().map_or("", String::as_str))
    }
}

/// A form's body, in which the name is looked for.
pub(crate) struct Form<B> {
    inner: B,
    name: FileName,
    seen: Vec<u8>,
}

impl<B> Form<B> {
    /// Wraps a body.
    pub(crate) fn new(inner: B, name: FileName) -> Self {
        Self { inner, name, seen: Vec::new() }
    }

    fn look(&mut self, bytes: &[u8]) {
        if self.name.0.get().is_some() || self.seen.len() >= limits::FORM_FIELDS_BYTES {
            return;
        }
        self.seen.extend_from_slice(bytes);
        if let Some(name) = file_name(&self.seen) {
            self.name.0.get_or_init(|| name);
            self.seen = Vec::new();
        }
    }
}

/// The name in the headers of the field that is called `file`, without directories.
fn file_name(seen: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(seen);
    let header = text.split("\r\n").filter(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("content-disposition:") && line.contains(" name=\"file\"")
    });
    // The last line may not have come to its end.
    let line = header.into_iter().find(|line| !text.ends_with(line))?;
    let (_, name) = line.split_once("filename=\"")?;
    let (name, _) = name.split_once('"')?;
    Some(name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned())
}

impl<B: Body<Data = Bytes> + Unpin> Body for Form<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let data = data.clone();
            self.look(&data);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_name() {
        let field = "--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nup/${filename}\r\n--b\r\n";
        let file = "content-disposition: form-data; name=\"file\"; filename=\"C:\\dir\\a b.txt\"\r\n";
        let whole = format!("{field}{file}Content-Type: text/plain\r\n\r\n");
        assert_eq!(file_name(whole.as_bytes()).as_deref(), Some("a b.txt"));
        for cut in 0..field.len() + file.len() - 2 {
            assert_eq!(file_name(&whole.as_bytes()[..cut]), None, "{cut}");
        }
        let name = FileName::default();
        let mut form = Form::new((), name.clone());
        whole.as_bytes().chunks(3).for_each(|piece| form.look(piece));
        assert_eq!(name.insert("up/${filename}"), "up/a b.txt");
    }
}
