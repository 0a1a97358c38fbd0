//! Answers as S3 writes them, where s3s writes them otherwise.

use bytes::Bytes;
use hyper::{
    StatusCode,
    header::{CONTENT_LENGTH, HeaderValue},
};
use s3s::{Body, HttpResponse, S3Response};

/// The status of an answer, in its extensions: s3s does not take it from operations.
#[derive(Clone, Copy, Debug)]
struct Status(StatusCode);

/// An answer with this status.
pub(crate) fn with_status<T>(output: T, status: StatusCode) -> S3Response<T> {
    let mut response = S3Response::new(output);
    response.extensions.insert(Status(status));
    response
}

/// The answer that is sent for one of s3s.
pub(crate) fn rewritten(mut response: HttpResponse) -> S3Response<Body> {
    if let Some(Status(status)) = response.extensions_mut().remove() {
        *response.status_mut() = status;
    }
    if let Some(text) = response.body().bytes().as_deref().and_then(xml) {
        if response.headers().contains_key(CONTENT_LENGTH) {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
        }
        *response.body_mut() = Body::from(text);
    }
    let (parts, output) = response.into_parts();
    let mut answer = S3Response::with_status(output, parts.status);
    answer.headers = parts.headers;
    answer.extensions = parts.extensions;
    answer
}

/// The XML that S3 would write, if it is another. Who reads it takes a bare return for a new line, so those in keys are
/// escaped; and the entity tag among an object's attributes has no quotes.
fn xml(text: &[u8]) -> Option<Bytes> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.starts_with("<?xml"))?;
    let escaped = text.contains('\r').then(|| text.replace('\r', "&#13;"));
    let unquoted = unquoted_etag(escaped.as_deref().unwrap_or(text));
    unquoted.or(escaped).map(Bytes::from)
}

fn unquoted_etag(text: &str) -> Option<String> {
    if !text.contains("<GetObjectAttributesResponse") {
        return None;
    }
    let (before, rest) = text.split_once("<ETag>")?;
    let (etag, after) = rest.split_once("</ETag>")?;
    let etag = etag.replace("&quot;", "");
    Some(format!("{before}<ETag>{}</ETag>{after}", etag.trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_is_as_s3_writes_it() {
        let steps = [
            ("<?xml?><Key>a</Key>", None),
            ("<?xml?><Key>a\rb\n</Key>", Some("<?xml?><Key>a&#13;b\n</Key>")),
            ("<?xml?><ETag>&quot;00-2&quot;</ETag>", None),
            (
                "<?xml?><GetObjectAttributesResponse><ETag>&quot;00-2&quot;</ETag>",
                Some("<?xml?><GetObjectAttributesResponse><ETag>00-2</ETag>"),
            ),
            ("a body\r", None),
        ];
        for (written, sent) in steps {
            assert_eq!(xml(written.as_bytes()).as_deref(), sent.map(str::as_bytes), "{written}");
        }
    }
}
