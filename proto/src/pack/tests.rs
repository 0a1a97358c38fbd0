//! Packs written and read again, those that nobody should believe, and any bytes at all.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn path(bytes: &[u8]) -> PackPath {
    PackPath::new(bytes).expect("a path")
}

fn directory(at: &str) -> Entry {
    Entry { path: path(at.as_bytes()), stamp: Stamp::default(), kind: Kind::Directory }
}

fn file(at: &str, offset: u64, size: u64) -> Entry {
    let kind = Kind::File(FileContent { offset, size, hash: [7; 32] });
    Entry { path: path(at.as_bytes()), stamp: Stamp { mode: 0o644, seconds: -1, nanos: 5 }, kind }
}

/// An index with its footer, as if the contents were before it.
struct Index {
    bytes: Vec<u8>,
    footer: Footer,
}

impl Index {
    fn write(content: u64, entries: &[Entry], left_out: impl Fn(usize) -> bool) -> (Self, u64) {
        let (mut writer, mut bytes) = (PackWriter::new(content), Vec::new());
        for (number, entry) in entries.iter().enumerate() {
            let put = if left_out(number) { writer.leave_out(entry) } else { writer.push(entry) };
            put.expect("in order");
            bytes.extend(writer.take());
        }
        let PackIndex { pages, root, entries, planned } = writer.finish();
        bytes.extend(pages);
        (Self { bytes, footer: Footer { content, entries, root, top: Stamp::default() } }, planned)
    }

    fn page(&self, at: PageRef) -> Result<Page, PackError> {
        let start = usize::try_from(at.offset - self.footer.content).expect("small");
        Page::decode(&self.bytes[start..start + usize::try_from(at.length).expect("small")])
    }

    /// Every entry, checked as a reader checks it.
    fn read(&self) -> Result<Vec<Entry>, PackError> {
        let (mut check, mut entries) = (EntryCheck::new(&self.footer), Vec::new());
        let mut open = vec![(self.footer.root, 1)];
        while let Some((at, depth)) = open.pop() {
            if depth > limits::PACK_DEPTH {
                return Err(PackError::Depth);
            }
            match self.page(at)? {
                Page::Leaf(leaf) => {
                    for entry in leaf {
                        let entry = entry?;
                        check.check(&entry)?;
                        entries.push(entry);
                    }
                }
                Page::Branch(children) => {
                    let children = children.collect::<Result<Vec<_>, _>>()?;
                    for child in children.iter().rev() {
                        self.footer.check_page(child.page, at)?;
                        open.push((child.page, depth + 1));
                    }
                }
            }
        }
        check.finish().map(|()| entries)
    }

    /// As a reader looks one path up: a page on each level.
    fn find(&self, wanted: &PackPath) -> Option<Entry> {
        let mut at = self.footer.root;
        loop {
            match self.page(at).expect("a page") {
                Page::Leaf(mut entries) => {
                    return entries.find_map(|entry| entry.ok().filter(|entry| entry.path == *wanted));
                }
                Page::Branch(children) => {
                    let before = |child: &Child| child.first <= *wanted;
                    let children: Vec<Child> = children.map(|child| child.expect("a child")).collect();
                    at = children[children.partition_point(before).checked_sub(1)?].page;
                }
            }
        }
    }
}

fn all(_: usize) -> bool {
    false
}

/// Directories and files of any names, with all parents there, in order; files lie one after the other.
fn tree(names: Vec<Vec<u8>>) -> (u64, Vec<Entry>) {
    let mut kinds = BTreeMap::new();
    for path in names.iter().filter_map(|bytes| PackPath::new(bytes.clone()).ok()) {
        let parents = std::iter::successors(path.parent(), PackPath::parent);
        kinds.extend(parents.map(|parent| (parent, true)));
        kinds.entry(path).or_insert(false);
    }
    let mut content = 0;
    let entry = |(path, is_directory): (PackPath, bool)| {
        let size = u64::try_from(path.as_bytes().len()).expect("small");
        let stamp = Stamp { mode: 0o755, seconds: 1_700_000_000, nanos: 999_999_999 };
        let kind = match (is_directory, path.as_bytes().len() % 3) {
            (true, _) => Kind::Directory,
            (false, 0) => Kind::Symlink { target: b"../x".to_vec() },
            (false, _) => {
                content += size;
                Kind::File(FileContent { offset: content - size, size, hash: blake3::hash(path.as_bytes()).into() })
            }
        };
        Entry { path, stamp, kind }
    };
    let entries = kinds.into_iter().map(entry).collect();
    (content, entries)
}

fn names(most: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let name = prop_oneof!["[a-c]{1,2}".prop_map(String::into_bytes), prop::collection::vec(1u8.., 1..4)];
    let path = prop::collection::vec(name, 1..6).prop_map(|parts| parts.join(&b'/'));
    prop::collection::vec(path, 0..most)
}

