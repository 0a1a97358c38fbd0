//! Who owns what: one account owns all. Requests for anything else, and for what this gateway does not do, are refused,
//! so that nobody believes that it was done.

use hyper::HeaderMap;
use s3s::{
    S3Error, S3ErrorCode, S3Result,
    dto::{Grant, Grantee, Owner, Permission, Type},
};

use crate::errors::{error, not_implemented};

const OWNER: &str = "ostrakon";

/// The owner of all buckets and objects.
pub(crate) fn owner() -> Owner {
    Owner { id: Some(OWNER.to_owned()), display_name: Some(OWNER.to_owned()) }
}

/// The one grant that everything has.
pub(crate) fn grants() -> Vec<Grant> {
    let grantee = Grantee {
        id: Some(OWNER.to_owned()),
        display_name: Some(OWNER.to_owned()),
        email_address: None,
        uri: None,
        type_: Type::from_static(Type::CANONICAL_USER),
    };
    vec![Grant { grantee: Some(grantee), permission: Some(Permission::from_static(Permission::FULL_CONTROL)) }]
}

/// Fails where a list of grants is not the one that everything has.
pub(crate) fn check_grants(grants: Option<&Vec<Grant>>) -> S3Result<()> {
    let ours = |grant: &Grant| {
        let owner = grant.grantee.as_ref().and_then(|grantee| grantee.id.as_deref()) == Some(OWNER);
        owner && grant.permission.as_ref().map(Permission::as_str) == Some(Permission::FULL_CONTROL)
    };
    if grants.is_none_or(|grants| grants.iter().all(ours)) { Ok(()) } else { Err(no_lists()) }
}

fn no_lists() -> S3Error {
    let text = "access control lists are not supported: access keys say who may do what";
    error(S3ErrorCode::AccessControlListNotSupported, text)
}

/// Fails where headers ask for what would not be done.
pub(crate) fn refuse_unsupported(headers: &HeaderMap) -> S3Result<()> {
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        match name.as_str() {
            "x-amz-acl" if !matches!(value.as_ref(), "private" | "bucket-owner-full-control" | "") => {
                return Err(no_lists());
            }
            "x-amz-server-side-encryption" if value == "AES256" => {}
            "x-amz-bucket-object-lock-enabled" if value.eq_ignore_ascii_case("false") => {}
            "x-amz-storage-class" if !matches!(value.as_ref(), "STANDARD" | "") => {
                return Err(error(S3ErrorCode::InvalidStorageClass, "STANDARD is the only storage class"));
            }
            "x-amz-website-redirect-location" => return Err(not_implemented("websites")),
            "x-amz-write-offset-bytes" => return Err(not_implemented("appending")),
            "x-amz-if-match-size" | "x-amz-if-match-last-modified-time" | "x-amz-if-match-initiated-time" => {
                return Err(not_implemented(name.as_str()));
            }
            name if name.starts_with("x-amz-grant-") => return Err(no_lists()),
            name if ["x-amz-server-side-enc", "x-amz-copy-source-server-side-enc"]
                .iter()
                .any(|start| name.starts_with(start)) =>
            {
                return Err(not_implemented(
                    "encryption with a client's or a service's keys: every object is encrypted",
                ));
            }
            name if name.starts_with("x-amz-object-lock-") || name == "x-amz-bucket-object-lock-enabled" => {
                return Err(not_implemented("object lock"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn what_would_not_be_done_is_refused() {
        let steps = [
            ("x-amz-acl", "private", None),
            ("x-amz-acl", "public-read", Some("AccessControlListNotSupported")),
            ("x-amz-grant-read", "id=a", Some("AccessControlListNotSupported")),
            ("x-amz-storage-class", "STANDARD", None),
            ("x-amz-storage-class", "GLACIER", Some("InvalidStorageClass")),
            ("x-amz-server-side-encryption", "AES256", None),
            ("x-amz-server-side-encryption", "aws:kms", Some("NotImplemented")),
            ("x-amz-server-side-encryption-customer-algorithm", "AES256", Some("NotImplemented")),
            ("x-amz-copy-source-server-side-encryption-customer-key", "a", Some("NotImplemented")),
            ("x-amz-object-lock-mode", "GOVERNANCE", Some("NotImplemented")),
            ("x-amz-bucket-object-lock-enabled", "true", Some("NotImplemented")),
            ("x-amz-meta-acl", "public-read", None),
        ];
        for (name, value, code) in steps {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
            let refused = refuse_unsupported(&headers).err().map(|error| error.code().as_str().to_owned());
            assert_eq!(refused.as_deref(), code, "{name}: {value}");
        }
    }
}
