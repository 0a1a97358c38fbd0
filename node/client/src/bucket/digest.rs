//! What clients check bytes by, computed while the bytes pass: MD5, and the checksums that were asked for.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use crc_fast::CrcAlgorithm;
use md5::{Digest as _, Md5};
use ostrakon_proto::bucket::{BlockHash, Checksum, ChecksumAlgorithm, ChecksumKind, ETag};
use tokio::io::{AsyncRead, ReadBuf};

use super::{BucketError, engine::Body};
use crate::ipfs::Leaves;

/// What was computed of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Computed {
    /// Its bytes.
    pub size: u64,
    /// Their MD5.
    pub md5: [u8; 16],
    /// The checksums that were asked for, in that order.
    pub checksums: Vec<Checksum>,
    /// The hashes of their leaves as a public file.
    pub(super) leaves: Vec<BlockHash>,
}

impl Computed {
    /// Of bytes that are in memory: MD5, and these.
    pub fn of(bytes: &[u8], algorithms: &[ChecksumAlgorithm]) -> Self {
        let mut digests = Digests::new(algorithms);
        digests.update(bytes);
        digests.finish()
    }
}

/// The entity tag of an object of parts with these MD5s, as S3 makes it; `None` of more than 65,535.
pub fn etag_of_parts(md5s: &[[u8; 16]]) -> Option<ETag> {
    let count = u16::try_from(md5s.len()).ok()?;
    Some(ETag::Parts(Md5::digest(md5s.as_flattened()).into(), count))
}

/// Computes of bytes that come piece by piece.
pub(super) struct Digests {
    size: u64,
    md5: Md5,
    others: Vec<(ChecksumAlgorithm, Other)>,
    leaves: Option<Leaves>,
}

enum Other {
    Crc(Box<crc_fast::Digest>),
    Sha(digest::Context),
}

impl Digests {
    /// MD5, and these.
    pub(super) fn new(algorithms: &[ChecksumAlgorithm]) -> Self {
        let other = |algorithm: &ChecksumAlgorithm| (*algorithm, Other::new(*algorithm));
        Self { size: 0, md5: Md5::new(), others: algorithms.iter().map(other).collect(), leaves: None }
    }

    /// The same, and the leaves of a public file.
    pub(super) fn with_leaves(self, public: bool) -> Self {
        Self { leaves: public.then(Leaves::new), ..self }
    }

    /// Takes the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.size = self.size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.md5.update(bytes);
        for (_, other) in &mut self.others {
            match other {
                Other::Crc(crc) => crc.update(bytes),
                Other::Sha(sha) => sha.update(bytes),
            }
        }
        if let Some(leaves) = &mut self.leaves {
            leaves.update(bytes);
        }
    }

    /// What was computed.
    pub(super) fn finish(self) -> Computed {
        let checksum = |(algorithm, other): (ChecksumAlgorithm, Other)| Checksum {
            algorithm,
            kind: ChecksumKind::Whole,
            bytes: other.finish(algorithm),
        };
        let checksums = self.others.into_iter().map(checksum).collect();
        let leaves = self.leaves.map(Leaves::finish).unwrap_or_default();
        Computed { size: self.size, md5: self.md5.finalize().into(), checksums, leaves }
    }
}

