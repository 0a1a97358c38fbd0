//! What an access key may do: all buckets or one, and whether to change them; and what anyone may: read an object of a
//! public bucket, by its key.

use ostrakon::bucket::{AccessKey, Buckets};
use s3s::{
    S3Error, S3ErrorCode, S3Result,
    access::{S3Access, S3AccessContext},
};

use crate::{
    errors::{error, told},
    metrics::Trace,
};

/// Who makes a request.
#[derive(Clone)]
pub(crate) enum Granted {
    /// Who has an access key: of one bucket or of all.
    Key { bucket: Option<String>, read_only: bool },
    /// Anyone: the request is not signed.
    Anyone,
}

/// What an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// Any key.
    Nothing,
    /// A key that may read the bucket.
    Read,
    /// A key that may change the bucket.
    Write,
    /// A key that may change all buckets.
    All,
}

impl Needs {
    fn of(operation: &str) -> Self {
        match operation {
            "ListBuckets" => Self::Nothing,
            "CreateBucket" | "DeleteBucket" => Self::All,
            name if ["Get", "Head", "List"].iter().any(|verb| name.starts_with(verb)) => Self::Read,
            _ => Self::Write,
        }
    }
}

impl Granted {
    /// What this key may do.
    pub(crate) fn of(key: &AccessKey) -> Self {
        Self::Key { bucket: key.bucket.clone(), read_only: key.read_only }
    }

    /// Whether the key is for this bucket.
    pub(crate) fn covers(&self, bucket: &str) -> bool {
        match self {
            Self::Key { bucket: only, .. } => only.as_deref().is_none_or(|only| only == bucket),
            Self::Anyone => false,
        }
    }

    /// Fails where the key is not for a bucket that a request reads besides its own.
    pub(crate) fn check_source(&self, bucket: &str) -> S3Result<()> {
        if self.covers(bucket) {
            Ok(())
        } else {
            Err(error(S3ErrorCode::AccessDenied, "the access key is for another bucket"))
        }
    }

    /// Fails unless the operation is allowed; `is_public` is whether its bucket is.
    fn check(&self, operation: &str, bucket: Option<&str>, is_public: bool) -> S3Result<()> {
        let needs = Needs::of(operation);
        let denied = |text: &'static str| Err(error(S3ErrorCode::AccessDenied, text));
        let Self::Key { bucket: only, read_only } = self else {
            let may = is_public && FOR_ANYONE.contains(&operation);
            return if may { Ok(()) } else { Err(unsigned()) };
        };
        match bucket {
            Some(bucket) if needs != Needs::Nothing && !self.covers(bucket) => {
                denied("the access key is for another bucket")
            }
            _ if needs == Needs::All && only.is_some() => denied("the access key is for one bucket only"),
            _ if matches!(needs, Needs::Write | Needs::All) && *read_only => {
                denied("the access key is for reading only")
            }
            _ => Ok(()),
        }
    }
}

/// The refusal of a request that would need a signature.
pub(crate) fn unsigned() -> S3Error {
    error(S3ErrorCode::AccessDenied, "the request is not signed")
}

/// What needs no key in a public bucket.
const FOR_ANYONE: [&str; 2] = ["GetObject", "HeadObject"];

/// Decides for s3s.
pub(crate) struct Access(pub(crate) Buckets);

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = context.s3_op().name().to_owned();
        if let Some(trace) = context.extensions_mut().get::<Trace>() {
            trace.set(&operation);
        }
        let granted = match context.extensions_mut().get::<Granted>() {
            Some(granted) => granted.clone(),
            // Forms come here without having passed the gate.
            None => {
                let id = context.credentials().map(|credentials| credentials.access_key.clone());
                let granted = granted(&self.0, id.as_deref()).await?;
                context.extensions_mut().insert(granted.clone());
                granted
            }
        };
        let bucket = context.s3_path().get_bucket_name();
        let is_public = match (&granted, bucket) {
            (Granted::Anyone, Some(bucket)) if FOR_ANYONE.contains(&operation.as_str()) => {
                self.0.is_public(bucket).await.map_err(told)?
            }
            _ => false,
        };
        granted.check(&operation, bucket, is_public)
    }
}

/// What the key with this id may do; a request without one is anyone's.
pub(crate) async fn granted(buckets: &Buckets, id: Option<&str>) -> S3Result<Granted> {
    let unknown = || error(S3ErrorCode::InvalidAccessKeyId, "the access key does not exist, or was deleted");
    let Some(id) = id else { return Ok(Granted::Anyone) };
    let key = buckets.access_key(id).await.map_err(told)?;
    Ok(Granted::of(&key.ok_or_else(unknown)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_scoped() {
        let key = |bucket: Option<&str>, read_only| Granted::Key { bucket: bucket.map(str::to_owned), read_only };
        let all = [key(None, false), key(None, true), key(Some("photos"), false), key(Some("photos"), true)];
        let steps = [
            ("ListBuckets", None, [true, true, true, true]),
            ("CreateBucket", Some("photos"), [true, false, false, false]),
            ("DeleteBucket", Some("photos"), [true, false, false, false]),
            ("GetObject", Some("photos"), [true, true, true, true]),
            ("HeadBucket", Some("photos"), [true, true, true, true]),
            ("ListObjectsV2", Some("other"), [true, true, false, false]),
            ("PutObject", Some("photos"), [true, false, true, false]),
            ("DeleteObjects", Some("photos"), [true, false, true, false]),
            ("PutObject", Some("other"), [true, false, false, false]),
        ];
        for (operation, bucket, allowed) in steps {
            for is_public in [false, true] {
                let found = all.each_ref().map(|key| key.check(operation, bucket, is_public).is_ok());
                assert_eq!(found, allowed, "{operation} {bucket:?}");
            }
        }
    }

    #[test]
    fn anyone_may_read_an_object_of_a_public_bucket_and_nothing_else() {
        let may = |operation, is_public| Granted::Anyone.check(operation, Some("website"), is_public).is_ok();
        assert!(may("GetObject", true) && may("HeadObject", true));
        assert!(!may("GetObject", false) && !may("HeadObject", false));
        for operation in
            ["ListObjectsV2", "HeadBucket", "PutObject", "GetObjectTagging", "GetBucketCors", "ListBuckets"]
        {
            assert!(!may(operation, true), "{operation}");
        }
        assert!(!Granted::Anyone.covers("website"), "nor copy it");
    }
}
