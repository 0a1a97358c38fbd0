//! Ids, heights, epochs and amounts, as types that cannot be confused.
//!
//! A 32-byte id is an [`Id`] of an [`IdKind`]; the kind fixes its text form, so that a column's CID cannot be passed
//! where an object's is wanted, and neither parses as the other. Display is the canonical text form, and serde writes
//! it. Only a node's id is read from another text too: its libp2p peer id.

use std::{fmt, hash::Hash, io, marker::PhantomData, str::FromStr};

use borsh::{BorshDeserialize, BorshSerialize};
use cid::{Cid, multibase::Base};
use multihash::Multihash;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Multihash code of BLAKE3, as in the multicodec table.
const BLAKE3_CODE: u64 = 0x1e;
/// Characters of a libp2p peer id at most: 38 bytes in base58 are 52.
const PEER_ID_MAX: usize = 64;
/// Characters of a text that an error repeats: those of a CID.
const SHOWN: usize = 60;

/// Text form of an id.
#[derive(Clone, Copy, Debug)]
pub enum TextForm {
    /// CIDv1 with this codec and a BLAKE3-256 multihash, base32.
    Cid(u64),
    /// bech32m with this human-readable part.
    Bech32(&'static str),
    /// 64 lower-case hexadecimal digits.
    Hex,
}

/// Kind of thing that an [`Id`] names.
pub trait IdKind: Copy + Ord + Hash + fmt::Debug {
    /// Its text form.
    const FORM: TextForm;
    /// Its name in errors.
    const NAME: &'static str;
    /// How its text form begins, for errors.
    const EXAMPLE: &'static str;

    /// The bytes of a second text form, which is read and never written; `None` when `text` is not in it.
    fn parse_foreign(text: &str) -> Option<[u8; 32]> {
        let _ = text;
        None
    }
}

/// A 32-byte name of something of kind `K`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<K> {
    bytes: [u8; 32],
    kind: PhantomData<K>,
}

/// Kind of [`ColumnId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ColumnKind {}
/// Kind of [`ObjectId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {}
/// Kind of [`AccountId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountKind {}
/// Kind of [`NodeId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKind {}
/// Kind of [`VoteKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VoterKind {}
/// Kind of [`ChainId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainKind {}
/// Kind of [`BlockId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockKind {}
/// Kind of [`TxId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TxKind {}

impl IdKind for ColumnKind {
    const FORM: TextForm = TextForm::Cid(0x55);
    const NAME: &'static str = "column CID";
    const EXAMPLE: &'static str = "bafkr4i..";
}
impl IdKind for ObjectKind {
    const FORM: TextForm = TextForm::Cid(0x71);
    const NAME: &'static str = "object CID";
    const EXAMPLE: &'static str = "bafyr4i..";
}
impl IdKind for AccountKind {
    const FORM: TextForm = TextForm::Bech32("ost");
    const NAME: &'static str = "account id";
    const EXAMPLE: &'static str = "ost1..";
}
impl IdKind for NodeKind {
    const FORM: TextForm = TextForm::Bech32("ostnode");
    const NAME: &'static str = "node id";
    const EXAMPLE: &'static str = "ostnode1.. or 12D3Koo..";

    fn parse_foreign(text: &str) -> Option<[u8; 32]> {
        parse_peer_id(text)
    }
}
impl IdKind for VoterKind {
    const FORM: TextForm = TextForm::Bech32("ostval");
    const NAME: &'static str = "vote key";
    const EXAMPLE: &'static str = "ostval1..";
}
impl IdKind for ChainKind {
    const FORM: TextForm = TextForm::Hex;
    const NAME: &'static str = "chain id";
    const EXAMPLE: &'static str = "64 hexadecimal digits";
}
impl IdKind for BlockKind {
    const FORM: TextForm = TextForm::Hex;
    const NAME: &'static str = "block id";
    const EXAMPLE: &'static str = "64 hexadecimal digits";
}
impl IdKind for TxKind {
    const FORM: TextForm = TextForm::Hex;
    const NAME: &'static str = "transaction id";
    const EXAMPLE: &'static str = "64 hexadecimal digits";
}

/// A column's name: its BLAKE3 hash, as a raw CID. Address, proof root and range-read root in one.
pub type ColumnId = Id<ColumnKind>;
/// An object's name: the BLAKE3 hash of its manifest, as a DAG-CBOR CID.
pub type ObjectId = Id<ObjectKind>;
/// An account: an ed25519 public key.
pub type AccountId = Id<AccountKind>;
/// A node, and the provider that runs it: the node's ed25519 public key, from which its libp2p peer id follows.
pub type NodeId = Id<NodeKind>;
/// A validator: the ed25519 public key that its votes are signed with, which is not its node's.
pub type VoteKey = Id<VoterKind>;
/// A network: the BLAKE3 hash of its genesis.
pub type ChainId = Id<ChainKind>;
/// A block: the BLAKE3 hash of its header.
pub type BlockId = Id<BlockKind>;
/// A transaction: the BLAKE3 hash of its canonical bytes.
pub type TxId = Id<TxKind>;

