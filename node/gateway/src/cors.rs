//! Which pages of other origins may use a bucket: rules that are kept with it, and what browsers are told of them.
//!
//! A browser asks before it sends, without a signature, so strangers can have rules looked up: what was found is
//! remembered for some seconds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use hyper::{
    HeaderMap, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
    },
};
use ostrakon::bucket::Buckets;
use s3s::{
    S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        CORSConfiguration, CORSRule, DeleteBucketCorsInput, DeleteBucketCorsOutput, GetBucketCorsInput,
        GetBucketCorsOutput, PutBucketCorsInput, PutBucketCorsOutput,
    },
    xml,
};
use tokio::time::Instant;

use crate::{
    errors::{custom, error, told},
    limits,
    store::Store,
};

/// The setting of a bucket that its rules are kept as, in the XML that they came in.
const SETTING: &str = "cors";

type Rules = Arc<Vec<CORSRule>>;

/// The rules of buckets, remembered for a while.
#[derive(Clone)]
pub(crate) struct Origins {
    buckets: Buckets,
    known: Arc<Mutex<HashMap<String, (Instant, Rules)>>>,
}

impl Origins {
    /// Remembers none.
    pub(crate) fn new(buckets: Buckets) -> Self {
        Self { buckets, known: Arc::default() }
    }

    /// The rules of a bucket; none of one that is not there.
    async fn rules(&self, bucket: &str) -> Rules {
        if let Some((when, rules)) = self.lock().get(bucket)
            && when.elapsed() < limits::CORS_CACHE
        {
            return Arc::clone(rules);
        }
        let rules = Arc::new(self.load(bucket).await.unwrap_or_default());
        let mut known = self.lock();
        if known.len() >= limits::CORS_CACHED {
            known.clear();
        }
        known.insert(bucket.to_owned(), (Instant::now(), Arc::clone(&rules)));
        rules
    }

    async fn load(&self, bucket: &str) -> Option<Vec<CORSRule>> {
        let kept = self.buckets.open(bucket).await.ok()?.setting(SETTING).await.ok()??;
        read(&kept)
    }

    /// Forgets a bucket's rules, for they were changed.
    pub(crate) fn forget(&self, bucket: &str) {
        self.lock().remove(bucket);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Rules)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a browser is told before it sends a request.
    ///
    /// # Errors
    /// When no rule allows it.
    pub(crate) async fn preflight(&self, bucket: Option<&str>, request: &HeaderMap) -> S3Result<HeaderMap> {
        let text = |name| request.get(name).and_then(|value| value.to_str().ok());
        let (Some(origin), Some(method)) = (text(ORIGIN), text(ACCESS_CONTROL_REQUEST_METHOD)) else {
            let text = "a preflight has the headers Origin and Access-Control-Request-Method";
            return Err(custom("BadRequest", StatusCode::BAD_REQUEST, text));
        };
        let asked: Vec<&str> = text(ACCESS_CONTROL_REQUEST_HEADERS).map(list).unwrap_or_default();
        let rules = match bucket {
            Some(bucket) => self.rules(bucket).await,
            None => Rules::default(),
        };
        let Some(rule) = rules.iter().find(|rule| allows(rule, origin, method, &asked)) else {
            return Err(error(
                S3ErrorCode::AccessDenied,
                "no rule of the bucket allows this origin, method and headers",
            ));
        };
        let mut headers = HeaderMap::new();
        allow(rule, origin, &mut headers);
        if !asked.is_empty() {
            insert(&mut headers, &ACCESS_CONTROL_ALLOW_HEADERS, &asked.join(", "));
        }
        if let Some(seconds) = rule.max_age_seconds {
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
        }
        Ok(headers)
    }

    /// What a browser is told with the answer to a request.
    pub(crate) async fn of_answer(&self, bucket: &str, method: &Method, request: &HeaderMap) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(origin) = request.get(ORIGIN).and_then(|origin| origin.to_str().ok())
            && let Some(rule) = self.rules(bucket).await.iter().find(|rule| allows(rule, origin, method.as_str(), &[]))
        {
            allow(rule, origin, &mut headers);
        }
        headers
    }
}

fn list(header: &str) -> Vec<&str> {
    header.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}

fn allows(rule: &CORSRule, origin: &str, method: &str, headers: &[&str]) -> bool {
    let allowed = rule.allowed_headers.as_deref().unwrap_or_default();
    let header_allowed = |header: &&str| {
        let header = header.to_ascii_lowercase();
        allowed.iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), &header))
    };
    rule.allowed_origins.iter().any(|pattern| matches(pattern, origin))
        && rule.allowed_methods.iter().any(|allowed| allowed == method)
        && headers.iter().all(header_allowed)
}

/// Whether a text has the form of a pattern with at most one `*`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, end)) => text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end),
    }
}

