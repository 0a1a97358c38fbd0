//! What an access key may do: all buckets or one, and whether to change them.

use ostrakon::bucket::{AccessKey, Buckets};
use s3s::{
    S3ErrorCode, S3Result,
    access::{S3Access, S3AccessContext},
};

use crate::{
    errors::{error, told},
    metrics::Trace,
};

/// The access key that a request is signed with.
#[derive(Clone)]
pub(crate) struct Granted {
    bucket: Option<String>,
    read_only: bool,
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
        Self { bucket: key.bucket.clone(), read_only: key.read_only }
    }

    /// Whether the key is for this bucket.
    pub(crate) fn covers(&self, bucket: &str) -> bool {
        self.bucket.as_deref().is_none_or(|only| only == bucket)
    }

    /// Fails where the key is not for a bucket that a request reads besides its own.
    pub(crate) fn check_source(&self, bucket: &str) -> S3Result<()> {
        if self.covers(bucket) {
            Ok(())
        } else {
            Err(error(S3ErrorCode::AccessDenied, "the access key is for another bucket"))
        }
    }

    fn check(&self, operation: &str, bucket: Option<&str>) -> S3Result<()> {
        let needs = Needs::of(operation);
        let denied = |text: &'static str| Err(error(S3ErrorCode::AccessDenied, text));
        match bucket {
            Some(bucket) if needs != Needs::Nothing && !self.covers(bucket) => {
                denied("the access key is for another bucket")
            }
            _ if needs == Needs::All && self.bucket.is_some() => denied("the access key is for one bucket only"),
            _ if matches!(needs, Needs::Write | Needs::All) && self.read_only => {
                denied("the access key is for reading only")
            }
            _ => Ok(()),
        }
    }
}

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
        granted.check(&operation, context.s3_path().get_bucket_name())
    }
}

/// What the key with this id may do; a request without one may do nothing.
pub(crate) async fn granted(buckets: &Buckets, id: Option<&str>) -> S3Result<Granted> {
    let anonymous = || error(S3ErrorCode::AccessDenied, "the request is not signed");
    let unknown = || error(S3ErrorCode::InvalidAccessKeyId, "the access key does not exist, or was deleted");
    let key = buckets.access_key(id.ok_or_else(anonymous)?).await.map_err(told)?;
    Ok(Granted::of(&key.ok_or_else(unknown)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_scoped() {
        let key = |bucket: Option<&str>, read_only| Granted { bucket: bucket.map(str::to_owned), read_only };
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
            let found = all.each_ref().map(|key| key.check(operation, bucket).is_ok());
            assert_eq!(found, allowed, "{operation} {bucket:?}");
        }
    }
}
