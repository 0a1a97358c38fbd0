//! One name, one type: no two types of a crate that are visible across it have the same name.

use std::collections::BTreeMap;

use ostrakon_tests::source::{
    self, Source,
    scan::{is_word, words},
};

use crate::assert_clean;

const KINDS: [&str; 4] = ["struct", "enum", "trait", "type"];

/// The types of a file that the whole crate or others can see, each with where its name begins.
fn public_types(file: &Source) -> Vec<(String, usize)> {
    let public = |at: usize| {
        let before: String = file.shipped[..at].iter().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect();
        let before = before.trim_end();
        before.ends_with("pub") || before.ends_with("pub(crate)")
    };
    let named = |(at, kind): (usize, &str)| {
        let name = file.shipped[at + kind.len()..].iter().skip(1).take_while(|char| is_word(**char));
        (name.collect(), at)
    };
    let found = KINDS.into_iter().flat_map(|kind| words(&file.shipped, kind).into_iter().map(move |at| (at, kind)));
    found.filter(|(at, _)| public(*at)).map(named).collect()
}

/// The crate of a file: its package, or of the benchmarks their program.
fn crate_of(file: &Source) -> &str {
    let package = file.package();
    let program = file.path.match_indices('/').nth(1).map(|(end, _)| &file.path[..end]);
    if package == "benches" { program.unwrap_or(package) } else { package }
}

fn one_of_each(files: &[Source]) -> Vec<String> {
    let mut places: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
    for file in files {
        for (name, at) in public_types(file) {
            let place = file.breach(at, "").trim_end_matches([' ', ':']).to_owned();
            places.entry((crate_of(file), name)).or_default().push(place);
        }
    }
    let twice = places.into_iter().filter(|(_, places)| places.len() > 1);
    twice.map(|((package, name), places)| format!("{package}: `{name}` is at {}", places.join(", "))).collect()
}

#[test]
fn no_two_public_types_have_one_name() {
    let file = |path, text| Source::new(path, text);
    let bad = [file("a/src/x.rs", "pub struct Kept;"), file("a/src/y.rs", "pub(crate) enum Kept {}")];
    assert_eq!(one_of_each(&bad).len(), 1);
    let good = [
        file("a/src/x.rs", "pub struct Kept; struct Part; impl X for Y { type Part = u8; }"),
        file("b/src/x.rs", "pub struct Kept; pub(super) struct Part;\n#[cfg(test)]\nmod tests { pub struct Kept; }"),
    ];
    assert_clean(&one_of_each(&good));
    assert_clean(&one_of_each(&source::all()));
}
