//! Checksums: what a client says of a body, what was computed of it, and how both are written in headers.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{HeaderMap, StatusCode};
use ostrakon::bucket::{Checksum, ChecksumAlgorithm, ChecksumKind, Computed};
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders, dto};

use crate::errors::{custom, error};

/// All algorithms, with the headers that their checksums are sent in.
const HEADERS: [(ChecksumAlgorithm, &str, &str); 5] = [
    (ChecksumAlgorithm::Crc32, "x-amz-checksum-crc32", "CRC32"),
    (ChecksumAlgorithm::Crc32C, "x-amz-checksum-crc32c", "CRC32C"),
    (ChecksumAlgorithm::Crc64Nvme, "x-amz-checksum-crc64nvme", "CRC64NVME"),
    (ChecksumAlgorithm::Sha1, "x-amz-checksum-sha1", "SHA1"),
    (ChecksumAlgorithm::Sha256, "x-amz-checksum-sha256", "SHA256"),
];

/// What a client says of a body, to be checked before anything of it is kept.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    md5: Option<Vec<u8>>,
    sum: Option<(ChecksumAlgorithm, Vec<u8>)>,
    /// The checksum that comes behind the body.
    trailing: Option<ChecksumAlgorithm>,
}

impl Expected {
    /// Reads the headers of a request with a body.
    pub(crate) fn of(headers: &HeaderMap) -> S3Result<Self> {
        let md5 = text(headers, "content-md5").map(|md5| {
            let wrong = || error(S3ErrorCode::InvalidDigest, "Content-MD5 is not the base64 of 16 bytes");
            STANDARD.decode(md5).ok().filter(|md5| md5.len() == 16).ok_or_else(wrong)
        });
        let (sum, trailing) = (sum_of(headers)?, trailing_of(headers)?);
        if sum.is_some() && trailing.is_some() {
            return Err(error(S3ErrorCode::InvalidRequest, "expecting a single x-amz-checksum- header or trailer"));
        }
        Ok(Self { md5: md5.transpose()?, sum, trailing })
    }

    /// Reads the headers of an upload of an object or a part: who names an algorithm must send its checksum.
    pub(crate) fn of_upload(headers: &HeaderMap) -> S3Result<Self> {
        let expected = Self::of(headers)?;
        if expected.algorithm().is_none() && headers.contains_key("x-amz-sdk-checksum-algorithm") {
            let text = "x-amz-sdk-checksum-algorithm comes without an x-amz-checksum- header or trailer";
            return Err(error(S3ErrorCode::InvalidRequest, text));
        }
        Ok(expected)
    }

    /// The algorithm that the client uses.
    pub(crate) fn algorithm(&self) -> Option<ChecksumAlgorithm> {
        self.sum.as_ref().map(|(algorithm, _)| *algorithm).or(self.trailing)
    }

    /// Whether the client says anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.md5.is_none() && self.algorithm().is_none()
    }

    /// Checks what was computed of the body, when it and its trailers were read.
    pub(crate) fn check(&self, computed: &Computed, trailers: Option<&TrailingHeaders>) -> S3Result<()> {
        if self.md5.as_ref().is_some_and(|md5| *md5 != computed.md5) {
            return Err(error(S3ErrorCode::BadDigest, "the MD5 of the body is not that of Content-MD5"));
        }
        let trailer = self.trailing.map(|algorithm| read_trailer(algorithm, trailers)).transpose()?;
        let Some((algorithm, bytes)) = trailer.as_ref().or(self.sum.as_ref()) else { return Ok(()) };
        let matches = |sum: &Checksum| sum.algorithm == *algorithm && sum.bytes == *bytes;
        if computed.checksums.iter().any(matches) { Ok(()) } else { Err(mismatch(*algorithm)) }
    }

    /// Checks a body that is in memory.
    pub(crate) fn check_bytes(&self, bytes: &[u8], trailers: Option<&TrailingHeaders>) -> S3Result<()> {
        self.check(&Computed::of(bytes, self.algorithm().as_slice()), trailers)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim).filter(|text| !text.is_empty())
}

fn mismatch(algorithm: ChecksumAlgorithm) -> S3Error {
    error(S3ErrorCode::BadDigest, format!("the {} that came with the body is not that of the body", name(algorithm)))
}

fn sum_of(headers: &HeaderMap) -> S3Result<Option<(ChecksumAlgorithm, Vec<u8>)>> {
    let mut sums =
        HEADERS.iter().filter_map(|(algorithm, header, _)| Some((*algorithm, *header, text(headers, header)?)));
    let (first, second) = (sums.next(), sums.next());
    if second.is_some() {
        return Err(error(S3ErrorCode::InvalidRequest, "expecting a single x-amz-checksum- header"));
    }
    first.map(|(algorithm, header, value)| Ok((algorithm, decoded(algorithm, header, value)?))).transpose()
}

