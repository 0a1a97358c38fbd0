//! Fields that many types of s3s have alike, and no trait for them.

/// A structure of s3s with the checksums of another: `with_checksums!(Output { e_tag: tag }, from, ..rest)`.
macro_rules! with_checksums {
    ($($output:ident)::+ { $($field:ident: $value:expr),* $(,)? }, $from:ident $(, ..$rest:expr)?) => {
        $($output)::+ {
            $($field: $value,)*
            checksum_crc32: $from.checksum_crc32,
            checksum_crc32c: $from.checksum_crc32c,
            checksum_crc64nvme: $from.checksum_crc64nvme,
            checksum_sha1: $from.checksum_sha1,
            checksum_sha256: $from.checksum_sha256,
            $(..$rest)?
        }
    };
}

/// The headers of an upload that are kept with its object.
macro_rules! kept {
    ($input:ident, $expires:expr) => {
        $crate::described::Kept {
            cache_control: $input.cache_control,
            content_disposition: $input.content_disposition,
            content_encoding: $input.content_encoding,
            content_language: $input.content_language,
            content_type: $input.content_type,
            expires: $expires,
        }
    };
}

pub(crate) use {kept, with_checksums};