/// One checksum of these bytes.
pub(super) fn checksum_of(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Vec<u8> {
    let mut other = Other::new(algorithm);
    match &mut other {
        Other::Crc(crc) => crc.update(bytes),
        Other::Sha(sha) => sha.update(bytes),
    }
    other.finish(algorithm)
}

/// The checksum of bytes that follow each other, from the checksums of both; `None` where an algorithm has none.
pub(super) fn joined(algorithm: ChecksumAlgorithm, first: &[u8], (second, bytes): (&[u8], u64)) -> Option<Vec<u8>> {
    let crc = crc_of(algorithm)?;
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let joined = crc_fast::checksum_combine(crc, number(first), number(second), bytes);
    Some(joined.to_be_bytes()[8 - algorithm.size()..].to_vec())
}

fn crc_of(algorithm: ChecksumAlgorithm) -> Option<CrcAlgorithm> {
    match algorithm {
        ChecksumAlgorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        ChecksumAlgorithm::Crc32C => Some(CrcAlgorithm::Crc32Iscsi),
        ChecksumAlgorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
        ChecksumAlgorithm::Sha1 | ChecksumAlgorithm::Sha256 => None,
    }
}

impl Other {
    fn new(algorithm: ChecksumAlgorithm) -> Self {
        match (crc_of(algorithm), algorithm) {
            (Some(crc), _) => Self::Crc(Box::new(crc_fast::Digest::new(crc))),
            (None, ChecksumAlgorithm::Sha1) => Self::Sha(digest::Context::new(&SHA1_FOR_LEGACY_USE_ONLY)),
            (None, _) => Self::Sha(digest::Context::new(&SHA256)),
        }
    }

    fn finish(self, algorithm: ChecksumAlgorithm) -> Vec<u8> {
        match self {
            Self::Crc(crc) => crc.finalize().to_be_bytes()[8 - algorithm.size()..].to_vec(),
            Self::Sha(sha) => sha.finish().as_ref().to_vec(),
        }
    }
}

/// What says at the end of a body, by what was computed of it, whether it is to be stored.
pub(super) type Verdict<'a> = Pin<Box<dyn Future<Output = Result<(), BucketError>> + Send + 'a>>;

/// A body whose bytes are digested as they are read. Its end is an error where it is not to be stored: who stores it
/// gives up then, and no holder has signed for anything.
pub(super) struct Digested<'a> {
    body: Body<'a>,
    digests: Option<Digests>,
    judge: Option<Box<dyn FnOnce(Computed) -> Verdict<'a> + Send + 'a>>,
    verdict: Option<Verdict<'a>>,
}

impl<'a> Digested<'a> {
    /// The body, and who judges what was computed of it.
    pub(super) fn new(
        body: Body<'a>,
        digests: Digests,
        judge: impl FnOnce(Computed) -> Verdict<'a> + Send + 'a,
    ) -> Self {
        Self { body, digests: Some(digests), judge: Some(Box::new(judge)), verdict: None }
    }
}

impl AsyncRead for Digested<'_> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (this, before) = (&mut *self, out.filled().len());
        if let Some(digests) = &mut this.digests {
            ready!(this.body.as_mut().poll_read(context, out))?;
            let read = &out.filled()[before..];
            digests.update(read);
            if !read.is_empty() || out.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let computed = this.digests.take().map(Digests::finish);
            this.verdict = this.judge.take().zip(computed).map(|(judge, computed)| judge(computed));
        }
        if let Some(verdict) = &mut this.verdict {
            let judged = ready!(verdict.as_mut().poll(context));
            this.verdict = None;
            judged.map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digests").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [ChecksumAlgorithm; 5] = [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ];

    /// The check values of the CRC catalogue, RFC 1321 and FIPS 180.
    #[test]
    fn known_bytes_have_known_digests() {
        let mut digests = Digests::new(&ALL);
        digests.update(b"1234");
        digests.update(b"56789");
        let Computed { size, md5, checksums, .. } = digests.finish();
        assert_eq!((size, hex::encode(md5).as_str()), (9, "25f9e794323b453885f5181f1b624d0b"));
        let texts: Vec<String> = checksums.iter().map(|checksum| hex::encode(&checksum.bytes)).collect();
        assert_eq!(
            texts[..4],
            [
                "cbf43926".to_owned(),
                "e3069283".to_owned(),
                "ae8b14860a799888".to_owned(),
                "f7c3bc1d808e04732adf679965ccc34ca7ae3441".to_owned(),
            ]
        );
        assert_eq!(texts[4], "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");
        for (checksum, algorithm) in checksums.iter().zip(ALL) {
            assert_eq!(checksum.bytes.len(), algorithm.size());
            assert_eq!(checksum_of(algorithm, b"123456789"), checksum.bytes);
            let parts = [b"1234".as_slice(), b"56789"].map(|part| checksum_of(algorithm, part));
            let whole = joined(algorithm, &parts[0], (&parts[1], 5));
            assert!(whole.is_none_or(|whole| whole == checksum.bytes), "{algorithm:?}");
        }
    }
}
