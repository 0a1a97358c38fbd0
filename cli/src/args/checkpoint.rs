//! A block that a user believes in, as it is written on the command line.

use ostrakon_proto::id::{BlockId, Height};

/// `HEIGHT:BLOCK`
pub(super) fn checkpoint(text: &str) -> Result<(Height, BlockId), String> {
    let parse = || {
        let (height, block) = text.split_once(':')?;
        let height = height.parse().ok().filter(|height| *height > 0)?;
        Some((Height(height), block.parse().ok()?))
    };
    parse().ok_or_else(|| "a block is HEIGHT:BLOCK, as 120000:c0ff.., with the 64 digits of its id".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_a_height_and_a_block() {
        let block = "ab".repeat(32);
        let (height, id) = checkpoint(&format!("120000:{block}")).expect("a checkpoint");
        assert_eq!((height, id.to_string()), (Height(120_000), block.clone()));
        for bad in ["", ":", "1", "1:", &block, &format!("0:{block}"), &format!("-1:{block}"), "1:ab"] {
            assert!(checkpoint(bad).is_err(), "{bad}");
        }
    }
}
