//! Who a request is from: secrets of access keys for s3s, which verifies signatures, and what s3s leaves open.

use std::{borrow::Cow, cell::Cell};

use hyper::{HeaderMap, Uri, header::AUTHORIZATION};
use ostrakon::bucket::Buckets;
use s3s::{
    S3ErrorCode, S3Result,
    auth::{S3Auth, SecretKey},
};

use crate::{
    errors::{error, told},
    limits,
};

tokio::task_local! {
    /// Whether the request of this task names a key that exists. When s3s continues after that, its signature is good.
    pub(crate) static SIGNED: Cell<bool>;
}

/// The secrets of an account's access keys.
pub(crate) struct Secrets(pub(crate) Buckets);

#[async_trait::async_trait]
impl S3Auth for Secrets {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        let unknown = || error(S3ErrorCode::InvalidAccessKeyId, "the access key does not exist, or was deleted");
        let key = self.0.access_key(id).await.map_err(told)?.ok_or_else(unknown)?;
        // Outside of a request there is nothing to note.
        let _outside = SIGNED.try_with(|signed| signed.set(true));
        Ok(SecretKey::from(key.secret.as_str()))
    }
}

/// Refuses the second version of signatures, whose verification in s3s leaks time.
pub(crate) fn refuse_old_signatures(headers: &HeaderMap, uri: &Uri) -> S3Result<()> {
    let old_header = headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS "));
    let old_query = parameters(uri).any(|(name, _)| matches!(&*name, "Signature" | "AWSAccessKeyId"));
    if old_header || old_query { Err(old_signature()) } else { Ok(()) }
}

/// The answer to a signature for a region that cannot be one, such as the `US` of s3cmd: s3s refuses to verify it, and
/// S3 says which region is meant, for which the client signs again. Any other name is as good as another.
pub(crate) fn wrong_region(headers: &HeaderMap, uri: &Uri, region: &str) -> Option<String> {
    let query = parameter(uri, "X-Amz-Credential");
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let header = header.and_then(|value| value.split_once("Credential=")?.1.split([',', ' ']).next());
    let (code, what, credential) = match (&query, header) {
        (Some(credential), _) => ("AuthorizationQueryParametersError", "query parameters are", credential.as_ref()),
        (None, credential) => ("AuthorizationHeaderMalformed", "header is", credential?),
    };
    // An access key's id may have slashes.
    let named = credential.rsplit('/').nth(2)?;
    let is_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if named.bytes().all(is_region) {
        return None;
    }
    let named = named.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    Some(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>The authorization {what} \
         malformed; the region '{named}' is wrong; expecting '{region}'</Message><Region>{region}</Region></Error>"
    ))
}

/// What is told to who signs with the second version.
pub(crate) fn old_signature() -> s3s::S3Error {
    let text = "the authorization mechanism is not supported; use AWS4-HMAC-SHA256";
    error(S3ErrorCode::InvalidRequest, text)
}

/// Checks what a verified signature covers: S3's own headers must all be signed, or who has a presigned URL could, for
/// example, make a copy of an upload; and a presigned URL is valid for seven days at most.
pub(crate) fn check_signed(headers: &HeaderMap, uri: &Uri) -> S3Result<()> {
    let presigned = parameter(uri, "X-Amz-SignedHeaders").map(Cow::into_owned);
    if presigned.is_some() {
        let seconds = parameter(uri, "X-Amz-Expires").and_then(|seconds| seconds.parse::<u64>().ok());
        if seconds.is_none_or(|seconds| seconds > limits::PRESIGNED_SECONDS) {
            let text = "X-Amz-Expires must be less than a week (in seconds)";
            return Err(error(S3ErrorCode::AuthorizationQueryParametersError, text));
        }
    }
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(signed) = presigned.clone().or_else(|| signed_headers(authorization?)) else { return Ok(()) };
    let is_signed = |name: &str| signed.split(';').any(|one| one.eq_ignore_ascii_case(name));
    let free = |name: &str| presigned.is_some() && name == "x-amz-content-sha256";
    let unsigned = headers.keys().map(hyper::header::HeaderName::as_str).find(|name| {
        let ours = name.starts_with("x-amz-") || *name == "host";
        ours && !is_signed(name) && !free(name)
    });
    match unsigned {
        None => Ok(()),
        Some(name) => Err(error(S3ErrorCode::AccessDenied, format!("the header {name} is not signed"))),
    }
}