/// The text is not an id of this kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {kind} {text:?}: expected {example}")]
pub struct ParseIdError {
    kind: &'static str,
    text: String,
    example: &'static str,
}

impl<K> Id<K> {
    /// The least id.
    pub const LEAST: Self = Self::new([0; 32]);
    /// The greatest id.
    pub const GREATEST: Self = Self::new([255; 32]);

    /// The id with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self { bytes, kind: PhantomData }
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl<K: IdKind> Id<K> {
    /// The first ten characters that differ between ids of one kind: for people, never for machines.
    pub fn short(&self) -> String {
        let text = self.to_string();
        let skip = match K::FORM {
            TextForm::Cid(_) => 8,
            TextForm::Bech32(hrp) => hrp.len() + 1,
            TextForm::Hex => 0,
        };
        text.chars().skip(skip).take(10).collect()
    }
}

impl<K> From<blake3::Hash> for Id<K> {
    fn from(hash: blake3::Hash) -> Self {
        Self::new(hash.into())
    }
}

impl<K: IdKind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match K::FORM {
            TextForm::Cid(codec) => {
                let hash = Multihash::<64>::wrap(BLAKE3_CODE, &self.bytes).map_err(|_| fmt::Error)?;
                write!(f, "{}", Cid::new_v1(codec, hash))
            }
            TextForm::Bech32(hrp) => {
                let hrp = bech32::Hrp::parse(hrp).map_err(|_| fmt::Error)?;
                bech32::encode_to_fmt::<bech32::Bech32m, _>(f, hrp, &self.bytes).map_err(|_| fmt::Error)
            }
            TextForm::Hex => f.write_str(&hex::encode(self.bytes)),
        }
    }
}

impl<K: IdKind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: IdKind> FromStr for Id<K> {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = match K::FORM {
            TextForm::Cid(codec) => parse_cid(text, codec),
            TextForm::Bech32(hrp) => parse_bech32(text, hrp),
            TextForm::Hex => parse_hex(text),
        };
        bytes.or_else(|| K::parse_foreign(text)).map(Self::new).ok_or_else(|| ParseIdError {
            kind: K::NAME,
            text: shown(text),
            example: K::EXAMPLE,
        })
    }
}

/// As much of a text as an error repeats: a CID, and nothing of a link's key behind it.
fn shown(text: &str) -> String {
    let is_plain = |char: &char| char.is_ascii_alphanumeric() || ":/._-".contains(*char);
    let shown: String = text.chars().take_while(is_plain).take(SHOWN).collect();
    if shown.len() < text.len() { shown + ".." } else { shown }
}

/// Exactly CIDv1, this codec, BLAKE3-256, in base32: an id has one CID.
fn parse_cid(text: &str, codec: u64) -> Option<[u8; 32]> {
    let cid = Cid::try_from(text).ok()?;
    let exact = cid.codec() == codec && cid.hash().code() == BLAKE3_CODE && cid.to_string() == text;
    exact.then(|| cid.hash().digest().try_into().ok()).flatten()
}

fn parse_bech32(text: &str, hrp: &str) -> Option<[u8; 32]> {
    let parsed = bech32::primitives::decode::CheckedHrpstring::new::<bech32::Bech32m>(text).ok()?;
    let bytes: Vec<u8> = parsed.byte_iter().collect();
    let exact = parsed.hrp().as_str() == hrp && text.bytes().all(|byte| !byte.is_ascii_uppercase());
    exact.then(|| bytes.try_into().ok()).flatten()
}

/// The bytes of exactly `2 * N` lower-case hexadecimal digits.
pub(crate) fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    (hex::encode(bytes) == text).then_some(bytes)
}

/// The key in a libp2p peer id: base58btc of an identity multihash, whose 36 bytes are the protobuf of an ed25519 key.
fn parse_peer_id(text: &str) -> Option<[u8; 32]> {
    const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    // Decoding takes quadratic time.
    if text.len() > PEER_ID_MAX {
        return None;
    }
    let bytes = Base::Base58Btc.decode(text).ok()?;
    bytes.strip_prefix(&PREFIX)?.try_into().ok()
}

impl<K> BorshSerialize for Id<K> {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(&self.bytes)
    }
}

impl<K> BorshDeserialize for Id<K> {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let mut bytes = [0; 32];
        reader.read_exact(&mut bytes)?;
        Ok(Self::new(bytes))
    }
}

impl<K: IdKind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: IdKind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <String as Deserialize>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A block's number; genesis is 0.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(transparent)]
pub struct Height(pub u64);

