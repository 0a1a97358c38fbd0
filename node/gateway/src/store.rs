//! The operations of S3, named; a file each does them. Those that are not named answer 501, as s3s has it.

use ostrakon::bucket::{Bucket, Buckets};
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result, dto};

use crate::{
    attributes, buckets, copy, cors, cors::Origins, delete, errors, get, listing, multipart, parts, put, tagging,
};

/// The buckets of an account, and what is remembered of them.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) buckets: Buckets,
    pub(crate) origins: Origins,
    pub(crate) region: String,
}

impl Store {
    /// The bucket with this name.
    pub(crate) async fn bucket(&self, name: &str) -> S3Result<Bucket> {
        self.buckets.open(name).await.map_err(errors::told)
    }
}

/// Fails where a request names a version: an object has one, called null.
pub(crate) fn check_version(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("" | "null") => Ok(()),
        Some(_) => Err(errors::error(S3ErrorCode::NoSuchVersion, "an object has one version, called null")),
    }
}

/// A request of S3, and its answer.
type Answer<T> = S3Result<S3Response<T>>;

#[async_trait::async_trait]
impl S3 for Store {
    async fn list_buckets(&self, request: S3Request<dto::ListBucketsInput>) -> Answer<dto::ListBucketsOutput> {
        buckets::list(self, request).await
    }

    async fn create_bucket(&self, request: S3Request<dto::CreateBucketInput>) -> Answer<dto::CreateBucketOutput> {
        buckets::create(self, request).await
    }

    async fn delete_bucket(&self, request: S3Request<dto::DeleteBucketInput>) -> Answer<dto::DeleteBucketOutput> {
        buckets::delete(self, request).await
    }

    async fn head_bucket(&self, request: S3Request<dto::HeadBucketInput>) -> Answer<dto::HeadBucketOutput> {
        buckets::head(self, request).await
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<dto::GetBucketLocationInput>,
    ) -> Answer<dto::GetBucketLocationOutput> {
        buckets::location(self, request).await
    }

    async fn get_bucket_versioning(
        &self,
        request: S3Request<dto::GetBucketVersioningInput>,
    ) -> Answer<dto::GetBucketVersioningOutput> {
        buckets::versioning(self, request).await
    }

    async fn get_bucket_acl(&self, request: S3Request<dto::GetBucketAclInput>) -> Answer<dto::GetBucketAclOutput> {
        buckets::acl(self, request).await
    }

    async fn put_bucket_acl(&self, request: S3Request<dto::PutBucketAclInput>) -> Answer<dto::PutBucketAclOutput> {
        buckets::put_acl(self, request).await
    }

    async fn get_object_acl(&self, request: S3Request<dto::GetObjectAclInput>) -> Answer<dto::GetObjectAclOutput> {
        get::acl(self, request).await
    }

    async fn put_object_acl(&self, request: S3Request<dto::PutObjectAclInput>) -> Answer<dto::PutObjectAclOutput> {
        get::put_acl(self, request).await
    }

    async fn get_bucket_cors(&self, request: S3Request<dto::GetBucketCorsInput>) -> Answer<dto::GetBucketCorsOutput> {
        cors::get(self, request).await
    }

    async fn put_bucket_cors(&self, request: S3Request<dto::PutBucketCorsInput>) -> Answer<dto::PutBucketCorsOutput> {
        cors::put(self, request).await
    }

    async fn delete_bucket_cors(
        &self,
        request: S3Request<dto::DeleteBucketCorsInput>,
    ) -> Answer<dto::DeleteBucketCorsOutput> {
        cors::delete(self, request).await
    }

    async fn get_object(&self, request: S3Request<dto::GetObjectInput>) -> Answer<dto::GetObjectOutput> {
        get::get(self, request).await
    }

    async fn head_object(&self, request: S3Request<dto::HeadObjectInput>) -> Answer<dto::HeadObjectOutput> {
        get::head(self, request).await
    }

    async fn get_object_attributes(
        &self,
        request: S3Request<dto::GetObjectAttributesInput>,
    ) -> Answer<dto::GetObjectAttributesOutput> {
        attributes::get(self, request).await
    }

    async fn put_object(&self, request: S3Request<dto::PutObjectInput>) -> Answer<dto::PutObjectOutput> {
        put::put(self, request).await
    }

    async fn post_object(&self, request: S3Request<dto::PostObjectInput>) -> Answer<dto::PostObjectOutput> {
        put::post(self, request).await
    }

    async fn copy_object(&self, request: S3Request<dto::CopyObjectInput>) -> Answer<dto::CopyObjectOutput> {
        copy::object(self, request).await
    }

    async fn delete_object(&self, request: S3Request<dto::DeleteObjectInput>) -> Answer<dto::DeleteObjectOutput> {
        delete::one(self, request).await
    }

    async fn delete_objects(&self, request: S3Request<dto::DeleteObjectsInput>) -> Answer<dto::DeleteObjectsOutput> {
        delete::many(self, request).await
    }

    async fn get_object_tagging(
        &self,
        request: S3Request<dto::GetObjectTaggingInput>,
    ) -> Answer<dto::GetObjectTaggingOutput> {
        tagging::get(self, request).await
    }

    async fn put_object_tagging(
        &self,
        request: S3Request<dto::PutObjectTaggingInput>,
    ) -> Answer<dto::PutObjectTaggingOutput> {
        tagging::put(self, request).await
    }

    async fn delete_object_tagging(
        &self,
        request: S3Request<dto::DeleteObjectTaggingInput>,
    ) -> Answer<dto::DeleteObjectTaggingOutput> {
        tagging::delete(self, request).await
    }

    async fn list_objects(&self, request: S3Request<dto::ListObjectsInput>) -> Answer<dto::ListObjectsOutput> {
        listing::objects(self, request).await
    }

    async fn list_objects_v2(&self, request: S3Request<dto::ListObjectsV2Input>) -> Answer<dto::ListObjectsV2Output> {
        listing::objects_v2(self, request).await
    }

    async fn list_object_versions(
        &self,
        request: S3Request<dto::ListObjectVersionsInput>,
    ) -> Answer<dto::ListObjectVersionsOutput> {
        listing::versions(self, request).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<dto::CreateMultipartUploadInput>,
    ) -> Answer<dto::CreateMultipartUploadOutput> {
        multipart::create(self, request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<dto::CompleteMultipartUploadInput>,
    ) -> Answer<dto::CompleteMultipartUploadOutput> {
        multipart::complete(self, request).await
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<dto::AbortMultipartUploadInput>,
    ) -> Answer<dto::AbortMultipartUploadOutput> {
        multipart::abort(self, request).await
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<dto::ListMultipartUploadsInput>,
    ) -> Answer<dto::ListMultipartUploadsOutput> {
        multipart::list(self, request).await
    }

    async fn upload_part(&self, request: S3Request<dto::UploadPartInput>) -> Answer<dto::UploadPartOutput> {
        parts::put(self, request).await
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<dto::UploadPartCopyInput>,
    ) -> Answer<dto::UploadPartCopyOutput> {
        copy::part(self, request).await
    }

    async fn list_parts(&self, request: S3Request<dto::ListPartsInput>) -> Answer<dto::ListPartsOutput> {
        parts::list(self, request).await
    }
}
