//! The formats, pinned: every vector in `vectors.txt` is what this code makes of fixed inputs.
//!
//! A difference means that two versions of this program no longer understand each other. That is a decision, made in a
//! change of its own: `OSTRAKON_BLESS=1` writes the file anew.

mod bytes;
mod ledger;
mod words;

use std::{collections::BTreeMap, fs, path::PathBuf};

/// What a name stands for, in text.
pub(crate) type Vectors = BTreeMap<&'static str, String>;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/vectors.txt")
}

fn recorded() -> BTreeMap<String, String> {
    let text = fs::read_to_string(path()).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.filter_map(|line| line.split_once(" = ")).map(|(name, value)| (name.into(), value.into())).collect()
}

#[test]
fn formats_are_what_they_were() {
    let mut made = Vectors::new();
    words::add(&mut made);
    bytes::add(&mut made);
    ledger::add(&mut made);
    if std::env::var_os("OSTRAKON_BLESS").is_some_and(|value| value == "1") {
        let lines: String = made.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        let head = "# Golden vectors: inputs and meaning are in the functions beside this file, by the same names.\n";
        fs::write(path(), format!("{head}{lines}")).expect("the vectors can be written");
    }
    let recorded = recorded();
    for (name, value) in &made {
        let expect = recorded.get(*name).unwrap_or_else(|| panic!("{name} is not in vectors.txt: {value}"));
        assert_eq!(value, expect, "{name} has changed: versions would no longer understand each other");
    }
    assert_eq!(made.len(), recorded.len(), "vectors.txt has names that nothing makes");
}
