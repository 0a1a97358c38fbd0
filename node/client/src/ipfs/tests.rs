//! Trees beside those of another implementation, and archives that are wrong.

use std::{fs, io::Cursor, path::Path};

use proptest::prelude::*;
use tokio::io::AsyncReadExt as _;

use super::{car::car_header, *};

const MIB: u64 = 1024 * 1024;

/// Bytes whose leaves differ.
fn file(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from(at % 251).expect("below 251")).collect()
}

/// What ipfs-unixfs-importer 17.1.1 makes of these, with leaves of 1 MiB and 1,024 links.
#[test]
fn roots_are_those_of_another_implementation() {
    for (size, root) in [
        (0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
        (1, "bafkreidogqfzz75tpkmjzjke425xqcrmpcib2p5tg44hnbirumdbpl5adu"),
        (1_048_576, "bafkreidddocae7lltzjlkooe5a3tmiwsgazn7logjvqk7bzttsidpzhxne"),
        (1_048_577, "bafybeidjogjfwuhbzwopgd4bn3skcf5m6oz72xshywcndzxgqb623nfclu"),
        (2_621_440, "bafybeifinki7tqtym6homrgnvjpht4b3whugvhtbgejlxvsgdlevzn7b3a"),
    ] {
        let tree = Tree::of(&file(size)).expect("small");
        assert_eq!(tree.root().to_string(), root, "{size} bytes");
        assert_eq!(file_name(tree.size(), &tree.root_hash()), tree.root());
    }
    let (zeroes, rest) = (Tree::of(&file(0)[..]).expect("empty"), vec![0; LEAF]);
    assert_eq!(zeroes.leaves().len(), 1);
    let full = Tree::of(&rest).expect("a leaf").root_hash();
    for (leaves, last, root) in [
        (3, None, "bafybeigdsjup7aizxrrjn7yqtcmqg6ffksaugwr7is2ind3cf7esaqrz4m"),
        (1024, None, "bafybeibqawkaltgjfdebq4no6nmfcvkcw7k52xqzclkwfmrkn6oxw7srmy"),
        (1024, Some(&[0][..]), "bafybeigx4uyebjbq65346xh6cjrt6yshbdudzudhnqecwbzvymslxj7gje"),
        (1025, None, "bafybeigt7wofv4vnxbg3titijasuw4ptg5kfztec4smsk7opdt7z6djoxq"),
    ] {
        let mut hashes = vec![full; leaves];
        hashes.extend(last.map(|last| Tree::of(last).expect("small").root_hash()));
        let size = u64::try_from(leaves).expect("few") * MIB + last.map_or(0, |last| last.len() as u64);
        assert_eq!(Tree::new(size, hashes).expect("in range").root().to_string(), root, "{size} bytes");
    }
    assert!(Tree::new(MIB + 1, vec![full]).is_none());
    assert!(leaf_count(16 * 1024 * MIB).is_some() && leaf_count(16 * 1024 * MIB + 1).is_none());
}

#[test]
fn blocks_are_found_and_cover_what_is_read() {
    let tree =
        Tree::new(1025 * MIB, (0..1025_u32).map(|number| [number.to_le_bytes()[0]; 32]).collect()).expect("a tree");
    assert_eq!(tree.nodes().count(), 3);
    let all = tree.blocks(tree.top(), &(0..tree.size()));
    assert_eq!(all.len(), 1025 + 3);
    for block in &all {
        let hash = block_name(&block.name().to_string()).expect("a name").1;
        let found = tree.find(&hash).and_then(|spot| tree.block(spot)).expect("it is there");
        assert_eq!((found.name(), found.size()), (block.name(), block.size()));
    }
    let some = |range| tree.blocks(tree.top(), &range).len();
    // The root, the second node, and its only leaf; then both nodes with a leaf each; then only the root.
    assert_eq!((some(1024 * MIB..1024 * MIB + 1), some(1024 * MIB - 1..1024 * MIB + 1), some(5..5)), (3, 5, 1));
    assert!(tree.find(&[7; 32]).is_some() && tree.find(&[0xAA; 32]) != tree.find(&[0xAB; 32]));
}

#[test]
fn names_of_other_kinds_are_refused() {
    assert_eq!(
        block_name("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n").expect("version 0").0.version(),
        cid::Version::V1
    );
    for name in ["", "bafy", "photos", "bafkqaaa", "bafk2bzaceaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        assert!(block_name(name).is_err(), "{name}");
    }
}

async fn exported(path: &Path, bytes: &[u8]) -> Exported {
    let file = tokio::fs::File::create(path).await.expect("created");
    let export = CarExport::new(file, bytes.len() as u64).expect("small");
    export.write(Cursor::new(bytes)).await.expect("written")
}

#[tokio::test]
async fn an_archive_is_read_back_and_a_changed_byte_is_found() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("file.car");
    for size in [0, 1, LEAF, 2 * LEAF + 12_345] {
        let bytes = file(size);
        let done = exported(&path, &bytes).await;
        let archive = fs::read(&path).expect("read");
        assert_eq!((done.archive, done.size), (archive.len() as u64, size as u64));
        assert!(archive.starts_with(&car_header(&done.root)));
        let read = CarFile::open(&path).expect("valid");
        assert_eq!((read.root(), read.size()), (done.root, size as u64));
        let mut back = Vec::new();
        read.read().read_to_end(&mut back).await.expect("read");
        assert!(back == bytes, "{size} bytes");
        // Every byte of the beginning and the end, and some between.
        let last = archive.len() - 1;
        for at in (0..archive.len().min(300)).chain([archive.len() / 2, last]) {
            let mut wrong = archive.clone();
            wrong[at] ^= 1;
            fs::write(&path, &wrong).expect("written");
            assert!(CarFile::open(&path).is_err(), "{size} bytes: byte {at} changed");
        }
        for length in [0, 1, 58, 59, last] {
            fs::write(&path, &archive[..length]).expect("written");
            assert!(CarFile::open(&path).is_err(), "{size} bytes: {length} of the archive");
        }
    }
}

