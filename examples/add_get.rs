//! Stores some bytes on a network and reads them back. Run it on a network of your own:
//!
//! ```text
//! ostrakon devnet up --dir net
//! OSTRAKON_PROFILE=net/profile cargo run --release -p ostrakon-examples --example add_get
//! ostrakon devnet down --dir net
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use ostrakon::{Event, Profile};

#[tokio::main]
async fn main() -> Result<()> {
    let dir = std::env::var_os("OSTRAKON_PROFILE").context("set OSTRAKON_PROFILE to the directory of a profile")?;
    let client = Profile::open(PathBuf::from(dir))?.connect()?;

    // Any source that can be read will do: a file, a socket, a slice. The bytes are encrypted before they leave.
    let content = b"There is no need to carve it in stone: potsherds last as long.".as_slice();
    let added = client.add_bytes(content).await?;
    println!("added {} bytes as {} columns, any {} of which restore them:", added.size, added.code.n, added.code.k);
    for slot in &added.slots {
        println!("  column {:2} on {} in {}", slot.index, slot.provider.short(), slot.domain);
    }
    // The link has the key: anyone who has the link can read, and nobody else.
    println!("link: {}", added.link);

    // Any sink will do as well. What arrives in it is proven, byte for byte.
    let mut read = Vec::new();
    let progress = |event| {
        if let Event::Progress { done, .. } = event {
            println!("  {done} bytes so far");
        }
    };
    let fetched = client.get(&added.link).on_event(progress).write_to(&mut read).await?;
    ensure!(read == content, "other bytes came back");
    println!("read the same {} bytes from {} columns", fetched.size, fetched.columns_used.len());

    // Parts can be read without reading the rest.
    let part = client.get(&added.link).range(9..32).bytes().await?;
    println!("bytes 9 to 31: {}", String::from_utf8_lossy(&part));
    Ok(())
}