#[test]
fn footers_round_trip_and_fit() {
    let root = PageRef { offset: 100, length: 50 };
    let footer = Footer { content: 90, entries: 3, root, top: Stamp { mode: 0o755, seconds: 9, nanos: 1 } };
    let bytes = footer.encode();
    assert_eq!(bytes.len(), Footer::LEN);
    assert_eq!(Footer::decode(&bytes, 150 + 58), Ok(footer));
    assert_eq!(Footer::decode(&bytes, 149 + 58), Err(PackError::Footer));
    assert_eq!(Footer::decode(&bytes, 10), Err(PackError::Footer));
    assert_eq!(Footer::decode(&bytes[1..], 1000), Err(PackError::Footer));
    let refuse = |footer: Footer| assert_eq!(Footer::decode(&footer.encode(), u64::MAX), Err(PackError::Footer));
    refuse(Footer { content: 101, ..footer });
    refuse(Footer { entries: limits::PACK_ENTRIES + 1, ..footer });
    refuse(Footer { root: PageRef { length: 0, ..root }, ..footer });
    refuse(Footer { root: PageRef { length: 65_537, ..root }, ..footer });
    refuse(Footer { root: PageRef { offset: u64::MAX - 10, ..root }, ..footer });
    refuse(Footer { top: Stamp { mode: 0o10000, ..footer.top }, ..footer });
    refuse(Footer { top: Stamp { nanos: 1_000_000_000, ..footer.top }, ..footer });
}

#[test]
fn pages_are_full_and_nothing_else_is_in_the_index() {
    let entries: Vec<Entry> = (0..20_000).map(|number| file(&format!("name-{number:06}"), 0, 0)).collect();
    let (index, planned) = Index::write(0, &entries, all);
    assert_eq!(u64::try_from(index.bytes.len()), Ok(planned));
    assert_eq!(index.read().as_deref(), Ok(&entries[..]));
    let per_entry = index.bytes.len() / entries.len();
    assert!((60..80).contains(&per_entry), "{per_entry} bytes an entry");
}

#[test]
fn the_deepest_tree_is_narrow_enough() {
    // A chain as deep as paths can be, beside another whose paths share nothing with it: each page names both.
    let chain = |name: &str| {
        let deepest = [name; 16_000].join("/");
        (1..=16_000).map(move |depth| directory(&deepest[..depth * 2 - 1])).collect::<Vec<_>>()
    };
    let entries = [chain("a"), chain("b")].concat();
    let (index, planned) = Index::write(0, &entries, all);
    assert_eq!(u64::try_from(index.bytes.len()), Ok(planned));
    assert_eq!(index.read().as_ref().map(Vec::len), Ok(32_000));
    for entry in [&entries[0], &entries[15_999], &entries[16_000], &entries[31_999]] {
        assert_eq!(index.find(&entry.path).as_ref(), Some(entry));
    }
}

#[test]
fn an_empty_directory_is_a_pack() {
    let (index, planned) = Index::write(0, &[], all);
    assert_eq!((index.read(), planned), (Ok(vec![]), 5));
    let (index, planned) = Index::write(9, &[file("a", 0, 9)], |_| true);
    assert_eq!(index.read(), Ok(vec![]));
    assert!(planned > 5 && index.bytes.len() == 5);
    let many: Vec<Entry> = (0..5_000).map(|number| file(&format!("{number:05}"), 0, 0)).collect();
    assert_eq!(Index::write(0, &many, |_| true).0.read(), Ok(vec![]));
}

#[test]
fn what_is_no_directory_s_list_is_refused() {
    // By hand: the writer would not write most of these.
    let check = |entries: &[Entry], expect: PackError| {
        let footer =
            Footer { content: 100, entries: 3, root: PageRef { offset: 100, length: 1 }, top: Stamp::default() };
        let mut check = EntryCheck::new(&footer);
        let result = entries.iter().try_for_each(|entry| check.check(entry)).and_then(|()| check.finish());
        assert_eq!(result, Err(expect));
    };
    let link = |at: &str| Entry { kind: Kind::Symlink { target: b"/etc".to_vec() }, ..directory(at) };
    check(&[directory("b"), directory("a")], PackError::Order(path(b"a")));
    check(&[directory("a"), link("a")], PackError::Order(path(b"a")));
    check(&[file("a/b", 0, 1)], PackError::Parent(path(b"a/b")));
    check(&[file("a", 0, 1), file("a/b", 1, 1)], PackError::Parent(path(b"a/b")));
    check(&[link("a"), file("a/b", 1, 1)], PackError::Parent(path(b"a/b")));
    check(&[directory("a"), directory("a/b"), file("ab/c", 0, 1)], PackError::Parent(path(b"ab/c")));
    check(&[directory("a"), file("a/b/c", 0, 1)], PackError::Parent(path(b"a/b/c")));
    check(&[file("a", 0, 101)], PackError::Bytes(path(b"a")));
    check(&[file("a", u64::MAX, 2)], PackError::Bytes(path(b"a")));
    check(&[file("a", 0, 5), file("b", 4, 5)], PackError::Bytes(path(b"b")));
    check(&[file("a", 0, 1)], PackError::Count { want: 3 });
    let many = ["a", "b", "c", "d"].map(directory);
    check(&many, PackError::Count { want: 3 });
}

