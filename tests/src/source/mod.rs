//! One file of Rust, as programs that check or count the repository's own code read it: its text, its code, its
//! comments, and its code without the tests.
//!
//! In comes a path and a text, or a repository; out comes a [`Source`], or all of them in the order of their paths.

pub mod scan;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file of Rust.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path from the repository's top, with `/`.
    pub path: String,
    /// All of it.
    pub text: String,
    /// What is no comment and no literal; the rest is blank.
    pub code: Vec<char>,
    /// What is comment; the rest is blank.
    pub comments: String,
    /// [`Source::code`] without the items that only tests compile, which are blank too.
    pub shipped: Vec<char>,
}

impl Source {
    /// The file of this path with this text.
    pub fn new(path: &str, text: &str) -> Self {
        let (code, comments) = scan::split(text);
        let code: Vec<char> = code.chars().collect();
        let mut shipped = code.clone();
        for (start, end) in test_items(&code) {
            blank(&mut shipped[start..end]);
        }
        if path.contains("/tests/") || path.ends_with("/tests.rs") {
            blank(&mut shipped);
        }
        Self { path: path.into(), text: text.into(), code, comments, shipped }
    }

    /// The directory of its crate: what stands before `/src/`, or the first part of the path.
    pub fn package(&self) -> &str {
        self.path.split_once("/src/").or_else(|| self.path.split_once('/')).map_or("", |(package, _)| package)
    }

    /// A breach at this character.
    pub fn breach(&self, at: usize, what: &str) -> String {
        format!("{}:{}: {what}", self.path, scan::line_of(&self.code, at))
    }

    /// A breach wherever one of `words` stands alone in the shipped code.
    pub fn ban(&self, words: &[&str], why: &str) -> Vec<String> {
        let each = |word: &&str| {
            let found = scan::words(&self.shipped, word);
            found.into_iter().map(|at| self.breach(at, &format!("`{word}`: {why}"))).collect::<Vec<_>>()
        };
        words.iter().flat_map(each).collect()
    }
}

fn blank(chars: &mut [char]) {
    chars.iter_mut().filter(|char| **char != '\n').for_each(|char| *char = ' ');
}

const TEST_ONLY: &str = "#[cfg(test)]";

/// Where the items begin and end that only tests compile.
fn test_items(code: &[char]) -> Vec<(usize, usize)> {
    let mark: Vec<char> = TEST_ONLY.chars().collect();
    let starts = (0..code.len()).filter(|at| code[*at..].starts_with(&mark));
    let end = |start: usize| {
        let mut from = start;
        while code.get(from) == Some(&'#') {
            from = scan::closing(code, from + 1)? + 1;
            from += code[from..].iter().take_while(|char| char.is_whitespace()).count();
        }
        let open = scan::body_or_end(code, from)?;
        scan::closing(code, open).or(Some(open)).map(|end| end + 1)
    };
    starts.map(|start| (start, end(start).unwrap_or(code.len()))).collect()
}

/// This repository's top.
///
/// # Panics
/// Never: this package lies in it.
pub fn top() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("this package lies in the repository").to_path_buf()
}

/// Every file of Rust in this repository, in the order of paths.
///
/// # Panics
/// When there is hardly any: then this is not the repository.
pub fn all() -> Vec<Source> {
    let files = all_in(&top());
    assert!(files.len() > 20, "the walk of {} found only {} files of Rust", top().display(), files.len());
    files
}

/// Every file of Rust in the repository at `top`, in the order of paths.
pub fn all_in(top: &Path) -> Vec<Source> {
    let mut files: Vec<Source> = paths(top, &|name| name.ends_with(".rs"))
        .into_iter()
        .map(|path| Source::new(&below(top, &path), &read(&path)))
        .collect();
    let test_files: Vec<String> = files.iter().flat_map(test_modules).collect();
    for file in &mut files {
        if test_files.iter().any(|module| is_of(&file.path, module)) {
            blank(&mut file.shipped);
        }
    }
    files
}

/// The text of a file.
///
/// # Panics
/// When it cannot be read.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// The files of the modules that `source` declares for tests only, as in `#[cfg(test)] mod reference;`.
fn test_modules(source: &Source) -> Vec<String> {
    let stem = source.path.trim_end_matches(".rs");
    let home = ["/lib", "/main", "/mod"].iter().find_map(|end| stem.strip_suffix(end)).unwrap_or(stem);
    let declared = |(start, end): (usize, usize)| {
        let item: String = source.code[start..end].iter().collect();
        let name = item.trim_start_matches(TEST_ONLY).trim().strip_prefix("mod ")?.strip_suffix(';')?.trim().to_owned();
        Some([format!("{home}/{name}.rs"), format!("{home}/{name}/mod.rs")])
    };
    test_items(&source.code).into_iter().filter_map(declared).flatten().collect()
}

/// Whether this file is the module's, or of one within.
fn is_of(path: &str, module: &str) -> bool {
    path.strip_prefix(module.trim_end_matches(".rs")).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// What git, cargo and the build put into the repository.
pub const MADE: [&str; 3] = [".cargo", ".git", "target"];

/// Every file under `dir` whose name `wanted` accepts, in order; without [`MADE`].
pub fn paths(dir: &Path, wanted: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in entries(dir) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if MADE.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            found.extend(paths(&path, wanted));
        } else if path.is_file() && wanted(&name) {
            found.push(path);
        }
    }
    found
}

/// The entries of `dir`, in order.
///
/// # Panics
/// When it cannot be listed.
pub fn entries(dir: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(dir).unwrap_or_else(|error| panic!("cannot list {}: {error}", dir.display()));
    let mut entries: Vec<PathBuf> = listing.map(|entry| entry.expect("an entry that was just listed").path()).collect();
    entries.sort();
    entries
}

/// The path from this repository's top, with `/`.
pub fn relative(path: &Path) -> String {
    below(&top(), path)
}

fn below(top: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(top).expect("a path in the repository");
    inside.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_tests_compile_is_not_shipped() {
        let check = |text: &str, shipped: &str| {
            let got: String = Source::new("x/src/lib.rs", text).shipped.iter().collect();
            assert_eq!(got.split_whitespace().collect::<Vec<_>>().join(" "), shipped, "{text}");
        };
        check("fn a() {} #[cfg(test)] mod tests { fn b() { { } } } fn c() {}", "fn a() {} fn c() {}");
        check("#[cfg(test)] #[path = \"x\"] mod tests; fn c() {}", "fn c() {}");
        check("#[cfg(test)]\n#[allow(x)]\nfn b(x: [u8; 2]) -> u8 { 1 }\nfn c() {}", "fn c() {}");
        assert!(Source::new("x/tests/y.rs", "fn a() {}").shipped.iter().all(|char| *char == ' '));
        let parent = Source::new("x/src/erasure.rs", "#[cfg(test)]\nmod reference;\n");
        assert!(test_modules(&parent).contains(&"x/src/erasure/reference.rs".into()));
        assert_eq!(parent.package(), "x");
        let fake = |path| is_of(path, "x/src/fake.rs");
        assert!(fake("x/src/fake.rs") && fake("x/src/fake/ledger.rs") && !fake("x/src/faker.rs"));
    }
}
