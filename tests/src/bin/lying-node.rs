//! `lying-node run --dir DIR`: the node of a data directory, which lies as the file `lie` there says. For tests alone:
//! what a released node is made of has nothing of this.

use std::{
    io::{self, Write},
    path::Path,
};

use anyhow::{Result, bail};
use ostrakon_tests::liar;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [verb, flag, dir] = words.as_slice() else { bail!("usage: lying-node run --dir DIR") };
    if (verb.as_str(), flag.as_str()) != ("run", "--dir") {
        bail!("usage: lying-node run --dir DIR");
    }
    writeln!(
        io::stderr(),
        "WARNING: this node LIES to all who ask it. It is for tests; never run it for anything else."
    )?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Box::pin(liar::run(Path::new(dir))))
}
