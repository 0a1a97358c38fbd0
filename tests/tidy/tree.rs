//! The repository as a whole: what lies at its top, that its pages name targets that `make` has, and that no path of
//! one machine is in it.

use std::collections::BTreeSet;

use ostrakon_tests::source::{MADE, entries, paths, read, relative, top};

use crate::assert_clean;

/// What may lie at the top.
const TOP: [&str; 18] = [
    ".ci",
    ".gitignore",
    ".rustfmt.toml",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "benches",
    "cli",
    "clippy.toml",
    "deny.toml",
    "examples",
    "node",
    "proto",
    "tests",
];

fn only_known(names: &[String]) -> Vec<String> {
    let known = |name: &&String| !TOP.contains(&name.as_str()) && !MADE.contains(&name.as_str());
    names.iter().filter(known).map(|name| format!("{name}: may not lie at the top")).collect()
}

/// Every `make x` in the code of a page: what stands between backticks, one or three.
fn promised(page: &str) -> BTreeSet<String> {
    let code = page.split('`').skip(1).step_by(2);
    let words: Vec<Vec<&str>> = code.map(|code| code.split_whitespace().collect()).collect();
    let pairs = words.iter().flat_map(|words| words.windows(2));
    pairs.filter(|pair| pair[0] == "make").map(|pair| pair[1].to_owned()).collect()
}

fn targets(makefile: &str) -> BTreeSet<String> {
    let rules = makefile.lines().filter(|line| !line.starts_with(['\t', ' ', '#', '.']));
    rules
        .filter_map(|line| line.split_once(':'))
        .filter(|(_, rest)| !rest.starts_with('='))
        .map(|(name, _)| name.into())
        .collect()
}

fn keeps_its_promises(page: &str, makefile: &str) -> Vec<String> {
    let made = targets(makefile);
    let broken = promised(page).into_iter().filter(|name| !made.contains(name));
    broken.map(|name| format!("README.md promises `make {name}`, which the Makefile does not have")).collect()
}

/// Paths that exist on one machine only. The first half stands apart so that this file does not name them itself.
fn shows_a_machine(path: &str, text: &str) -> Vec<String> {
    let places = ["home", "root", "work", "Users"].map(|place| format!("/{place}/"));
    let starts = |line: &str, place: &String| {
        let inside = |at: usize| line[..at].ends_with(|char: char| char.is_alphanumeric() || "._-/~}".contains(char));
        line.match_indices(place.as_str()).any(|(at, _)| !inside(at))
    };
    let shown = |(_, line): &(usize, &str)| places.iter().any(|place| starts(line, place));
    let lines = text.lines().enumerate().filter(shown);
    lines.map(|(number, line)| format!("{path}:{}: a path of one machine: {}", number + 1, line.trim())).collect()
}

#[test]
fn the_top_has_only_known() {
    assert_eq!(only_known(&["proto".into(), "notes.txt".into(), ".git".into()]).len(), 1);
    let names: Vec<String> = entries(&top()).iter().map(|path| relative(path)).collect();
    assert_clean(&only_known(&names));
}

#[test]
fn the_page_promises_what_the_makefile_has() {
    let makefile = "A := b\nall: setup\n\techo make: x\ntest-long: all\n";
    assert_eq!(keeps_its_promises("run `make all` or `make test-long`; they make progress\n", makefile).len(), 0);
    assert_eq!(keeps_its_promises("```\nmake demo\n```\n", makefile).len(), 1);
    assert_clean(&keeps_its_promises(&read(&top().join("README.md")), &read(&top().join("Makefile"))));
}

#[test]
fn no_machine_shows_through() {
    let place = format!("see /{}/me/x", "home");
    assert_eq!(shows_a_machine("x", &place).len(), 1);
    assert_eq!(shows_a_machine("x", "https://example.org/home/x ~/work/y").len(), 0);
    let text = |name: &str| ![".lock", ".png", ".bin"].iter().any(|end| name.ends_with(end));
    let files = paths(&top(), &text);
    let breaches = files.iter().filter_map(|path| Some((path, std::fs::read_to_string(path).ok()?)));
    assert_clean(&breaches.flat_map(|(path, text)| shows_a_machine(&relative(path), &text)).collect::<Vec<_>>());
}
