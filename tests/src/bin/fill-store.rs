//! `fill-store DIR`: fills the store of a data directory, where only a process of its own sees the disk.

use std::{
    io::{self, Write},
    path::Path,
};

use anyhow::{Result, bail};
use ostrakon_tests::filled_store;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [dir] = words.as_slice() else { bail!("usage: fill-store DIR") };
    let columns = filled_store::fill(Path::new(dir))?;
    Ok(writeln!(io::stdout(), "filled with {columns} columns")?)
}
