//! Errors as S3 names them.
//!
//! In go errors of buckets; out come codes that clients know, and texts for people. A client repeats what is answered
//! with 503 and 500, and nothing else, so an error is one of these only if repeating it may help.

use std::borrow::Cow;

use hyper::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER},
};
use ostrakon::bucket::BucketError;
use s3s::{S3Error, S3ErrorCode};

/// An error with a text.
pub(crate) fn error(code: S3ErrorCode, text: impl Into<Cow<'static, str>>) -> S3Error {
    S3Error::with_message(code, text)
}

/// An error with a code that s3s has no name for.
pub(crate) fn custom(code: &'static str, status: StatusCode, text: impl Into<Cow<'static, str>>) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), text);
    error.set_status_code(status);
    error
}

/// What this gateway does not do.
pub(crate) fn not_implemented(what: &str) -> S3Error {
    error(S3ErrorCode::NotImplemented, format!("this gateway does not implement {what}"))
}

/// The same error with one more header. s3s replaces all headers by an error's, so the content type goes with it.
pub(crate) fn with_header(mut error: S3Error, name: HeaderName, value: HeaderValue) -> S3Error {
    let mut headers = error.headers().cloned().unwrap_or_else(HeaderMap::new);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    headers.insert(name, value);
    error.set_headers(headers);
    error
}

fn later(code: S3ErrorCode, text: String, seconds: u64) -> S3Error {
    with_header(error(code, text), RETRY_AFTER, HeaderValue::from(seconds))
}

/// What a client is told of an error.
#[allow(clippy::needless_pass_by_value, reason = "it is for map_err")]
pub(crate) fn told(source: BucketError) -> S3Error {
    let text = source.to_string();
    match source {
        BucketError::NoBucket { .. } => error(S3ErrorCode::NoSuchBucket, text),
        BucketError::BucketExists { .. } => error(S3ErrorCode::BucketAlreadyOwnedByYou, text),
        BucketError::NotEmpty { .. } => error(S3ErrorCode::BucketNotEmpty, text),
        BucketError::InvalidName { .. } => error(S3ErrorCode::InvalidBucketName, text),
        BucketError::NoSuchKey { .. } => error(S3ErrorCode::NoSuchKey, text),
        BucketError::NoSuchUpload { .. } => error(S3ErrorCode::NoSuchUpload, text),
        BucketError::Precondition => error(S3ErrorCode::PreconditionFailed, text),
        BucketError::InvalidPart { .. } => error(S3ErrorCode::InvalidPart, text),
        BucketError::InvalidPartOrder => error(S3ErrorCode::InvalidPartOrder, text),
        BucketError::PartTooSmall { .. } => error(S3ErrorCode::EntityTooSmall, text),
        BucketError::KeyTooLong { .. } => error(S3ErrorCode::KeyTooLongError, text),
        BucketError::DescriptionTooLong { .. } => error(S3ErrorCode::MetadataTooLarge, text),
        BucketError::Body(_) => error(S3ErrorCode::IncompleteBody, text),
        BucketError::Check(_) => error(S3ErrorCode::BadDigest, text),
        BucketError::Busy | BucketError::Replaced => later(S3ErrorCode::SlowDown, text, 1),
        BucketError::OwnerTooPoor(_) | BucketError::Funds(_) => {
            custom("InsufficientFunds", StatusCode::INSUFFICIENT_STORAGE, text)
        }
        BucketError::Unavailable(_) => later(S3ErrorCode::ServiceUnavailable, text, 10),
        _ => {
            tracing::error!(error = %text, "an S3 request failed with InternalError");
            error(S3ErrorCode::InternalError, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_is_told() {
        let steps = [
            (BucketError::Busy, "SlowDown", 503, Some("1")),
            (
                BucketError::Unavailable("two of four validators respond".to_owned()),
                "ServiceUnavailable",
                503,
                Some("10"),
            ),
            (BucketError::Funds("send it 2 obol".to_owned()), "InsufficientFunds", 507, None),
            (BucketError::Precondition, "PreconditionFailed", 412, None),
            (BucketError::Check("md5".to_owned()), "BadDigest", 400, None),
        ];
        for (source, code, status, retry) in steps {
            let text = source.to_string();
            let told = told(source);
            assert_eq!((told.code().as_str(), told.status_code().map(|s| s.as_u16())), (code, Some(status)), "{text}");
            assert_eq!(told.message(), Some(text.as_str()));
            let header =
                told.headers().and_then(|headers| headers.get(RETRY_AFTER)).map(|v| v.to_str().expect("ASCII"));
            assert_eq!(header, retry, "{text}");
        }
    }
}
