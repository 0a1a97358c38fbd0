//! Buckets themselves.

use s3s::{
    S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        Bucket, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput,
        GetBucketAclInput, GetBucketAclOutput, GetBucketLocationInput, GetBucketLocationOutput,
        GetBucketVersioningInput, GetBucketVersioningOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
        ListBucketsOutput, PutBucketAclInput, PutBucketAclOutput,
    },
};

use crate::{
    access::Granted,
    acl,
    described::time_of,
    errors::{error, not_implemented, told},
    store::Store,
};

/// The region whose buckets have no location.
const FIRST_REGION: &str = "us-east-1";

/// `ListBuckets`: those that the key is for.
pub(crate) async fn list(
    store: &Store,
    request: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let ListBucketsInput { continuation_token, max_buckets, prefix, .. } = request.input;
    let granted = request.extensions.get::<Granted>().cloned();
    let covered = |name: &str| granted.as_ref().is_some_and(|granted| granted.covers(name));
    let after = continuation_token.unwrap_or_default();
    let entries = store.buckets.list().await.map_err(told)?;
    let wanted = entries.into_iter().filter(|entry| {
        covered(&entry.name) && entry.name.starts_with(prefix.as_deref().unwrap_or_default()) && entry.name > after
    });
    let limit = max_buckets.and_then(|max| usize::try_from(max).ok()).filter(|max| *max > 0).unwrap_or(usize::MAX);
    let mut wanted = wanted.map(|entry| Bucket {
        name: Some(entry.name),
        creation_date: Some(time_of(entry.created_ms)),
        bucket_region: Some(store.region.clone()),
    });
    let buckets: Vec<Bucket> = wanted.by_ref().take(limit).collect();
    let continuation_token = wanted.next().and_then(|_| buckets.last()?.name.clone());
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(buckets),
        continuation_token,
        owner: Some(acl::owner()),
        prefix,
    }))
}

/// `CreateBucket`.
pub(crate) async fn create(
    store: &Store,
    request: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let input = request.input;
    if input.object_lock_enabled_for_bucket == Some(true) {
        return Err(not_implemented("object lock"));
    }
    let location = input.create_bucket_configuration.and_then(|configuration| configuration.location_constraint);
    let location = location.as_ref().map(BucketLocationConstraint::as_str);
    if location.is_some_and(|location| !location.is_empty() && location != store.region) {
        let text = format!("the only location is {}", store.region);
        return Err(error(S3ErrorCode::InvalidLocationConstraint, text));
    }
    store.buckets.create(&input.bucket).await.map_err(told)?;
    Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) }))
}

/// `DeleteBucket`.
pub(crate) async fn delete(
    store: &Store,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    store.buckets.delete(&request.input.bucket).await.map_err(told)?;
    store.origins.forget(&request.input.bucket);
    Ok(S3Response::new(DeleteBucketOutput::default()))
}

/// `HeadBucket`.
pub(crate) async fn head(store: &Store, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
    store.bucket(&request.input.bucket).await?;
    Ok(S3Response::new(HeadBucketOutput { bucket_region: Some(store.region.clone()), ..HeadBucketOutput::default() }))
}

/// `GetBucketLocation`.
pub(crate) async fn location(
    store: &Store,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    store.bucket(&request.input.bucket).await?;
    let named = (store.region != FIRST_REGION).then(|| BucketLocationConstraint::from(store.region.clone()));
    Ok(S3Response::new(GetBucketLocationOutput { location_constraint: named }))
}

/// `GetBucketVersioning`: it was never enabled.
pub(crate) async fn versioning(
    store: &Store,
    request: S3Request<GetBucketVersioningInput>,
) -> S3Result<S3Response<GetBucketVersioningOutput>> {
    store.bucket(&request.input.bucket).await?;
    Ok(S3Response::new(GetBucketVersioningOutput::default()))
}

/// `GetBucketAcl`.
pub(crate) async fn acl(
    store: &Store,
    request: S3Request<GetBucketAclInput>,
) -> S3Result<S3Response<GetBucketAclOutput>> {
    store.bucket(&request.input.bucket).await?;
    Ok(S3Response::new(GetBucketAclOutput { grants: Some(acl::grants()), owner: Some(acl::owner()) }))
}

/// `PutBucketAcl`: nothing but what everything has.
pub(crate) async fn put_acl(
    store: &Store,
    request: S3Request<PutBucketAclInput>,
) -> S3Result<S3Response<PutBucketAclOutput>> {
    acl::check_grants(request.input.access_control_policy.as_ref().and_then(|policy| policy.grants.as_ref()))?;
    store.bucket(&request.input.bucket).await?;
    Ok(S3Response::new(PutBucketAclOutput::default()))
}
