//! How a file looks: its first line, its length, the length of its lines, what its functions take and its structs hold,
//! and its name.

use ostrakon_tests::source::{
    self, Source,
    scan::{self, body_or_end, closing, is_word, words},
};

use crate::assert_clean;

/// Lines a file may have before its tests.
const FILE_LINES: usize = 600;
/// Parameters a function may have, besides `self`.
const PARAMETERS: usize = 5;
/// Fields a struct may have.
const FIELDS: usize = 12;
/// Characters a line may have, unless a word of it cannot be broken.
const LINE: usize = 120;
/// Characters from which on a word is one that cannot: a hash, an address.
const WORD: usize = 60;
/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "helper", "helpers", "manager", "common", "misc", "shared"];

/// Every file says in its first line what its module does.
fn opens_with_its_purpose(file: &Source) -> Vec<String> {
    let says = file.text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 20);
    if says { vec![] } else { vec![format!("{}:1: does not open with `//!` and what it is for", file.path)] }
}

fn short_enough(file: &Source) -> Vec<String> {
    let in_tests = |(code, shipped): (&str, &str)| !code.trim().is_empty() && shipped.trim().is_empty();
    let (code, shipped): (String, String) = (file.code.iter().collect(), file.shipped.iter().collect());
    let tests = code.lines().zip(shipped.lines()).filter(|lines| in_tests(*lines)).count();
    match file.text.lines().count() - tests {
        lines if lines > FILE_LINES => vec![format!("{}: {lines} lines before tests, over {FILE_LINES}", file.path)],
        _ => vec![],
    }
}

fn short_lines(file: &Source) -> Vec<String> {
    let long = |(number, line): (usize, &str)| {
        let length = line.chars().count();
        let breakable = line.split_whitespace().all(|word| word.chars().count() < WORD);
        (length > LINE && breakable)
            .then(|| format!("{}:{}: line of {length} characters, over {LINE}", file.path, number + 1))
    };
    file.text.lines().enumerate().filter_map(long).collect()
}

/// Every function, with where its name begins.
fn functions(file: &Source) -> impl Iterator<Item = (usize, String)> {
    words(&file.code, "fn").into_iter().filter_map(|at| {
        let name: String = file.code[at + 3..].iter().take_while(|char| is_word(**char)).collect();
        (!name.is_empty()).then_some((at, name))
    })
}

fn few_parameters(file: &Source) -> Vec<String> {
    let many = |(at, name): (usize, String)| {
        let open = parameters(&file.code, at + 3 + name.chars().count())?;
        let list = members(&file.code, open)?;
        let count = list.iter().filter(|parameter| !words_of(parameter).any(|word| word == "self")).count();
        let what = || file.breach(at, &format!("fn {name} takes {count} parameters, over {PARAMETERS}"));
        (count > PARAMETERS).then(what)
    };
    functions(file).filter_map(many).collect()
}

/// Where a function's parameters open: after its generics, in which `->` and `Fn(..)` may stand.
fn parameters(code: &[char], from: usize) -> Option<usize> {
    let (mut angles, mut at) = (0usize, from);
    while at < code.len() {
        match code[at] {
            '<' => angles += 1,
            '>' if code[at - 1] != '-' => angles = angles.checked_sub(1)?,
            '(' if angles == 0 => return Some(at),
            '(' | '[' | '{' => at = closing(code, at)?,
            _ => {}
        }
        at += 1;
    }
    None
}

fn few_fields(file: &Source) -> Vec<String> {
    let many = |at: usize| {
        let open = body_or_end(&file.code, at)?;
        let count = if file.code[open] == '{' { members(&file.code, open)?.len() } else { 0 };
        (count > FIELDS).then(|| file.breach(at, &format!("a struct of {count} fields, over {FIELDS}")))
    };
    words(&file.code, "struct").into_iter().filter_map(many).collect()
}

