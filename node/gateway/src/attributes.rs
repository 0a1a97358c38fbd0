//! `GetObjectAttributes`: what a `HeadObject` says and more, as XML.

use ostrakon::bucket::ObjectInfo;
use s3s::{
    S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        ETag, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts, ObjectAttributes,
        ObjectPart, StorageClass,
    },
};

use crate::{
    checksums::sent,
    described::time_of,
    errors::{error, told},
    listing::page,
    store::{Store, check_version},
};

/// The attributes that can be asked for.
const KNOWN: [&str; 5] = [
    ObjectAttributes::CHECKSUM,
    ObjectAttributes::ETAG,
    ObjectAttributes::OBJECT_PARTS,
    ObjectAttributes::OBJECT_SIZE,
    ObjectAttributes::STORAGE_CLASS,
];

/// `GetObjectAttributes`.
pub(crate) async fn get(
    store: &Store,
    request: S3Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let input = request.input;
    check_version(input.version_id.as_deref())?;
    if let Some(unknown) = input.object_attributes.iter().find(|asked| !KNOWN.contains(&asked.as_str())) {
        return Err(error(S3ErrorCode::InvalidArgument, format!("unknown object attribute {}", unknown.as_str())));
    }
    let asked = |attribute: &str| input.object_attributes.iter().any(|one| one.as_str() == attribute);
    let object = store.bucket(&input.bucket).await?.head(&input.key).await.map_err(told)?;
    let size = i64::try_from(object.size()).ok();
    let parts = parts(&object, input.part_number_marker.unwrap_or(0), page(input.max_parts)?);
    let checksum = object.checksum.as_ref().map(|checksum| sent(Some(checksum), object.parts().len()));
    Ok(S3Response::new(GetObjectAttributesOutput {
        e_tag: asked(ObjectAttributes::ETAG).then(|| ETag::Strong(object.etag.to_string())),
        last_modified: Some(time_of(object.modified_ms)),
        object_size: size.filter(|_| asked(ObjectAttributes::OBJECT_SIZE)),
        object_parts: parts.filter(|_| asked(ObjectAttributes::OBJECT_PARTS)),
        checksum: checksum.filter(|_| asked(ObjectAttributes::CHECKSUM)),
        storage_class: asked(ObjectAttributes::STORAGE_CLASS)
            .then(|| StorageClass::from_static(StorageClass::STANDARD)),
        ..GetObjectAttributesOutput::default()
    }))
}

fn parts(object: &ObjectInfo, marker: i32, page: i32) -> Option<GetObjectAttributesParts> {
    let sizes = object.parts();
    let total = i32::try_from(sizes.len()).ok().filter(|total| *total > 0)?;
    let all = (1..).zip(sizes).filter(|(number, _)| *number > marker);
    let part = |(number, size): (i32, u64)| ObjectPart {
        part_number: Some(number),
        size: i64::try_from(size).ok(),
        ..ObjectPart::default()
    };
    let parts: Vec<ObjectPart> = all.take(usize::try_from(page).unwrap_or(0)).map(part).collect();
    let last = parts.last().and_then(|part| part.part_number).unwrap_or(marker);
    Some(GetObjectAttributesParts {
        total_parts_count: Some(total),
        part_number_marker: Some(marker),
        next_part_number_marker: Some(last),
        max_parts: Some(page),
        is_truncated: Some(last < total),
        parts: Some(parts),
    })
}