/// The ledger's accounting period, counted in blocks (ARCHITECTURE 1).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Height {
    /// The height above this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Epoch {
    /// The epoch `count` later; saturates.
    pub const fn after(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Money, in millionths of an obol. Text form: obols with up to six decimals, as in `12.5`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Amount(pub u64);

/// Millionths in one obol.
const MICRO: u64 = 1_000_000;

/// The text is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid amount {0:?}: obols with at most six decimals are needed, for example 12.5")]
pub struct ParseAmountError(String);

impl Amount {
    /// No money.
    pub const ZERO: Self = Self(0);
    /// One obol.
    pub const OBOL: Self = Self(MICRO);

    /// This many whole obols; `None` past the largest amount.
    pub fn obols(count: u64) -> Option<Self> {
        count.checked_mul(MICRO).map(Self)
    }

    /// The sum, `None` on overflow.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, `None` when `other` is more.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / MICRO, self.0 % MICRO);
        match rest {
            0 => write!(f, "{whole}"),
            _ => write!(f, "{whole}.{}", format!("{rest:06}").trim_end_matches('0')),
        }
    }
}

impl FromStr for Amount {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, ParseAmountError> {
        parse_amount(text).ok_or_else(|| ParseAmountError(text.chars().take(64).collect()))
    }
}

fn parse_amount(text: &str) -> Option<Amount> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 6 {
        return None;
    }
    let micro: u64 = format!("{decimals:0<6}").parse().ok()?;
    Amount::obols(whole.parse().ok()?)?.plus(Amount(micro))
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <String as Deserialize>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_through_text_and_reject_other_kinds() {
        let column = ColumnId::new([7; 32]);
        let object = ObjectId::new([7; 32]);
        let account = AccountId::new([7; 32]);
        let block = BlockId::new([7; 32]);
        assert_eq!(column.to_string().parse(), Ok(column));
        assert_eq!(object.to_string().parse(), Ok(object));
        assert_eq!(account.to_string().parse(), Ok(account));
        assert_eq!(block.to_string().parse(), Ok(block));
        assert!(column.to_string().parse::<ObjectId>().is_err());
        assert!(account.to_string().parse::<NodeId>().is_err());
        assert!(account.to_string().to_uppercase().parse::<AccountId>().is_err());
        assert!("".parse::<ColumnId>().is_err());
    }

    #[test]
    fn cids_of_other_hashes_are_refused() {
        let sha = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
        assert!(sha.parse::<ColumnId>().is_err());
    }

    /// The ed25519 key of libp2p's peer id specification, and two more.
    #[test]
    fn a_node_id_is_read_from_its_peer_id() {
        let check = |key: &str, peer: &str| {
            let node = NodeId::new(parse_hex(key).expect("64 digits"));
            assert_eq!(peer.parse(), Ok(node), "{peer}");
            assert!(node.to_string().starts_with("ostnode1"), "its own text is the canonical one");
            assert_eq!(node.to_string().parse(), Ok(node));
            assert!(peer.parse::<AccountId>().is_err() && peer.parse::<VoteKey>().is_err());
        };
        check(
            "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
            "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq",
        );
        check(
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "12D3KooW9pP4Seg3kZYhySpuVjn1RPdQBsUFZKiFxGMGQN5MeL6A",
        );
        check(
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV",
        );
        // Cut, with another character, an RSA key's, and a very long one.
        for bad in [
            "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3p",
            "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R30q",
            "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
            &"1".repeat(1_000_000),
        ] {
            assert!(bad.parse::<NodeId>().is_err(), "{:.60}", bad);
        }
    }

    #[test]
    fn errors_name_the_kind_the_text_and_what_was_expected() {
        let error = "nobody".parse::<NodeId>().expect_err("not an id");
        assert_eq!(error.to_string(), "invalid node id \"nobody\": expected ostnode1.. or 12D3Koo..");
        let (cid, key) = (ObjectId::new([7; 32]).to_string(), "u".repeat(52));
        for link in [format!("{cid}#{key}"), format!("{cid}%23{key}"), format!("{cid}{key}"), format!("{cid} {key}")] {
            let error = link.parse::<ObjectId>().expect_err("not a CID").to_string();
            assert!(!error.contains("uu"), "a part of the key is shown: {error}");
        }
    }

    #[test]
    fn amounts_round_trip() {
        for (micro, text) in [(0, "0"), (1, "0.000001"), (1_500_000, "1.5"), (u64::MAX, "18446744073709.551615")] {
            assert_eq!(Amount(micro).to_string(), text);
            assert_eq!(text.parse(), Ok(Amount(micro)));
        }
        for bad in ["", ".", "1.", ".5", "-1", "1e3", "0.0000001", "18446744073709.551616", "99999999999999999999"] {
            assert!(bad.parse::<Amount>().is_err(), "{bad}");
        }
    }
}