/// Sections in any order, and a leaf that is there once and used twice.
#[tokio::test]
async fn archives_of_others_are_read_where_they_are_of_the_profile() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("file.car");
    let (full, end) = (vec![0; LEAF], vec![1; 10]);
    let tree = Tree::of(&[&full[..], &full, &end].concat()).expect("small");
    let section = |name: Cid, bytes: &[u8]| [&section_head(&name, bytes.len() as u64)[..], bytes].concat();
    let Some(Block::Node(hash, node)) = tree.block(tree.top()) else { panic!("a node") };
    let (leaf, last) = (raw_name(&tree.leaves()[0]), raw_name(&tree.leaves()[2]));
    let sections = [section(last, &end), section(leaf, &full), section(node_name(&hash), &node)];
    fs::write(&path, [&car_header(&tree.root())[..], &sections.concat()].concat()).expect("written");
    let mut back = Vec::new();
    CarFile::open(&path).expect("valid").read().read_to_end(&mut back).await.expect("read");
    assert_eq!(back.len(), 2 * LEAF + 10);
    // Without a leaf; with another root; of other leaves.
    let refused = |bytes: Vec<u8>| {
        fs::write(&path, bytes).expect("written");
        CarFile::open(&path).expect_err("refused")
    };
    let missing = refused([&car_header(&tree.root())[..], &sections[0], &sections[2]].concat());
    assert!(matches!(missing, CarError::Missing(name) if name == leaf), "{missing}");
    let other = refused([&car_header(&leaf)[..], &sections[0]].concat());
    assert!(matches!(other, CarError::Missing(_)), "{other}");
    let half = Tree::of(&full[..LEAF / 2]).expect("small").root_hash();
    let halves = Tree::new(2 * MIB, vec![half, half]).expect("as if they were whole");
    let Some(Block::Node(hash, node)) = halves.block(halves.top()) else { panic!("a node") };
    let halves = [section(node_name(&hash), &node), section(raw_name(&half), &full[..LEAF / 2])];
    let profile = refused([&car_header(&node_name(&hash))[..], &halves.concat()].concat());
    assert!(matches!(profile, CarError::Profile(_)), "{profile}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Leaves do not depend on the pieces that bytes come in.
    #[test]
    fn leaves_are_of_the_bytes_alone(size in 0..3 * LEAF, piece in 1..2 * LEAF) {
        let bytes = file(size);
        let mut leaves = Leaves::new();
        bytes.chunks(piece).for_each(|piece| leaves.update(piece));
        let tree = Tree::of(&bytes).expect("small");
        prop_assert_eq!(leaves.finish(), tree.leaves());
    }
}
