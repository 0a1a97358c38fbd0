//! Golden vectors of the byte formats (SPEC.md): fixed inputs, and the bytes and names that must come out, permanently.
//!
//! Content is `derive("ostrakon golden content 1", "")`, as long as needed; the object's key is the bytes 0 to 31; the
//! code is 2 of 4. A program of another language, written from SPEC.md alone, computed the same. A change here is a
//! change of the format: it needs a reason, and a new version of what it changes.

#![allow(clippy::unwrap_used, reason = "a vector that fails to parse fails the test")]

use bytes::Bytes;
use ostrakon_proto::{
    id::ColumnId,
    layout::Layout,
    link::Link,
    manifest::{Content, Extent, Manifest, Protection},
    pack::Stamp,
    params::Code,
    row,
    seal::{ObjectKey, token_hash},
    tree::{self, Range, TreeBuilder},
};

fn content(len: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(len).unwrap()];
    blake3::Hasher::new_derive_key("ostrakon golden content 1").finalize_xof().fill(&mut bytes);
    bytes
}

fn key() -> ObjectKey {
    ObjectKey::from_bytes(std::array::from_fn(|at| u8::try_from(at).unwrap()))
}

fn code() -> Code {
    Code::new(2, 4).unwrap()
}

/// The whole columns of an object of one extent.
fn columns(plain: &[u8], sealed: bool) -> Vec<Vec<u8>> {
    let size = u64::try_from(plain.len()).unwrap();
    let layout = Layout::new(size, code(), sealed).unwrap();
    let sealer = sealed.then(|| key().sealer());
    let mut columns = vec![Vec::new(); 4];
    for id in layout.rows_of(0..size) {
        let range = layout.row(id).unwrap().plain;
        let plain = &plain[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
        let chunks: Vec<Bytes> = row::encode(&layout, id, plain, sealer.as_ref()).unwrap();
        columns.iter_mut().zip(&chunks).for_each(|(column, chunk)| column.extend_from_slice(chunk));
    }
    columns
}

fn names(columns: &[Vec<u8>]) -> Vec<ColumnId> {
    columns.iter().map(|column| blake3::hash(column).into()).collect()
}

fn manifest(size: u64, sealed: bool) -> Manifest {
    let token = |index| token_hash(&key().read_token(0, index));
    let (protection, tokens) = match sealed {
        true => (Protection::Sealed { commitment: key().commitment(Content::File) }, (0..4).map(token).collect()),
        false => (Protection::Public { hash: blake3::hash(&content(size)).into(), content: Content::File }, Vec::new()),
    };
    Manifest {
        size,
        code: code(),
        protection,
        extents: vec![Extent { columns: names(&columns(&content(size), sealed)), tokens }],
    }
}

/// Compares with a vector file: what is there must come out, line by line.
fn check(name: &str, vectors: &str, lines: &[String]) {
    let expect: Vec<&str> = vectors.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.len(), expect.len(), "{name}: got\n{}", lines.join("\n"));
    for (line, expect) in lines.iter().zip(expect) {
        assert_eq!(line, expect, "{name}");
    }
}

#[test]
fn columns_of_fixed_objects() {
    let sizes = [0, 1, 100, 65_520, 65_521, 131_040, 524_161, 1_200_000];
    let line = |(size, sealed): (u64, bool)| {
        let columns = columns(&content(size), sealed);
        let names: Vec<String> = names(&columns).iter().map(ColumnId::to_string).collect();
        format!("{} {size} {} {}", if sealed { "private" } else { "public" }, columns[0].len(), names.join(" "))
    };
    let lines: Vec<String> = sizes.into_iter().flat_map(|size| [(size, true), (size, false)]).map(line).collect();
    check("columns", include_str!("../golden/columns.txt"), &lines);
}

#[test]
fn manifests_of_fixed_objects() {
    let line = |(size, sealed)| {
        let bytes = manifest(size, sealed).encode();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest(size, sealed)));
        [Manifest::object_id(&bytes).to_string(), hex::encode(&bytes)]
    };
    let lines: Vec<String> = [(100, true), (100, false)].into_iter().flat_map(line).collect();
    check("manifests", include_str!("../golden/manifests.txt"), &lines);
}

#[test]
fn key_and_links_of_a_fixed_object() {
    let object = Manifest::object_id(&manifest(100, true).encode());
    let lines = [
        format!("commitment {}", hex::encode(key().commitment(Content::File))),
        format!("token 0 0 {}", hex::encode(key().read_token(0, 0).0)),
        format!("token 1 3 {}", hex::encode(key().read_token(1, 3).0)),
        format!("token hash 1 3 {}", hex::encode(token_hash(&key().read_token(1, 3)))),
        Link { object, key: Some(key()) }.to_string(),
        Link { object, key: None }.to_string(),
    ];
    check("links", include_str!("../golden/links.txt"), &lines);
}

#[test]
fn a_stamped_file() {
    let stamp = Stamp { mode: 0o640, seconds: 1_700_000_000, nanos: 123_456_789 };
    let plain = [b"hello", &stamp.encode()[..]].concat();
    let size = u64::try_from(plain.len()).unwrap();
    assert_eq!(size, 5 + Content::StampedFile.trailer());
    let (commitment, columns) = (key().commitment(Content::StampedFile), names(&columns(&plain, true)));
    let tokens = manifest(size, true).extents.remove(0).tokens;
    let (protection, extents) = (Protection::Sealed { commitment }, vec![Extent { columns, tokens }]);
    let stamped = Manifest { size, code: code(), protection, extents };
    let lines = [
        format!("plaintext {}", hex::encode(plain)),
        format!("commitment {}", hex::encode(commitment)),
        stamped.extents[0].columns[0].to_string(),
        Manifest::object_id(&stamped.encode()).to_string(),
    ];
    check("stamped", include_str!("../golden/stamped.txt"), &lines);
}

#[test]
fn proofs_of_a_fixed_column() {
    let bytes = content(600_000);
    let mut builder = TreeBuilder::new();
    builder.update(&bytes);
    let (column, outboard) = builder.finish();
    let mut lines = vec![column.to_string(), format!("outboard {}", blake3::hash(outboard.as_bytes()))];
    for (start, length) in [(0, 262_144), (262_144, 262_144), (524_288, 65_536), (589_824, 16_384), (16_384, 16_384)] {
        let siblings = tree::prove_range(&outboard, Range { start, length }).unwrap();
        lines.push(format!("range {start} {length} {}", blake3::hash(siblings.as_flattened())));
    }
    for leaf in [0, 300, 585] {
        let group = bytes.chunks(16_384).nth(leaf / 16).unwrap();
        let number = u64::try_from(leaf).unwrap();
        let above = tree::prove_range(&outboard, tree::group_of_leaf(number)).unwrap();
        let siblings = tree::prove_leaf(outboard.column_len(), number, group, &above).unwrap();
        lines.push(format!("leaf {leaf} {} {}", siblings.len(), blake3::hash(siblings.as_flattened())));
    }
    check("proofs", include_str!("../golden/proofs.txt"), &lines);
}
