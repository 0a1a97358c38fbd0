//! What no shipped Rust does: panic in passing, grow without bound, choose by luck, leave work lying about.

use crate::{
    assert_clean,
    scan::words,
    source::{self, Source},
};

/// `unwrap` does not say why it cannot fail; `expect` does.
fn no_unwrap(file: &Source) -> Vec<String> {
    let calls = words(&file.shipped, "unwrap").into_iter();
    calls.map(|at| file.breach(at, "unwrap() outside of tests: `expect` says why it cannot fail")).collect()
}

fn no_unbounded_channels(file: &Source) -> Vec<String> {
    let why = "a channel without bound is memory that a stranger can grow";
    let text: String = file.shipped.iter().collect();
    let mut breaches = file.ban(&["unbounded_channel", "unbounded", "UnboundedSender", "UnboundedReceiver"], why);
    for (number, line) in text.lines().enumerate() {
        if line.contains("std::sync::mpsc::channel") || line.contains("sync::mpsc::{channel") {
            breaches.push(format!("{}:{}: {why}", file.path, number + 1));
        }
    }
    breaches
}

/// `dbg!` and `todo!` in code, tests included.
fn nothing_left_lying(file: &Source) -> Vec<String> {
    let is_macro = |at: &usize, name: &str| file.code.get(at + name.len()) == Some(&'!');
    let found = ["dbg", "todo", "unimplemented"].into_iter().flat_map(|name| {
        let calls = words(&file.code, name).into_iter().filter(move |at| is_macro(at, name));
        calls.map(move |at| file.breach(at, &format!("{name}! was left behind"))).collect::<Vec<_>>()
    });
    found.collect()
}

/// Marks of unfinished work in comments.
fn nothing_put_off(file: &Source) -> Vec<String> {
    let comments: Vec<char> = file.comments.chars().collect();
    let marks = ["TODO", "FIXME", "XXX", "HACK"].into_iter();
    let found = marks.flat_map(|mark| words(&comments, mark).into_iter().map(move |at| (at, mark)));
    found.map(|(at, mark)| file.breach(at, &format!("{mark}: finish it, or write it into the plan"))).collect()
}

/// A `select!` without `biased` polls in random order: the simulator could not replay it.
fn selects_in_order(file: &Source) -> Vec<String> {
    let luck = |at: usize| {
        let rest: String = file.code[at..].iter().take(200).collect();
        let body = rest.strip_prefix("select!")?.trim_start().trim_start_matches(['{', '(']).trim_start();
        (!body.starts_with("biased;")).then(|| file.breach(at, "select! without `biased;`"))
    };
    words(&file.code, "select").into_iter().filter_map(luck).collect()
}

/// A process ends by returning from `main`, so that everything is dropped in order.
fn ends_by_returning(file: &Source) -> Vec<String> {
    let text: String = file.shipped.iter().collect();
    let numbered = text.lines().enumerate();
    let found = numbered.filter(|(_, line)| line.contains("process::exit") || line.contains("process::abort"));
    found.map(|(number, _)| format!("{}:{}: ends the process in the middle", file.path, number + 1)).collect()
}

/// A lint is switched off for a reason, and the reason stands there.
fn lints_are_off_for_a_reason(file: &Source) -> Vec<String> {
    let silent = |(at, attribute): (usize, &str)| {
        let (from, chars) = (at + attribute.len(), &file.shipped);
        if at == 0 || ![Some(&'['), Some(&'!')].contains(&chars.get(at - 1)) || chars.get(from) != Some(&'(') {
            return None;
        }
        let end = crate::scan::closing(chars, from)?;
        let inside: String = chars[from..end].iter().collect();
        (!inside.contains("reason =")).then(|| file.breach(at, &format!("#[{attribute}(..)] without `reason = ..`")))
    };
    let found = ["allow", "expect"]
        .into_iter()
        .flat_map(|name| words(&file.shipped, name).into_iter().map(move |at| (at, name)));
    found.filter_map(silent).collect()
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
fn nothing_unwraps() {
    let good =
        "/// unwrap\nfn f() { x.unwrap_or(1); \"unwrap()\"; }\n#[cfg(test)]\nmod tests { fn g() { x.unwrap(); } }";
    hold(no_unwrap, &["fn f() { x.unwrap(); }", "let a = b.map(Option::unwrap);"], good);
}

#[test]
fn channels_are_bounded() {
    let bad = ["mpsc::unbounded_channel()", "futures::channel::mpsc::unbounded()", "std::sync::mpsc::channel()"];
    hold(no_unbounded_channels, &bad, "mpsc::channel(8); // unbounded\nstd::sync::mpsc::sync_channel(8);");
}

#[test]
fn nothing_is_left_lying() {
    hold(nothing_left_lying, &["dbg!(x)", "fn f() { todo!() }", "unimplemented!()"], "let todo = 1; \"dbg!\";");
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
fn processes_end_by_returning() {
    hold(ends_by_returning, &["std::process::exit(1)", "process::abort()"], "fn main() -> ExitCode { exit() }");
}

#[test]
fn lints_go_off_with_a_reason() {
    let good = "#[allow(clippy::x, reason = \"why\")]\n#![expect(a, reason = \"b\")]\nfn f() { x.expect(\"why\"); }";
    hold(lints_are_off_for_a_reason, &["#[allow(dead_code)]", "#![allow(unused)]", "#[expect(unused)]"], good);
}
