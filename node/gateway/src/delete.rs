//! Deletions of objects.

use ostrakon::bucket::{BucketError, Condition};
use s3s::{
    S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, Error,
        ObjectIdentifier,
    },
};

use crate::{
    conditions::Conditions,
    errors::{error, told},
    limits,
    store::{Store, check_version},
};

/// `DeleteObject`: that there was none is not an error.
pub(crate) async fn one(
    store: &Store,
    mut request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let conditions = request.extensions.remove::<Conditions>().unwrap_or_default();
    let input = request.input;
    check_version(input.version_id.as_deref())?;
    let bucket = store.bucket(&input.bucket).await?;
    match bucket.delete(&input.key, conditions.of_change()?).await {
        Ok(_) => Ok(S3Response::new(DeleteObjectOutput::default())),
        Err(source) => Err(conditions.refused(&bucket, &input.key, source).await),
    }
}

/// `DeleteObjects`: each is deleted or has an error of its own.
pub(crate) async fn many(
    store: &Store,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let DeleteObjectsInput { bucket, delete, .. } = request.input;
    if delete.objects.is_empty() || delete.objects.len() > limits::DELETES {
        let text = format!("a request deletes 1 to {} objects", limits::DELETES);
        return Err(error(S3ErrorCode::MalformedXML, text));
    }
    let bucket = store.bucket(&bucket).await?;
    let (mut named, mut errors): (Vec<(ObjectIdentifier, Condition)>, Vec<Error>) = (Vec::new(), Vec::new());
    for object in delete.objects {
        match judge(&object) {
            Ok(condition) => named.push((object, condition)),
            Err(source) => errors.push(failed(&object, &source)),
        }
    }
    let keys = named.iter().map(|(object, condition)| (object.key.clone(), condition.clone())).collect();
    let results = bucket.delete_all(keys).await;
    let mut deleted = Vec::new();
    for ((object, _), result) in named.into_iter().zip(results) {
        match result {
            // That there was none to match is told as for one.
            Err(BucketError::Precondition) if bucket.head(&object.key).await.is_err() => {
                errors.push(failed(&object, &told(BucketError::NoSuchKey { key: object.key.clone() })));
            }
            Err(source) => errors.push(failed(&object, &told(source))),
            Ok(_) => {
                let ObjectIdentifier { key, version_id, .. } = object;
                deleted.push(DeletedObject { key: Some(key), version_id, ..DeletedObject::default() });
            }
        }
    }
    let quiet = delete.quiet == Some(true);
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted: (!quiet).then_some(deleted),
        errors: Some(errors),
        request_charged: None,
    }))
}

fn judge(object: &ObjectIdentifier) -> S3Result<Condition> {
    check_version(object.version_id.as_deref())?;
    if object.key.is_empty() {
        return Err(error(S3ErrorCode::UserKeyMustBeSpecified, "a key is empty"));
    }
    Ok(match object.e_tag.as_ref().map(s3s::dto::ETag::value) {
        None => Condition::None,
        Some("*") => Condition::Present,
        Some(etag) => Condition::Matches(vec![etag.to_owned()]),
    })
}

fn failed(object: &ObjectIdentifier, source: &s3s::S3Error) -> Error {
    Error {
        code: Some(source.code().as_str().to_owned()),
        key: Some(object.key.clone()),
        message: source.message().map(str::to_owned),
        version_id: object.version_id.clone(),
    }
}
