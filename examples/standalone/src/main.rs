//! Stores a file on the network of the default profile, and reads it back.

use ostrakon::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = Client::open_default()?;
    let added = client.add("hello.txt").await?;
    println!("{}", added.link);

    let bytes = client.get(&added.link).bytes().await?;
    assert_eq!(bytes, std::fs::read("hello.txt")?);
    println!("{} bytes, from any {} of {} nodes", bytes.len(), added.code.k, added.code.n);
    Ok(())
}
