//! Names of multipart uploads as clients have them: the bucket's id, and which checksum the upload announced, so that a
//! part can be checked and stored without asking for that first.

use ostrakon::bucket::{ChecksumAlgorithm, MultipartId, UploadInfo};
use s3s::{S3ErrorCode, S3Result};

use crate::{
    checksums::{name, named},
    errors::error,
};

/// The text of an upload's id.
pub(crate) fn text(id: &MultipartId, algorithm: Option<ChecksumAlgorithm>) -> String {
    match algorithm {
        None => hex::encode(id),
        Some(algorithm) => format!("{}.{}", hex::encode(id), name(algorithm)),
    }
}

/// The text of a listed upload's id.
pub(crate) fn text_of(id: &MultipartId, upload: &UploadInfo) -> String {
    text(id, upload.checksum.map(|(algorithm, _)| algorithm))
}

/// The id of a text, and the checksum that was announced. What is none was never handed out: there is no such upload.
pub(crate) fn parse(text: &str) -> S3Result<(MultipartId, Option<ChecksumAlgorithm>)> {
    let none =
        || error(S3ErrorCode::NoSuchUpload, "there is no such upload: it was completed or aborted, or never begun");
    let (id, algorithm) = match text.split_once('.') {
        None => (text, None),
        Some((id, algorithm)) => (id, Some(named(algorithm).map_err(|_| none())?)),
    };
    let id = hex::decode(id).ok().and_then(|id| id.try_into().ok()).ok_or_else(none)?;
    Ok((id, algorithm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_id_and_checksum() {
        for algorithm in [None, Some(ChecksumAlgorithm::Sha256)] {
            assert_eq!(parse(&text(&[7; 16], algorithm)).ok(), Some(([7; 16], algorithm)));
        }
        for other in ["", "00", "upload", &format!("{}.MD5", "00".repeat(16))] {
            assert_eq!(parse(other).expect_err("no id").code(), &S3ErrorCode::NoSuchUpload, "{other}");
        }
    }
}