#[test]
fn a_check_may_begin_in_the_middle() {
    let footer = Footer { content: 9, entries: 9, root: PageRef { offset: 9, length: 1 }, top: Stamp::default() };
    let from = |at: &[u8]| EntryCheck::from(&footer, &path(at));
    assert_eq!(from(b"a/b/c").check(&file("a/b/c", 0, 1)), Ok(()));
    assert_eq!(from(b"a").check(&file("a", 0, 1)), Ok(()));
    assert_eq!(from(b"a/b").check(&file("a/b/c", 0, 1)), Err(PackError::Parent(path(b"a/b/c"))));
    let mut check = from(b"a/b");
    assert_eq!(check.check(&directory("a/b")), Ok(()));
    assert_eq!(check.check(&file("a/b/c", 0, 1)), Ok(()));
    assert_eq!(check.check(&file("a/c", 1, 1)), Ok(()));
}

/// A page of these items, by hand.
fn page_bytes(items: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(items.len()).expect("few").to_le_bytes());
    for (shared, rest) in items {
        bytes.extend(shared.to_le_bytes());
        bytes.extend(u32::try_from(rest.len()).expect("few").to_le_bytes());
        bytes.extend_from_slice(rest);
        bytes.extend(crate::codec::encode(&Stamp::default()));
        bytes.push(0);
    }
    bytes
}

