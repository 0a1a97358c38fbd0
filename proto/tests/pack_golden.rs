//! Golden vectors of packs (SPEC.md, "Packs"): fixed entries, and the index and footer that must come out, permanently.
//!
//! A change here is a change of the format: it needs a reason, and a new version of what it changes.

#![allow(clippy::unwrap_used, reason = "a vector that fails to parse fails the test")]

use ostrakon_proto::{
    id::ColumnId,
    manifest::{Content, Extent, Manifest, Protection},
    pack::{Entry, FileContent, Footer, Kind, PackIndex, PackPath, PackWriter, Stamp},
    params::Code,
    seal::ObjectKey,
};

fn entry(path: &[u8], stamp: (u16, i64, u32), kind: Kind) -> Entry {
    let (mode, seconds, nanos) = stamp;
    Entry { path: PackPath::new(path).unwrap(), stamp: Stamp { mode, seconds, nanos }, kind }
}

fn file(offset: u64, content: &[u8]) -> Kind {
    let size = u64::try_from(content.len()).unwrap();
    Kind::File(FileContent { offset, size, hash: blake3::hash(content).into() })
}

/// The index of these entries and its footer.
fn index(content: u64, entries: &[Entry]) -> (Vec<u8>, Vec<u8>) {
    let (mut writer, mut bytes) = (PackWriter::new(content), Vec::new());
    for entry in entries {
        writer.push(entry).unwrap();
        bytes.extend(writer.take());
    }
    let PackIndex { pages, root, entries, .. } = writer.finish();
    bytes.extend(pages);
    let top = Stamp { mode: 0o755, seconds: 1_700_000_000, nanos: 123_456_789 };
    (bytes, Footer { content, entries, root, top }.encode())
}

fn check(vectors: &str, lines: &[String]) {
    let expect: Vec<&str> = vectors.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, expect, "got\n{}", lines.join("\n"));
}

#[test]
fn packs_of_fixed_directories() {
    let stamp = (0o644, 1_700_000_000, 5);
    let few = [
        entry(b"a", (0o1755, -1, 999_999_999), Kind::Directory),
        entry(b"a/bc", stamp, file(0, b"hello")),
        entry(b"a/bd", stamp, file(5, b"")),
        entry(b"a-", stamp, file(5, b"world!")),
        entry(b"link", (0o777, 0, 0), Kind::Symlink { target: b"a/bc".to_vec() }),
        entry(b"\xff\n", (0o4000, 0, 0), file(11, b"")),
    ];
    let (pages, footer) = index(11, &few);
    let mut lines = vec![format!("few {}", hex::encode(pages)), format!("few footer {}", hex::encode(footer))];
    let (pages, footer) = index(0, &[]);
    lines.extend([format!("none {}", hex::encode(pages)), format!("none footer {}", hex::encode(footer))]);
    let number = |number: u64| entry(format!("{number:06}").as_bytes(), stamp, file(number, b"x"));
    let many: Vec<Entry> = (0..100_000).map(number).collect();
    let (pages, footer) = index(100_000, &many);
    lines.push(format!("many {} {}", pages.len(), blake3::hash(&pages)));
    lines.push(format!("many footer {}", hex::encode(footer)));
    let key = ObjectKey::from_bytes(std::array::from_fn(|at| u8::try_from(at).unwrap()));
    lines.push(format!("commitment {}", hex::encode(key.commitment(Content::Pack))));
    let columns = (0..4).map(|index| ColumnId::new([index; 32])).collect();
    let manifest = Manifest {
        size: 100,
        code: Code::new(2, 4).unwrap(),
        protection: Protection::Public { hash: [7; 32], content: Content::Pack },
        extents: vec![Extent { columns, tokens: Vec::new() }],
    };
    lines.push(format!("manifest {}", hex::encode(manifest.encode())));
    check(include_str!("../golden/packs.txt"), &lines);
}
