//! What no Rust here does, besides what clippy checks (clippy.toml): put work off in a comment, choose at random.

use ostrakon_tests::source::{self, Source, scan::words};

use crate::assert_clean;

/// Marks of unfinished work in comments.
fn nothing_put_off(file: &Source) -> Vec<String> {
    let comments: Vec<char> = file.comments.chars().collect();
    let marks = ["TODO", "FIXME", "XXX", "HACK"].into_iter();
    let found = marks.flat_map(|mark| words(&comments, mark).into_iter().map(move |at| (at, mark)));
    found.map(|(at, mark)| file.breach(at, &format!("{mark}: finish it, or write it into the plan"))).collect()
}

/// A `select!` without `biased` polls in random order: the simulator could not replay it.
fn selects_in_order(file: &Source) -> Vec<String> {
    let random = |at: usize| {
        let rest: String = file.code[at..].iter().take(200).collect();
        let body = rest.strip_prefix("select!")?.trim_start().trim_start_matches(['{', '(']).trim_start();
        (!body.starts_with("biased;")).then(|| file.breach(at, "select! without `biased;`"))
    };
    words(&file.code, "select").into_iter().filter_map(random).collect()
}

/// The rule catches each of `bad`, lets `good` pass, and the repository holds it.
fn hold(rule: fn(&Source) -> Vec<String>, bad: &[&str], good: &str) {
    for text in bad {
        assert!(!rule(&Source::new("node/src/lib.rs", text)).is_empty(), "the rule does not catch {text:?}");
    }
    assert_clean(&rule(&Source::new("node/src/lib.rs", good)));
    assert_clean(&source::all().iter().flat_map(rule).collect::<Vec<_>>());
}

#[test]
fn nothing_is_put_off() {
    hold(nothing_put_off, &["// TODO: later", "/* FIXME */", "/// XXX"], "let s = \"TODO\"; // todos are fine");
}

#[test]
fn selects_are_biased() {
    let bad = ["tokio::select! { a = b => {} }", "select! {\n  // biased;\n  a = b => {} }"];
    hold(selects_in_order, &bad, "tokio::select! {\n    // in order\n    biased;\n    a = b => {}\n}\nx.select(1);");
}