#[test]
fn hostile_pages_are_refused() {
    let read = |items: &[(u16, &[u8])]| match Page::decode(&page_bytes(items)) {
        Ok(Page::Leaf(entries)) => entries.collect::<Result<Vec<_>, _>>(),
        other => panic!("no leaf: {other:?}"),
    };
    assert_eq!(read(&[(0, b"ab"), (1, b"c"), (0, b"b/c")]).map(|entries| entries.len()), Ok(3));
    let path_error = |items: &[(u16, &[u8])]| assert!(matches!(read(items), Err(PackError::Path(_))), "{items:?}");
    for bytes in [&b""[..], b"..", b"../a", b"/etc/passwd", b"a/../../b", b"a\0b", b"a//b", b"a/", &[b'x'; 256]] {
        path_error(&[(0, bytes)]);
    }
    assert_eq!(read(&[(1, b"a")]), Err(PackError::Page), "shares with nothing");
    assert_eq!(read(&[(0, b"ab"), (3, b"c")]), Err(PackError::Page), "shares more than there is");
    assert_eq!(read(&[(0, b"ab"), (0, b"ac")]), Err(PackError::Page), "shares less than it could");
    assert!(matches!(read(&[(0, b"b"), (0, b"a")]), Err(PackError::Order(_))));
    assert_eq!(read(&[(0, b"a"), (1, b"")]), Err(PackError::Order(path(b"a"))));
    assert!(Page::decode(&[page_bytes(&[]), vec![0]].concat()).is_err());
    assert!(Page::decode(&[2, 0, 0, 0, 0]).is_err());
    assert!(Page::decode(&vec![0; limits::PACK_PAGE + 1]).is_err());
    let mut claims = page_bytes(&[]);
    claims[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(Page::decode(&claims).is_err());
}

#[test]
fn pages_lie_before_the_page_that_names_them() {
    let footer = Footer { content: 100, entries: 1, root: PageRef { offset: 200, length: 10 }, top: Stamp::default() };
    let check = |offset, length| footer.check_page(PageRef { offset, length }, footer.root);
    assert_eq!(check(100, 100), Ok(()));
    for (offset, length) in [(99, 10), (100, 101), (200, 10), (210, 1), (100, 0), (u64::MAX, 10)] {
        assert_eq!(check(offset, length), Err(PackError::Place { offset }));
    }
}

#[test]
fn values_out_of_bounds_are_refused_on_both_sides() {
    let bad = [
        Entry { stamp: Stamp { mode: 0o10000, ..Stamp::default() }, ..directory("a") },
        Entry { stamp: Stamp { nanos: 1_000_000_000, ..Stamp::default() }, ..directory("a") },
        Entry { kind: Kind::Symlink { target: vec![] }, ..directory("a") },
        Entry { kind: Kind::Symlink { target: vec![b'x'; 4_097] }, ..directory("a") },
        Entry { kind: Kind::Symlink { target: b"a\0b".to_vec() }, ..directory("a") },
    ];
    for entry in bad {
        assert_eq!(PackWriter::new(0).push(&entry), Err(PackError::Value(path(b"a"))));
    }
    let mut writer = PackWriter::new(0);
    writer.push(&directory("b")).expect("the first");
    assert_eq!(writer.push(&directory("a")), Err(PackError::Order(path(b"a"))));
    let mut bytes = page_bytes(&[(0, b"a")]);
    let mode = bytes.len() - 15;
    bytes[mode + 1] = 0xff;
    let Ok(Page::Leaf(mut entries)) = Page::decode(&bytes) else { panic!("a leaf") };
    assert_eq!(entries.next(), Some(Err(PackError::Value(path(b"a")))));
    assert_eq!(entries.next(), None);
}

#[test]
fn stamps_are_fourteen_bytes_within_bounds() {
    let check = |mode, nanos, is_valid: bool| {
        let stamp = Stamp { mode, seconds: -1, nanos };
        assert_eq!(Stamp::decode(&stamp.encode()), is_valid.then_some(stamp), "{mode:o} {nanos}");
    };
    check(0o7777, 999_999_999, true);
    check(0o10000, 0, false);
    check(0o644, 1_000_000_000, false);
    check(u16::MAX, u32::MAX, false);
    let bytes = Stamp::default().encode();
    assert_eq!((Stamp::decode(&bytes[1..]), Stamp::decode(&[&bytes[..], &[0]].concat())), (None, None));
    assert_eq!(Stamp::decode(&[]), None);
}

proptest! {
    #[test]
    fn what_decodes_as_a_stamp_is_its_encoding(bytes: [u8; Stamp::LEN]) {
        match Stamp::decode(&bytes) {
            Some(stamp) => prop_assert_eq!(stamp.encode(), bytes),
            None => prop_assert!(bytes[1] >= 0x10 || bytes[10..] != [0; 4]),
        }
    }

    #[test]
    fn stamps_round_trip(mode in 0..0o10000u16, seconds: i64, nanos in 0..1_000_000_000u32) {
        let stamp = Stamp { mode, seconds, nanos };
        prop_assert_eq!(Stamp::decode(&stamp.encode()), Some(stamp));
    }

    #[test]
    fn what_is_written_is_read(names in names(400)) {
        let (content, entries) = tree(names);
        let (index, planned) = Index::write(content, &entries, all);
        prop_assert_eq!(u64::try_from(index.bytes.len()).expect("small"), planned);
        prop_assert_eq!(index.read(), Ok(entries.clone()));
        for entry in entries.iter().step_by(entries.len() / 20 + 1) {
            prop_assert_eq!(index.find(&entry.path), Some(entry.clone()));
            let absent = path(&[entry.path.as_bytes(), b"\x01"].concat());
            let there = entries.iter().find(|entry| entry.path == absent);
            prop_assert_eq!(index.find(&absent), there.cloned());
        }
    }

    #[test]
    fn what_is_left_out_makes_nothing_longer(names in names(500), seed: u64) {
        let (content, entries) = tree(names);
        let (_, announced) = Index::write(content, &entries, all);
        let is_file = |number: usize| matches!(entries[number].kind, Kind::File(_));
        let chance = |number: usize| {
            let number = u64::try_from(number).expect("small");
            blake3::hash(&[seed, number].map(u64::to_le_bytes).concat()).as_bytes()[0]
        };
        let left_out = |number: usize| is_file(number) && chance(number) < 100;
        let (index, planned) = Index::write(content, &entries, left_out);
        prop_assert_eq!(planned, announced);
        prop_assert!(u64::try_from(index.bytes.len()).expect("small") <= announced);
        let kept = entries.iter().enumerate().filter(|(at, _)| !left_out(*at)).map(|(_, entry)| entry.clone());
        prop_assert_eq!(index.read(), Ok(kept.collect()));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        names in names(50),
        at: usize,
        with: u8,
    ) {
        let drain = |bytes: &[u8]| match Page::decode(bytes) {
            Ok(Page::Leaf(entries)) => entries.count(),
            Ok(Page::Branch(children)) => children.count(),
            Err(_) => 0,
        };
        drain(&bytes);
        let _ = Footer::decode(&bytes, u64::MAX);
        let (content, entries) = tree(names);
        let (mut index, _) = Index::write(content, &entries, all);
        let at = at % index.bytes.len();
        index.bytes[at] ^= with;
        let _ = index.read();
        let _ = PackPath::new(bytes.clone());
        escape(&bytes);
    }
}
