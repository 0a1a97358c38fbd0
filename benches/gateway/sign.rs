//! Signatures of requests, AWS Signature Version 4, with payloads that are not hashed: else the client's hashing would
//! be measured. Source: the AWS documentation, "Create a signed AWS API request".

use std::time::SystemTime;

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac::{self, HMAC_SHA256, Key},
};

/// Says that the payload is not hashed.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// The headers that are signed.
const SIGNED: &str = "host;x-amz-content-sha256;x-amz-date";

/// An access key, for requests to one host.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) region: String,
    pub(crate) host: String,
}

impl Signer {
    /// The headers of a request made at `at`. Path and query are as they are sent, with the parameters in order.
    pub(crate) fn headers(
        &self,
        method: &str,
        (path, query): (&str, &str),
        at: SystemTime,
    ) -> Vec<(&'static str, String)> {
        let Self { id, secret, region, host } = self;
        let seconds = humantime::format_rfc3339_seconds(at).to_string();
        let time: String = seconds.chars().filter(|char| !matches!(char, '-' | ':')).collect();
        let day = time.split('T').next().unwrap_or_default();
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{UNSIGNED}\nx-amz-date:{time}\n\n\
             {SIGNED}\n{UNSIGNED}"
        );
        let scope = format!("{day}/{region}/s3/aws4_request");
        let hash = hex::encode(digest(&SHA256, canonical.as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
        let first = format!("AWS4{secret}");
        let mut key = first.into_bytes();
        for part in scope.split('/') {
            key = mac(&key, part);
        }
        let signature = hex::encode(mac(&key, &text));
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={SIGNED}, Signature={signature}");
        vec![
            ("host", host.clone()),
            ("x-amz-content-sha256", UNSIGNED.to_owned()),
            ("x-amz-date", time),
            ("authorization", authorization),
        ]
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The signature was computed by another implementation: botocore's S3SigV4Auth.
    #[test]
    fn signatures_are_those_of_other_implementations() {
        let text = |text: &str| text.to_owned();
        let signer = Signer {
            id: text("AKIAIOSFODNN7EXAMPLE"),
            secret: text("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            region: text("us-east-1"),
            host: text("127.0.0.1:9000"),
        };
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        let headers = signer.headers("GET", ("/bucket/key", "list-type=2&max-keys=10"), at);
        assert_eq!(headers[2].1, "20130524T000000Z");
        let (_, signature) = headers[3].1.rsplit_once('=').expect("it ends with the signature");
        assert_eq!(signature, "2dc5e3e6c3dd5b9d01cc31d77e5828daeb04ded125efe3d377f2b9928ad9301f");
    }
}
