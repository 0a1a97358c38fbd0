//! The language of the house is the field's: retired words, phrases and names, each with what stands in their place,
//! are the lines of `words.txt`. They may be nowhere: not in messages, help, comments, pages, nor within names.
//!
//! A text is read as lower-case words in order; a phrase does not reach over punctuation, but over the end of a line of
//! a comment or string. Names are read as the words that they are made of.

use std::collections::BTreeMap;

use ostrakon_tests::source::{paths, read, relative, top};

use crate::assert_clean;

/// The list, and this test, which name what they ban.
const OWN: [&str; 2] = ["tests/tidy/words.txt", "tests/tidy/language.rs"];
/// At least so many are retired.
const LEAST: usize = 60;
/// Ends of the names of files that people read.
const READ: [&str; 6] = [".rs", ".py", ".md", ".toml", ".sh", "Makefile"];

/// One line of the list.
#[derive(Clone, Debug)]
struct Retired {
    /// Its words; one alone when it is a name.
    words: Vec<String>,
    is_name: bool,
    replacement: String,
}

fn list(text: &str) -> Vec<Retired> {
    let parse = |line: &str| {
        let (retired, replacement) = line.split_once(" = ").unwrap_or_else(|| panic!("no replacement: {line}"));
        let (is_name, retired) = (retired.starts_with('`'), retired.trim_matches('`'));
        let words = if is_name { vec![retired.to_owned()] } else { retired.split(' ').map(str::to_owned).collect() };
        Retired { words, is_name, replacement: replacement.to_owned() }
    };
    // A line with a tilde is still to be enforced.
    text.lines().filter(|line| !line.starts_with(['#', '~']) && !line.is_empty()).map(parse).collect()
}

/// A word of a text, on which line, and whether it follows the one before it without punctuation between them.
struct Word {
    text: String,
    line: usize,
    follows: bool,
}

/// The names and words of a text as they are written.
fn raw_words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut follows = true;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start().trim_start_matches(['/', '!', '#']);
        let mut word = String::new();
        for char in line.chars().chain([' ']) {
            if char.is_alphanumeric() || char == '_' || char == '\'' {
                word.push(char);
                continue;
            }
            if !word.is_empty() {
                words.push(Word { text: std::mem::take(&mut word), line: number + 1, follows });
                follows = true;
            }
            // A backslash at the end of a line continues a string.
            follows &= char.is_whitespace() || char == '\\';
        }
    }
    words
}

/// The words that a name is made of, in lower case.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_lower = false;
    for char in name.chars() {
        if char == '_' || (char.is_uppercase() && was_lower) {
            parts.push(String::new());
        }
        was_lower = char.is_lowercase() || char.is_numeric();
        if char != '_' {
            parts.last_mut().expect("there is always one").extend(char.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn breaches(path: &str, text: &str, list: &[Retired]) -> Vec<String> {
    let raw = raw_words(text);
    let mut found = Vec::new();
    for word in &raw {
        let retired = list.iter().find(|retired| retired.is_name && retired.words[0] == word.text);
        found.extend(retired.map(|retired| (word.line, retired)));
    }
    let split = |word: &Word| {
        let (line, follows) = (word.line, word.follows);
        let part = move |(at, text)| Word { text, line, follows: follows || at > 0 };
        parts(&word.text).into_iter().enumerate().map(part)
    };
    let words: Vec<Word> = raw.iter().flat_map(split).collect();
    let mut by_first: BTreeMap<&str, Vec<&Retired>> = BTreeMap::new();
    for retired in list.iter().filter(|retired| !retired.is_name) {
        by_first.entry(&retired.words[0]).or_default().push(retired);
    }
    for (at, word) in words.iter().enumerate() {
        let here = |retired: &&&Retired| {
            let rest = &words[at..];
            // "there is no code" is English.
            let is_there = at > 0 && words[at - 1].text == "there";
            let same = rest.iter().zip(&retired.words).all(|(word, retired)| word.text == *retired);
            same && !is_there
                && rest.len() >= retired.words.len()
                && rest[1..retired.words.len()].iter().all(|word| word.follows)
        };
        let retired = by_first.get(word.text.as_str()).into_iter().flatten().find(here);
        found.extend(retired.map(|retired| (word.line, *retired)));
    }
    let breach = |(line, retired): (usize, &Retired)| {
        format!("{path}:{line}: \"{}\" is retired: {}", retired.words.join(" "), retired.replacement)
    };
    found.into_iter().map(breach).collect()
}

#[test]
fn retired_words_are_nowhere() {
    let list = list(&read(&top().join(OWN[0])));
    assert!(list.len() >= LEAST, "only {} words are retired", list.len());
    let check = |text: &str, count: usize| assert_eq!(breaches("x", text, &list).len(), count, "{text}");
    check("bail!(\"it can\u{20}not be\")", 1);
    check("//! this can\n//! not be", 1);
    check("\"this can \\\n    not be\"", 1);
    check("it can. Not so? it can\u{20}not, and can\" \"not", 2);
    check("enum Line { GoesOn, goes_on() }", 3);
    check("struct Desk; fn ask(desks: Courtesy)", 2);
    check("struct Lifetime; 'life", 0);
    check("there is no code here", 0);
    let files = paths(&top(), &|name| READ.iter().any(|end| name.ends_with(end)));
    let shown = files.into_iter().filter(|path| !OWN.contains(&relative(path).as_str()));
    assert_clean(&shown.flat_map(|path| breaches(&relative(&path), &read(&path), &list)).collect::<Vec<_>>());
}
