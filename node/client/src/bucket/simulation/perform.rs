//! Performs an operation on a bucket, and puts the answer into the model's words.

use bytes::Bytes;
use futures::TryStreamExt;
use ostrakon_proto::bucket::ObjectInfo;

use super::{
    model::{Object, Op, Said},
    stage::Stage,
};
use crate::{
    ErrorKind,
    bucket::{
        Bucket, BucketError, CompletePart, Condition, CopySource, Described, ETag, Listed, NewCopy, NewUpload, Put,
        UploadsQuery,
    },
};

/// The answer to an operation.
#[derive(Debug)]
pub(super) enum Answer {
    Said(Said),
    /// It may have been made, or may still be.
    Unknown,
    /// It changed nothing, and said nothing.
    Nothing,
}

pub(super) fn object(info: &ObjectInfo) -> Object {
    Object { etag: info.etag.to_string(), tag: info.tags.first().map(|(_, value)| value.clone()) }
}

fn described(tag: Option<&String>) -> Described {
    let tags = tag.map(|tag| ("tag".to_owned(), tag.clone())).into_iter().collect();
    Described { tags, ..Described::default() }
}

/// What was read of an object, with its bytes to be compared.
pub(super) async fn look(stage: &Stage, bucket: &Bucket, key: &str) -> (Answer, Option<ObjectInfo>) {
    match bucket.head(key).await {
        _ if bucket.is_stale() => (Answer::Nothing, None),
        Ok(info) => (Answer::Said(Said::Is(Some(object(&info)))), Some(info)),
        Err(BucketError::NoSuchKey { .. }) => (Answer::Said(Said::Is(None)), None),
        Err(error) => (failed(stage, error, "get"), None),
    }
}

/// Reads some of an object; whatever it was when it was found, its bytes are right, or not to be had while nodes fail.
pub(super) async fn read(stage: &Stage, bucket: &Bucket, info: &ObjectInfo, range: std::ops::Range<u64>) -> bool {
    let etag = info.etag.to_string();
    let read: Result<Vec<Bytes>, BucketError> = bucket.read(info, range.clone()).try_collect().await;
    let bytes = match read {
        Ok(parts) => parts.concat(),
        Err(BucketError::Unavailable(_)) => return false,
        Err(error) => {
            stage.fail(format!("an object {etag} cannot be read: {error}"));
            return false;
        }
    };
    let bodies = stage.bodies.borrow();
    let Some(body) = bodies.get(&etag) else {
        stage.fail(format!("an object {etag} was never put"));
        return false;
    };
    let at = |byte: u64| usize::try_from(byte).expect("in memory");
    let is_right = info.size() == u64::try_from(body.len()).expect("in memory")
        && bytes == body[at(range.start)..at(range.end.min(info.size()))];
    if !is_right {
        stage.fail(format!("an object {etag} of {} bytes has other bytes in {range:?}", body.len()));
    }
    is_right
}

/// Performs what is not a get.
pub(super) async fn perform(stage: &Stage, bucket: &Bucket, op: &Op) -> Answer {
    let body = |etag: &str| stage.bodies.borrow().get(etag).cloned().expect("it is known before it is put");
    let put = |etag: &str| {
        let bytes = body(etag);
        Put { size: Some(u64::try_from(bytes.len()).expect("in memory")), ..Put::new(std::io::Cursor::new(bytes)) }
    };
    let done = match op {
        Op::Get { key } => return look(stage, bucket, key).await.0,
        Op::List(query) => {
            let listed = bucket.list(query.clone()).await;
            match listed {
                _ if bucket.is_stale() => return Answer::Nothing,
                listed => listed.map(said_of_list),
            }
        }
        Op::Uploads => {
            let listed = bucket.uploads(UploadsQuery { limit: 1_000, ..UploadsQuery::default() }).await;
            match listed {
                _ if bucket.is_stale() => return Answer::Nothing,
                listed => listed.map(|listed| {
                    let uploads = listed.uploads.into_iter().map(|(key, upload, _)| (key, upload));
                    Said::Uploads(uploads.collect())
                }),
            }
        }
        Op::Put { key, object, condition } => {
            let (condition, described) = (condition.clone(), described(object.tag.as_ref()));
            let put = Put { condition, described, ..put(&object.etag) };
            bucket.put(key, put).await.map(|done| match done.etag.to_string() == object.etag {
                true => Said::Done,
                false => Said::NoUpload,
            })
        }
        Op::Delete { key, condition } => bucket.delete(key, condition.clone()).await.map(Said::Removed),
        Op::Copy { from, key, condition } => copy(bucket, from, key, condition).await,
        Op::Tag { key, tag } => bucket.set_tags(key, described(Some(tag)).tags).await.map(|()| Said::Done),
        Op::Begin { key, .. } => match bucket.begin_upload(key, NewUpload::default()).await {
            Ok(upload) => Ok(Said::Uploads(vec![(key.clone(), upload)])),
            Err(error) => Err(error),
        },
        Op::Part { key, upload, number, part } => {
            let put = put(&ETag::Whole(part.md5).to_string());
            bucket.put_part(key, *upload, *number, put).await.map(|_| Said::Done)
        }
        Op::Complete { key, upload, parts, .. } => {
            let part = |(number, md5): &(u16, [u8; 16])| {
                let etag = Some(ETag::Whole(*md5).to_string());
                CompletePart { number: *number, etag, checksum: None }
            };
            let parts = parts.iter().map(part).collect();
            bucket.complete_upload(key, *upload, parts, (Condition::None, None)).await.map(|_| Said::Done)
        }
        Op::Abort { key, upload } => bucket.abort_upload(key, *upload).await.map(|()| Said::Done),
    };
    match done {
        Ok(said) => Answer::Said(said),
        Err(error) => failed(stage, error, &format!("{op:?}")),
    }
}

/// Within a bucket a copy is of what is there when it is made, whatever was found before.
async fn copy(bucket: &Bucket, from: &str, key: &str, condition: &Condition) -> Result<Said, BucketError> {
    let object = bucket.head(from).await?;
    if bucket.is_stale() {
        return Err(BucketError::Busy);
    }
    let source = CopySource { bucket, key: from, object: &object };
    bucket.copy(source, key, NewCopy { condition: condition.clone(), ..NewCopy::default() }).await.map(|_| Said::Done)
}

fn said_of_list(Listed { objects, prefixes, next }: Listed) -> Said {
    let objects = objects.into_iter().map(|listed| (listed.key, object(&listed.info))).collect();
    Said::Listed { objects, prefixes, next }
}

/// What an error says.
pub(super) fn failed(stage: &Stage, error: BucketError, what: &str) -> Answer {
    match error {
        BucketError::NoSuchKey { key } => Answer::Said(Said::NoKey(key)),
        BucketError::NoSuchUpload { .. } => Answer::Said(Said::NoUpload),
        BucketError::Precondition => Answer::Said(Said::Precondition),
        BucketError::InvalidPart { number } => Answer::Said(Said::InvalidPart(number)),
        BucketError::PartTooSmall { number, .. } => Answer::Said(Said::TooSmall(number)),
        BucketError::Busy => Answer::Nothing,
        BucketError::Unavailable(_) => Answer::Unknown,
        BucketError::Other(error) if error.kind() == ErrorKind::Network => Answer::Unknown,
        // Where no other node responds, all that is left is the lie.
        BucketError::Other(error) if stage.plan.liar && error.kind() == ErrorKind::Integrity => Answer::Unknown,
        error => {
            stage.fail(format!("{what}: {error}"));
            Answer::Unknown
        }
    }
}