/// What stands between the commas of the bracket opened at `open`; angle brackets count as brackets.
fn members(code: &[char], open: usize) -> Option<Vec<String>> {
    let end = closing(code, open)?;
    let (mut members, mut depth) = (vec![String::new()], 0i32);
    for at in open + 1..end {
        match code[at] {
            '(' | '[' | '{' | '<' => depth += 1,
            '>' if code[at - 1] == '-' || code[at - 1] == '=' => {}
            ')' | ']' | '}' | '>' => depth -= 1,
            ',' if depth == 0 => members.push(String::new()),
            _ => {}
        }
        members.last_mut()?.push(code[at]);
    }
    members.retain(|member| member.chars().any(is_word));
    Some(members)
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char| !is_word(char)).filter(|word| !word.is_empty())
}

/// No file and no module is named for being left over.
fn says_what_it_is(file: &Source) -> Vec<String> {
    let parts = file.path.trim_end_matches(".rs").split('/');
    let mut empty: Vec<String> = parts
        .filter(|part| EMPTY_NAMES.contains(part))
        .map(|part| format!("{}: `{part}` says nothing of what is inside", file.path))
        .collect();
    for at in scan::words(&file.code, "mod") {
        let name: String = file.code[at + 3..].iter().skip(1).take_while(|char| is_word(**char)).collect();
        if EMPTY_NAMES.contains(&name.as_str()) {
            empty.push(file.breach(at, &format!("`mod {name}` says nothing of what is inside")));
        }
    }
    empty
}

/// The rule catches `bad`, lets `good` pass, and the repository holds it.
fn hold(rule: fn(&Source) -> Vec<String>, bad: (&str, &str), good: (&str, &str)) {
    assert!(!rule(&Source::new(bad.0, bad.1)).is_empty(), "the rule does not catch {bad:?}");
    assert_clean(&rule(&Source::new(good.0, good.1)));
    assert_clean(&source::all().iter().flat_map(rule).collect::<Vec<_>>());
}

const PATH: &str = "node/src/lib.rs";

#[test]
fn files_open_with_their_purpose() {
    let good = (PATH, "//! Keeps what it is given.\n");
    hold(opens_with_its_purpose, (PATH, "use std::fs;\n//! Keeps what it is given.\n"), good);
    hold(opens_with_its_purpose, (PATH, "//! x\n"), good);
}

#[test]
fn files_are_short() {
    let (long, mut tested) = ("a();\n".repeat(FILE_LINES + 1), "a();\n".repeat(FILE_LINES - 10));
    tested += &format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "a();\n".repeat(FILE_LINES));
    hold(short_enough, (PATH, &long), (PATH, &tested));
}

#[test]
fn lines_are_short() {
    hold(short_lines, (PATH, &"x ".repeat(LINE)), (PATH, &"ü ".repeat(LINE / 2)));
    hold(short_lines, (PATH, &"x ".repeat(LINE)), (PATH, &"x".repeat(2 * LINE)));
}

#[test]
fn functions_take_few_parameters() {
    let bad = "fn f<F: Fn(u8) -> u8>(a: u8, b: u8, c: u8, d: u8, e: u8, f: F) {}";
    let good = "fn f(&self, a: u8, b: Map<u8, u8>, c: (u8, u8), d: &dyn Fn(u8, u8) -> u8, e: [u8; 2]) {}";
    hold(few_parameters, (PATH, bad), (PATH, good));
}

#[test]
fn structs_have_few_fields() {
    let fields = |count: usize| format!("struct S {{\n{}}}", "a: Map<u8, (u8, u8)>,\n".repeat(count));
    hold(few_fields, (PATH, &fields(FIELDS + 1)), (PATH, &fields(FIELDS)));
}

#[test]
fn names_say_what_is_inside() {
    hold(says_what_it_is, ("node/src/util.rs", ""), (PATH, "mod utility;"));
    hold(says_what_it_is, ("node/src/common/x.rs", ""), (PATH, ""));
    hold(says_what_it_is, (PATH, "pub mod helpers {}"), (PATH, ""));
}
