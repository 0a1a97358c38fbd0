//! Packs made by hand that want out of their directory, or lead nowhere: each is refused, and writes nothing.

use std::fs;

use ostrakon_proto::{
    codec,
    pack::{Entry, FileContent, Footer, Kind, PackWriter, PageRef, Stamp},
};

use super::*;

/// A pack by hand: contents, pages, and a footer that names the last of them.
fn pack(content: &[u8], pages: &[Vec<u8>], entries: u64) -> Vec<u8> {
    let mut pack = content.to_vec();
    let mut root = PageRef { offset: 0, length: 0 };
    for page in pages {
        let (offset, length) = (u64::try_from(pack.len()).expect("small"), u32::try_from(page.len()).expect("small"));
        root = PageRef { offset, length };
        pack.extend_from_slice(page);
    }
    let content = u64::try_from(content.len()).expect("small");
    pack.extend(Footer { content, entries, root, top: Stamp { mode: 0o755, ..Stamp::default() } }.encode());
    pack
}

/// A page of these paths with what belongs to each, front-coded as it must be.
fn page(tag: u8, items: &[(&[u8], Vec<u8>)]) -> Vec<u8> {
    let count = u32::try_from(items.len()).expect("few");
    let (mut page, mut previous) = ([&[tag][..], &count.to_le_bytes()].concat(), &b""[..]);
    for (path, value) in items {
        let shared = path.iter().zip(previous).take_while(|(left, right)| left == right).count();
        page.extend(codec::encode(&(u16::try_from(shared).expect("short"), path[shared..].to_vec())));
        page.extend_from_slice(value);
        previous = path;
    }
    page
}

fn leaf(items: &[(&'static [u8], Kind)]) -> Vec<u8> {
    let stamp = codec::encode(&Stamp { mode: 0o700, ..Stamp::default() });
    let item = |(path, kind): &(&'static [u8], Kind)| (*path, [&stamp[..], &codec::encode(kind)].concat());
    page(0, &items.iter().map(item).collect::<Vec<_>>())
}

fn branch(items: &[(&'static [u8], PageRef)]) -> Vec<u8> {
    page(1, &items.iter().map(|(path, page)| (*path, codec::encode(page))).collect::<Vec<_>>())
}

fn file(offset: u64, content: &[u8]) -> Kind {
    let size = u64::try_from(content.len()).expect("small");
    Kind::File(FileContent { offset, size, hash: blake3::hash(content).into() })
}

fn symlink_to(target: &str) -> Kind {
    Kind::Symlink { target: target.as_bytes().to_vec() }
}

/// Packs that lead out of their directory, or nowhere, each with what is said of it.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let one = |path: &'static [u8]| pack(b"x", &[leaf(&[(path, file(0, b"x"))])], 1);
    let many = |items: &[(&'static [u8], Kind)]| pack(b"x", &[leaf(items)], u64::try_from(items.len()).expect("few"));
    let itself = PageRef { offset: 1, length: 20 };
    let inner = leaf(&[(b"a", Kind::Directory)]);
    let inner_at = PageRef { offset: 1, length: u32::try_from(inner.len()).expect("small") };
    vec![
        ("'..'", one(b"../escaped")),
        ("'..'", one(b"a/../../escaped")),
        ("'.'", one(b"/tmp/escaped")),
        ("NUL", one(b"a\0b")),
        ("twice", many(&[(b"a", file(0, b"x")), (b"a", symlink_to("/tmp"))])),
        ("not a directory", many(&[(b"a", file(0, b"x")), (b"a/b", file(1, b""))])),
        ("not a directory", many(&[(b"a", file(0, b"x")), (b"b/c", file(1, b""))])),
        ("invalid mode, time or target", many(&[(b"a", symlink_to(""))])),
        ("outside of the contents", pack(b"x", &[leaf(&[(b"a", file(1, b"x"))])], 1)),
        ("entries", pack(b"x", &[leaf(&[(b"a", file(0, b"x"))])], 2)),
        ("entries", pack(b"x", &[leaf(&[(b"a", file(0, b"x")), (b"b", file(1, b""))])], 1)),
        ("does not match the hash", pack(b"x", &[leaf(&[(b"a", file(0, b"y"))])], 1)),
        ("no such place", pack(b"x", &[branch(&[(b"a", itself)])], 1)),
        ("not in order", pack(b"x", &[inner.clone(), branch(&[(b"b", inner_at)])], 1)),
        ("not in order", pack(b"x", &[inner, branch(&[(b"a", inner_at), (b"b", inner_at)])], 2)),
        ("malformed", pack(b"x", &[vec![9; 10]], 1)),
        ("footer", b"no pack at all".to_vec()),
        ("footer", vec![0; 100_000]),
    ]
}

#[tokio::test(start_paused = true)]
async fn hostile_packs_are_refused_and_write_nothing() {
    let world = World::new(14);
    let client = world.client();
    for (number, (says, pack)) in hostile().into_iter().enumerate() {
        let target = directory();
        fs::create_dir(target.path().join("in")).expect("made");
        let link = client.add_bytes(pack).code(CODE).content(Content::Pack).await.expect("added").link;
        let error = client.get(&link).save(target.path().join("in/to")).await.expect_err("hostile");
        assert_eq!(error.kind(), ErrorKind::Integrity, "{number}: {error}");
        assert!(says == "no such place" || error.to_string().contains(says), "{number}: {error}");
        assert_eq!(fs::read_dir(target.path().join("in")).expect("readable").count(), 0, "{number}");
        nothing_else_in(&target, &["in"]);
    }
}

#[tokio::test(start_paused = true)]
async fn symlinks_lead_no_file_elsewhere() {
    let (world, target) = (World::new(14), directory());
    let client = world.client();
    // By the writer, so that all is in order but what "a" is.
    let entry = |at: &str, kind| Entry { path: path(at), stamp: Stamp { mode: 0o777, ..Stamp::default() }, kind };
    let mut writer = PackWriter::new(1);
    writer.push(&entry("a", symlink_to(&target.path().to_string_lossy()))).expect("put");
    writer.push(&entry("a/escaped", file(0, b"x"))).expect("put");
    let index = writer.finish();
    let footer = Footer { content: 1, entries: 2, root: index.root, top: Stamp::default() };
    let pack = [&b"x"[..], &index.pages, &footer.encode()].concat();
    let link = client.add_bytes(pack).code(CODE).content(Content::Pack).await.expect("added").link;
    for at in [None, Some("a")] {
        let get = client.get(&link).overwrite(Overwrite::Replace);
        let get = if let Some(at) = at { get.path(at) } else { get };
        let saved = get.save(target.path().join("to")).await;
        match at {
            None => assert_eq!(saved.expect_err("hostile").kind(), ErrorKind::Integrity),
            Some(_) => assert_eq!(saved.expect("a symlink").entries, Some(1)),
        }
        assert!(!target.path().join("escaped").exists());
    }
}
