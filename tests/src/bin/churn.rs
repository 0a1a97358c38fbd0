//! `churn store DIR NEXT` and `churn ledger DIR`: work without end, to be killed.

use std::path::Path;

use anyhow::{Result, bail};
use ostrakon_tests::churn;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["store", dir, next] => churn::store(Path::new(dir), next.parse()?),
        ["ledger", dir] => churn::ledger(Path::new(dir)),
        _ => bail!("usage: churn store DIR NEXT, or churn ledger DIR"),
    }
}
