//! What no Rust here does, besides what clippy checks (clippy.toml): put work off in a comment, choose at random, name
//! the flags of a program that it is not.

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

/// Code that is part of a program's command line: it may name the program's flags.
const COMMAND_LINES: [&str; 2] = ["cli/", "node/src/daemon/"];

/// A flag in a text of a library, which may be shown by another program.
fn no_flags(file: &Source) -> Vec<String> {
    let is_library =
        ["proto", "node/net", "node/transfer", "node/client", "node/gateway", "node"].contains(&file.package());
    if !is_library || COMMAND_LINES.iter().any(|start| file.path.starts_with(start)) {
        return vec![];
    }
    let (code, shipped): (String, String) = (file.code.iter().collect(), file.shipped.iter().collect());
    let (mut comments, mut codes, mut shippeds) = (file.comments.lines(), code.lines(), shipped.lines());
    let mut breaches = Vec::new();
    for (number, text) in file.text.lines().enumerate() {
        let [comment, code, shipped] = [comments.next(), codes.next(), shippeds.next()].map(Option::unwrap_or_default);
        let is_test = !code.trim().is_empty() && shipped.trim().is_empty();
        let flag = text.split("--").skip(1).any(|rest| rest.starts_with(|char: char| char.is_ascii_lowercase()));
        if flag && !is_test && comment.trim().is_empty() && !code.contains("--") {
            breaches.push(format!("{}:{}: a library names no flags: give its error a hint", file.path, number + 1));
        }
    }
    breaches
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

#[test]
fn libraries_name_no_flags() {
    hold(no_flags, &["let hint = \"say --force\";"], "/// As --force.\nlet line = \"a -- b\"; // --force");
}