fn allow(rule: &CORSRule, origin: &str, headers: &mut HeaderMap) {
    if rule.allowed_origins.iter().any(|pattern| pattern == "*") {
        insert(headers, &ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    } else {
        insert(headers, &ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        insert(headers, &ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
    insert(headers, &ACCESS_CONTROL_ALLOW_METHODS, &rule.allowed_methods.join(", "));
    if let Some(exposed) = rule.expose_headers.as_ref().filter(|exposed| !exposed.is_empty()) {
        insert(headers, &ACCESS_CONTROL_EXPOSE_HEADERS, &exposed.join(", "));
    }
    insert(headers, &VARY, "Origin, Access-Control-Request-Headers, Access-Control-Request-Method");
}

fn insert(headers: &mut HeaderMap, name: &hyper::header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name.clone(), value);
    }
}

fn read(kept: &[u8]) -> Option<Vec<CORSRule>> {
    use xml::Deserialize as _;
    CORSConfiguration::deserialize(&mut xml::Deserializer::new(kept)).ok().map(|rules| rules.cors_rules)
}

fn write(rules: &CORSConfiguration) -> Option<Vec<u8>> {
    use xml::Serialize as _;
    let mut text = Vec::new();
    rules.serialize(&mut xml::Serializer::new(&mut text)).ok()?;
    Some(text)
}

fn check(rules: &[CORSRule]) -> S3Result<()> {
    if rules.is_empty() || rules.len() > limits::CORS_RULES {
        return Err(error(
            S3ErrorCode::MalformedXML,
            format!("a CORS configuration has 1 to {} rules", limits::CORS_RULES),
        ));
    }
    for rule in rules {
        let unknown = |method: &&String| !["GET", "PUT", "POST", "DELETE", "HEAD"].contains(&method.as_str());
        if let Some(method) = rule.allowed_methods.iter().find(unknown) {
            return Err(error(S3ErrorCode::InvalidRequest, format!("found the unsupported HTTP method {method}")));
        }
        if rule.allowed_methods.is_empty() || rule.allowed_origins.is_empty() {
            return Err(error(S3ErrorCode::MalformedXML, "a rule allows at least one origin and one method"));
        }
        let headers = rule.allowed_headers.as_deref().unwrap_or_default();
        if rule.allowed_origins.iter().chain(headers).any(|pattern| pattern.matches('*').count() > 1) {
            return Err(error(S3ErrorCode::InvalidRequest, "an origin or header can have one * only"));
        }
    }
    Ok(())
}

/// `GetBucketCors`.
pub(crate) async fn get(
    store: &Store,
    request: S3Request<GetBucketCorsInput>,
) -> S3Result<S3Response<GetBucketCorsOutput>> {
    let kept = store.bucket(&request.input.bucket).await?.setting(SETTING).await.map_err(told)?;
    let none = || error(S3ErrorCode::NoSuchCORSConfiguration, "the bucket has no CORS configuration");
    let rules = kept.as_deref().and_then(read).ok_or_else(none)?;
    Ok(S3Response::new(GetBucketCorsOutput { cors_rules: Some(rules) }))
}

/// `PutBucketCors`.
pub(crate) async fn put(
    store: &Store,
    request: S3Request<PutBucketCorsInput>,
) -> S3Result<S3Response<PutBucketCorsOutput>> {
    let input = request.input;
    check(&input.cors_configuration.cors_rules)?;
    let text = write(&input.cors_configuration)
        .ok_or_else(|| error(S3ErrorCode::MalformedXML, "the stored CORS configuration is malformed"))?;
    store.bucket(&input.bucket).await?.set_setting(SETTING, Some(text)).await.map_err(told)?;
    store.origins.forget(&input.bucket);
    Ok(S3Response::new(PutBucketCorsOutput::default()))
}

/// `DeleteBucketCors`.
pub(crate) async fn delete(
    store: &Store,
    request: S3Request<DeleteBucketCorsInput>,
) -> S3Result<S3Response<DeleteBucketCorsOutput>> {
    store.bucket(&request.input.bucket).await?.set_setting(SETTING, None).await.map_err(told)?;
    store.origins.forget(&request.input.bucket);
    Ok(S3Response::new(DeleteBucketCorsOutput::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origin: &str, header: &str) -> CORSRule {
        let all = |text: &str| vec![text.to_owned()];
        CORSRule {
            allowed_headers: Some(all(header)),
            allowed_methods: all("PUT"),
            allowed_origins: all(origin),
            expose_headers: Some(all("ETag")),
            id: None,
            max_age_seconds: Some(60),
        }
    }

    #[test]
    fn a_rule_allows_what_it_names() {
        let steps = [
            ("https://a.org", "*", "https://a.org", "PUT", true),
            ("https://*.a.org", "*", "https://x.a.org", "PUT", true),
            ("https://*.a.org", "*", "https://a.org", "PUT", false),
            ("*", "x-amz-*", "https://b.org", "PUT", true),
            ("*", "content-type", "https://b.org", "PUT", false),
            ("*", "*", "https://b.org", "GET", false),
        ];
        for (pattern, header, origin, method, allowed) in steps {
            let found = allows(&rule(pattern, header), origin, method, &["X-Amz-Date"]);
            assert_eq!(found, allowed, "{pattern} {header} {origin} {method}");
        }
    }

    #[test]
    fn rules_are_kept_as_xml() {
        let rules = vec![rule("*", "*"), rule("https://a.org", "x-*")];
        let kept = write(&CORSConfiguration { cors_rules: rules.clone() }).expect("written");
        assert_eq!(read(&kept), Some(rules));
        assert!(check(&[]).is_err() && check(&[rule("*.*", "*")]).is_err() && check(&[rule("*", "*")]).is_ok());
    }
}