fn decoded(algorithm: ChecksumAlgorithm, header: &str, value: &str) -> S3Result<Vec<u8>> {
    let invalid = || error(S3ErrorCode::InvalidRequest, format!("the value of {header} is invalid"));
    STANDARD.decode(value).ok().filter(|bytes| bytes.len() == algorithm.size()).ok_or_else(invalid)
}

fn trailing_of(headers: &HeaderMap) -> S3Result<Option<ChecksumAlgorithm>> {
    let Some(announced) = text(headers, "x-amz-trailer") else { return Ok(None) };
    let known = |trailer: &str| HEADERS.iter().find(|(_, header, _)| trailer.trim().eq_ignore_ascii_case(header));
    let mut found = announced.split(',').map(|trailer| {
        let unknown = || error(S3ErrorCode::InvalidRequest, format!("the trailer {} is not supported", trailer.trim()));
        known(trailer).map(|(algorithm, ..)| *algorithm).ok_or_else(unknown)
    });
    let first = found.next().transpose()?;
    if found.next().is_some() {
        return Err(error(S3ErrorCode::InvalidRequest, "expecting a single checksum in the trailers"));
    }
    Ok(first)
}

fn read_trailer(
    algorithm: ChecksumAlgorithm,
    trailers: Option<&TrailingHeaders>,
) -> S3Result<(ChecksumAlgorithm, Vec<u8>)> {
    let header = HEADERS.iter().find(|(known, ..)| *known == algorithm).map_or("", |(_, header, _)| *header);
    let value = trailers.and_then(|trailers| trailers.read(|map| text(map, header).map(str::to_owned))).flatten();
    let missing = || {
        let text = format!("the trailer {header} was announced and is missing");
        custom("MalformedTrailerError", StatusCode::BAD_REQUEST, text)
    };
    Ok((algorithm, decoded(algorithm, header, &value.ok_or_else(missing)?)?))
}

/// The name that S3 has for an algorithm.
pub(crate) fn name(algorithm: ChecksumAlgorithm) -> &'static str {
    HEADERS.iter().find(|(known, ..)| *known == algorithm).map_or("", |(.., name)| *name)
}

/// The algorithm with this name.
pub(crate) fn named(name: &str) -> S3Result<ChecksumAlgorithm> {
    let unknown = || error(S3ErrorCode::InvalidRequest, format!("the checksum algorithm {name} is not supported"));
    HEADERS
        .iter()
        .find(|(.., known)| name.eq_ignore_ascii_case(known))
        .map(|(algorithm, ..)| *algorithm)
        .ok_or_else(unknown)
}

/// What S3 calls that which a checksum is of.
pub(crate) fn kind_name(kind: ChecksumKind) -> dto::ChecksumType {
    dto::ChecksumType::from_static(match kind {
        ChecksumKind::Whole => dto::ChecksumType::FULL_OBJECT,
        ChecksumKind::Composite => dto::ChecksumType::COMPOSITE,
    })
}

/// What a multipart upload's checksum is of: what is asked for, or else what S3 makes it.
pub(crate) fn kind_of(algorithm: ChecksumAlgorithm, asked: Option<&str>) -> S3Result<ChecksumKind> {
    let linear = !matches!(algorithm, ChecksumAlgorithm::Sha1 | ChecksumAlgorithm::Sha256);
    let only_whole = matches!(algorithm, ChecksumAlgorithm::Crc64Nvme);
    match asked {
        None if only_whole => Ok(ChecksumKind::Whole),
        None => Ok(ChecksumKind::Composite),
        Some(dto::ChecksumType::FULL_OBJECT) if linear => Ok(ChecksumKind::Whole),
        Some(dto::ChecksumType::COMPOSITE) if !only_whole => Ok(ChecksumKind::Composite),
        Some(asked) => {
            let text = format!("the checksum type {asked} cannot be used with {}", name(algorithm));
            Err(error(S3ErrorCode::InvalidRequest, text))
        }
    }
}

/// A checksum as it is sent; of one that is composed of those of parts, with their number.
pub(crate) fn sent(checksum: Option<&Checksum>, parts: usize) -> dto::Checksum {
    let mut sent = dto::Checksum::default();
    let Some(checksum) = checksum else { return sent };
    let value = match checksum.kind {
        ChecksumKind::Composite if parts > 0 => format!("{}-{parts}", STANDARD.encode(&checksum.bytes)),
        ChecksumKind::Whole | ChecksumKind::Composite => STANDARD.encode(&checksum.bytes),
    };
    sent.checksum_type = Some(kind_name(checksum.kind));
    match checksum.algorithm {
        ChecksumAlgorithm::Crc32 => sent.checksum_crc32 = Some(value),
        ChecksumAlgorithm::Crc32C => sent.checksum_crc32c = Some(value),
        ChecksumAlgorithm::Crc64Nvme => sent.checksum_crc64nvme = Some(value),
        ChecksumAlgorithm::Sha1 => sent.checksum_sha1 = Some(value),
        ChecksumAlgorithm::Sha256 => sent.checksum_sha256 = Some(value),
    }
    sent
}

