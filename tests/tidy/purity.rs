//! The agreement is pure: the same everywhere, on every run. What breaks that has a name, and is banned here by it, or
//! by clippy (proto/clippy.toml).

use ostrakon_tests::source::{
    self, Source,
    scan::{self, is_word, words},
};

use crate::assert_clean;

const PROTO: &str = "proto";

/// No order that differs by run, no rounding that differs by machine, no disk, no randomness.
fn pure(file: &Source) -> Vec<String> {
    if file.package() != PROTO {
        return vec![];
    }
    let mut breaches = file.ban(&["f32", "f64"], "the agreement counts in integers");
    breaches.extend(file.ban(&["thread_rng", "getrandom", "OsRng"], "randomness is an argument"));
    let outside = ["std::fs", "std::net", "std::env", "std::thread", "std::process"];
    let text: String = file.shipped.iter().collect();
    for (number, line) in text.lines().enumerate() {
        for module in outside.iter().filter(|module| line.contains(*module)) {
            breaches.push(format!("{}:{}: `{module}`: the agreement touches nothing", file.path, number + 1));
        }
    }
    breaches.extend(imports(file));
    breaches
}

/// `use std::{fs, ..}` is the same by other means.
fn imports(file: &Source) -> Vec<String> {
    let opens = |at: &usize| {
        let rest: String = file.shipped[*at..].iter().take(7).collect();
        rest == "std::{\n" || rest.starts_with("std::{")
    };
    let found = words(&file.shipped, "std").into_iter().filter(opens).flat_map(|at| {
        let end = scan::closing(&file.shipped, at + 5).unwrap_or(at);
        let inside: String = file.shipped[at..end].iter().collect();
        let modules = ["fs", "net", "env", "thread", "process"].into_iter();
        modules
            .filter(move |module| inside.split(|char| !is_word(char)).any(|word| word == *module))
            .map(move |module| (at, module))
    });
    found.map(|(at, module)| file.breach(at, &format!("`std::{module}`: the agreement touches nothing"))).collect()
}

const NUMBERS: [&str; 14] =
    ["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64"];

/// `as` cuts silently; `From` and `TryFrom` do not. Constants may: no conversion by trait is constant yet.
fn no_numeric_casts(file: &Source) -> Vec<String> {
    if file.package() != PROTO {
        return vec![];
    }
    let text: String = file.shipped.iter().collect();
    let constant = |line: &str| {
        let item = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        item.starts_with("const ") && !item.starts_with("const fn")
    };
    let cast = |line: &&str| {
        let parts: Vec<&str> = line.split_whitespace().collect();
        let is_number = |word: &str| NUMBERS.contains(&word.split(|char| !is_word(char)).next().unwrap_or_default());
        parts.windows(2).any(|pair| pair[0] == "as" && is_number(pair[1]))
    };
    let found = text.lines().enumerate().filter(|(_, line)| !constant(line) && cast(line));
    found
        .map(|(number, _)| format!("{}:{}: `as` between numbers: use From or TryFrom", file.path, number + 1))
        .collect()
}

fn hold(rule: fn(&Source) -> Vec<String>, bad: &[&str], good: &str) {
    for text in bad {
        assert!(!rule(&Source::new("proto/src/lib.rs", text)).is_empty(), "the rule does not catch {text:?}");
        assert_clean(&rule(&Source::new("node/src/lib.rs", text)));
    }
    assert_clean(&rule(&Source::new("proto/src/lib.rs", good)));
    assert_clean(&source::all().iter().flat_map(rule).collect::<Vec<_>>());
}

#[test]
fn the_agreement_is_pure() {
    let bad = ["fn f(x: f64) {}", "std::fs::read(x)", "use std::{\n    collections::BTreeMap,\n    fs,\n};"];
    hold(pure, &bad, "//! no f64\nuse std::{fmt, io};\n#[cfg(test)]\nmod tests { use std::fs; }\nstd::io::Write;");
}

#[test]
fn the_agreement_does_not_cast_numbers() {
    let bad = ["let a = b as u64;", "f(b as usize)", "const fn f() { b as u8 }"];
    hold(no_numeric_casts, &bad, "pub const A: u64 = B as u64;\nlet a = <X as Y>::z();\nuse a as u;\n// as u8");
}