fn signed_headers(authorization: &str) -> Option<String> {
    let (_, rest) = authorization.split_once("SignedHeaders=")?;
    Some(rest.split([',', ' ']).next().unwrap_or_default().to_owned())
}

/// The parameters of a query, decoded as s3s decodes them: a name that is encoded is the same name.
pub(crate) fn parameters(uri: &Uri) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
}

/// The value of a parameter of a query.
pub(crate) fn parameter<'a>(uri: &'a Uri, wanted: &str) -> Option<Cow<'a, str>> {
    parameters(uri).find(|(name, _)| name == wanted).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().expect("a URI")
    }

    #[test]
    fn the_second_version_is_refused() {
        let none = HeaderMap::new();
        assert!(refuse_old_signatures(&none, &uri("/b/k?AWSAccessKeyId=a&Signature=b&Expires=1")).is_err());
        assert!(refuse_old_signatures(&none, &uri("/b/k?AWSAccess%4BeyId=a&%53ignature=b&Expires=1")).is_err());
        assert!(refuse_old_signatures(&none, &uri("/b/k?X-Amz-Signature=b")).is_ok());
        let headers = |value| HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
        assert!(refuse_old_signatures(&headers("AWS key:signature"), &uri("/b")).is_err());
        assert!(refuse_old_signatures(&headers("AWS4-HMAC-SHA256 Credential=a"), &uri("/b")).is_ok());
    }

    #[test]
    fn a_region_that_is_none_is_corrected() {
        let of_header = |region: &str| {
            let text = format!("AWS4-HMAC-SHA256 Credential=OK0/20260101/{region}/s3/aws4_request, SignedHeaders=host");
            let value = HeaderValue::from_str(&text).expect("ASCII");
            wrong_region(&HeaderMap::from_iter([(AUTHORIZATION, value)]), &uri("/b"), "us-east-1")
        };
        let of_query = |region: &str| {
            let text = format!("/b/k?X-Amz-Credential=OK0%2F20260101%2F{region}%2Fs3%2Faws4_request");
            wrong_region(&HeaderMap::new(), &uri(&text), "us-east-1")
        };
        for region in ["us-east-1", "eu-central-2", "garage", ""] {
            assert_eq!((of_header(region), of_query(region)), (None, None), "{region}");
        }
        for region in ["US", "us_east", "a&b"] {
            let told = of_header(region).expect("told");
            assert!(
                told.contains("<Code>AuthorizationHeaderMalformed<") && told.contains("<Region>us-east-1<"),
                "{told}"
            );
            assert!(!told.contains("a&b"), "{told}");
        }
        assert!(of_query("US").is_some_and(|told| told.contains("<Code>AuthorizationQueryParametersError<")));
        assert_eq!(wrong_region(&HeaderMap::new(), &uri("/b"), "us-east-1"), None);
    }

    #[test]
    fn headers_of_s3_are_signed() {
        let check = |signed: &str, extra: &'static str| {
            let authorization = format!("AWS4-HMAC-SHA256 Credential=a, SignedHeaders={signed}, Signature=b");
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&authorization).expect("ASCII"));
            headers.insert("host", HeaderValue::from_static("a"));
            headers.insert(extra, HeaderValue::from_static("b"));
            check_signed(&headers, &uri("/b/k")).is_ok()
        };
        assert!(check("host;x-amz-copy-source", "x-amz-copy-source"));
        assert!(check("host", "range"));
        assert!(!check("host", "x-amz-copy-source"));
        assert!(!check("x-amz-date", "range"));
    }

    #[test]
    fn a_presigned_url_is_valid_for_a_week_at_most() {
        let check = |seconds: &str| {
            let text = format!("/b/k?X-Amz-Expires={seconds}&X-Amz-SignedHeaders=host%3Bx-amz-acl");
            check_signed(&HeaderMap::new(), &uri(&text)).is_ok()
        };
        assert!(check("604800"));
        assert!(!check("604801"));
        let encoded = uri("/b/k?%58-Amz-Expires=604801&X-Amz-Signed%48eaders=host");
        assert!(check_signed(&HeaderMap::new(), &encoded).is_err(), "names are what they decode to");
        assert!(!check("99999999999999999999"));
        assert!(!check("-1"));
    }
}
