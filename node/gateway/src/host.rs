//! Which bucket a host names: `bucket.domain` for the gateway's domains, none for every other host.

use s3s::{
    S3Result,
    host::{S3Host, VirtualHost},
    path::{S3Path, parse_virtual_hosted_style},
};

/// The domains whose subdomains are buckets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Domains(Vec<String>);

impl Domains {
    /// These domains, without ports.
    pub(crate) fn new(domains: &[String]) -> Self {
        Self(domains.iter().map(|domain| domain.trim_matches('.').to_ascii_lowercase()).collect())
    }

    /// The bucket that a host names.
    pub(crate) fn bucket<'a>(&self, host: &'a str) -> Option<&'a str> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        self.0.iter().find_map(|domain| {
            let at = name.len().checked_sub(domain.len())?;
            let (bucket, suffix) = name.split_at_checked(at)?;
            bucket.strip_suffix('.').filter(|bucket| suffix.eq_ignore_ascii_case(domain) && !bucket.is_empty())
        })
    }

    /// What a request is about, from its host and the path as it was sent.
    pub(crate) fn path(&self, host: &str, raw_path: &str) -> Option<S3Path> {
        let decoded = percent_encoding::percent_decode_str(raw_path).decode_utf8().ok()?;
        parse_virtual_hosted_style(self.bucket(host), &decoded).ok()
    }
}

impl S3Host for Domains {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let virtual_host = VirtualHost::new(host);
        Ok(match self.bucket(host) {
            Some(bucket) => virtual_host.with_bucket(bucket),
            None => virtual_host,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subdomains_are_buckets() {
        let domains = Domains::new(&["s3.example.org".to_owned(), "localhost".to_owned()]);
        let steps = [
            ("photos.s3.example.org", Some("photos")),
            ("photos.s3.example.org:9000", Some("photos")),
            ("my.photos.S3.Example.Org", Some("my.photos")),
            ("photos.localhost:80", Some("photos")),
            ("s3.example.org", None),
            ("localhost:9000", None),
            ("notlocalhost", None),
            ("127.0.0.1:9000", None),
            ("elsewhere.org", None),
            (".localhost", None),
        ];
        for (host, bucket) in steps {
            assert_eq!(domains.bucket(host), bucket, "{host}");
        }
    }

    #[test]
    fn paths_are_not_normalised() {
        let domains = Domains::new(&["localhost".to_owned()]);
        for (host, path, key) in [
            ("127.0.0.1", "/bucket/a//b", "a//b"),
            ("127.0.0.1", "/bucket/../x", "../x"),
            ("127.0.0.1", "/bucket/a%2F.%2f", "a/./"),
            ("bucket.localhost", "//a", "/a"),
        ] {
            let found = domains.path(host, path).expect("a path");
            assert_eq!(found.as_object(), Some(("bucket", key)), "{path}");
        }
    }
}