/// The checksum that a request gives for an object or a part of an upload, with the number of parts, if it says one.
pub(crate) fn given(given: &dto::Checksum) -> S3Result<Option<Checksum>> {
    let values = [
        &given.checksum_crc32,
        &given.checksum_crc32c,
        &given.checksum_crc64nvme,
        &given.checksum_sha1,
        &given.checksum_sha256,
    ];
    let found = HEADERS
        .iter()
        .zip(values)
        .find_map(|((algorithm, header, _), value)| Some((*algorithm, *header, value.as_ref()?)));
    let Some((algorithm, header, value)) = found else { return Ok(None) };
    let (value, composite) = match value.split_once('-') {
        Some((value, _)) => (value, true),
        None => (value.as_str(), false),
    };
    let asked = given.checksum_type.as_ref().map(dto::ChecksumType::as_str);
    let composite = composite || asked == Some(dto::ChecksumType::COMPOSITE);
    let kind = if composite { ChecksumKind::Composite } else { ChecksumKind::Whole };
    Ok(Some(Checksum { algorithm, kind, bytes: decoded(algorithm, header, value)? }))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn expected(headers: &[(&'static str, &'static str)]) -> S3Result<Expected> {
        let map = headers
            .iter()
            .map(|(name, value)| (hyper::header::HeaderName::from_static(name), HeaderValue::from_static(value)));
        Expected::of_upload(&map.collect())
    }

    #[test]
    fn a_body_is_checked_by_what_came_with_it() {
        let good: [&[(&str, &str)]; 6] = [
            &[],
            &[("content-md5", "XUFAKrxLKna5cZ2REBfFkg==")],
            &[("x-amz-checksum-crc32", "NhCmhg==")],
            &[("x-amz-checksum-crc32c", "mnG7TA==")],
            &[("x-amz-checksum-sha1", "qvTGHdzF6KLavt4PO0gs2a6pQ00=")],
            &[("x-amz-checksum-sha256", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=")],
        ];
        for headers in good {
            let expected = expected(headers).expect("well-formed");
            expected.check_bytes(b"hello", None).expect("it is that of the body");
            assert_eq!(expected.check_bytes(b"hullo", None).is_err(), !headers.is_empty(), "{headers:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_told() {
        let bad: [(&[(&str, &str)], &str); 7] = [
            (&[("content-md5", "XUFA")], "InvalidDigest"),
            (&[("content-md5", "?")], "InvalidDigest"),
            (&[("x-amz-checksum-crc32", "NhCm")], "InvalidRequest"),
            (&[("x-amz-checksum-crc32", "NhCmhg=="), ("x-amz-checksum-crc32c", "mnG7TA==")], "InvalidRequest"),
            (&[("x-amz-trailer", "x-amz-other")], "InvalidRequest"),
            (&[("x-amz-trailer", "x-amz-checksum-crc32"), ("x-amz-checksum-crc32", "NhCmhg==")], "InvalidRequest"),
            (&[("x-amz-sdk-checksum-algorithm", "CRC32")], "InvalidRequest"),
        ];
        for (headers, code) in bad {
            assert_eq!(expected(headers).expect_err("malformed").code().as_str(), code, "{headers:?}");
        }
        let missing = expected(&[("x-amz-trailer", "X-Amz-Checksum-Crc32")]).expect("well-formed");
        assert_eq!(missing.check_bytes(b"", None).expect_err("none came").code().as_str(), "MalformedTrailerError");
    }

    #[test]
    fn what_is_sent_is_read() {
        for kind in [ChecksumKind::Whole, ChecksumKind::Composite] {
            let checksum = Checksum { algorithm: ChecksumAlgorithm::Crc32C, kind, bytes: vec![1, 2, 3, 4] };
            let sent = sent(Some(&checksum), 3);
            assert_eq!(
                sent.checksum_crc32c.as_deref().map(|value| value.ends_with("-3")),
                Some(kind == ChecksumKind::Composite)
            );
            assert_eq!(given(&sent).expect("well-formed"), Some(checksum));
        }
    }

    #[test]
    fn types_are_as_algorithms_allow() {
        assert_eq!(kind_of(ChecksumAlgorithm::Crc64Nvme, None).ok(), Some(ChecksumKind::Whole));
        assert_eq!(kind_of(ChecksumAlgorithm::Crc32, None).ok(), Some(ChecksumKind::Composite));
        assert_eq!(kind_of(ChecksumAlgorithm::Crc32, Some("FULL_OBJECT")).ok(), Some(ChecksumKind::Whole));
        assert_eq!(kind_of(ChecksumAlgorithm::Sha256, Some("FULL_OBJECT")).ok(), None);
        assert_eq!(kind_of(ChecksumAlgorithm::Crc64Nvme, Some("COMPOSITE")).ok(), None);
    }
}
