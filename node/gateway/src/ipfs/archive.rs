//! The bytes of an archive: blocks from a tree, and leaves' bytes from the network.

use bytes::Bytes;
use futures::{
    Stream, TryStreamExt,
    stream::{self, BoxStream},
};
use ostrakon::{
    bucket::BucketError,
    ipfs::{Block, Cid, car_header, section_head},
};

/// What is left to be sent.
struct Left {
    blocks: std::vec::IntoIter<Block>,
    /// The bytes of all leaves among them, in order.
    bytes: BoxStream<'static, Result<Bytes, BucketError>>,
    came: Bytes,
    /// Bytes of the leaf that is being sent.
    of_leaf: u64,
}

/// Bytes of an archive of these blocks.
pub(super) fn size(root: &Cid, blocks: &[Block]) -> u64 {
    let section = |block: &Block| count(section_head(&block.name(), block.size()).len()).saturating_add(block.size());
    blocks.iter().map(section).fold(count(car_header(root).len()), u64::saturating_add)
}

/// The archive of these blocks, of which the leaves' bytes come in this order.
pub(super) fn archive(
    root: &Cid,
    blocks: Vec<Block>,
    bytes: BoxStream<'static, Result<Bytes, BucketError>>,
) -> impl Stream<Item = Result<Bytes, BucketError>> + Send + use<> {
    let left = Left { blocks: blocks.into_iter(), bytes, came: Bytes::new(), of_leaf: 0 };
    let header = stream::iter([Ok(Bytes::from(car_header(root)))]);
    let sections =
        stream::try_unfold(left, |mut left| async move { Ok(left.next().await?.map(|bytes| (bytes, left))) });
    futures::StreamExt::chain(header, sections)
}

impl Left {
    async fn next(&mut self) -> Result<Option<Bytes>, BucketError> {
        if self.of_leaf > 0 {
            while self.came.is_empty() {
                let ended = || BucketError::Unavailable("the object ended early".to_owned());
                self.came = self.bytes.try_next().await?.ok_or_else(ended)?;
            }
            let now = usize::try_from(self.of_leaf).unwrap_or(usize::MAX).min(self.came.len());
            self.of_leaf = self.of_leaf.saturating_sub(count(now));
            return Ok(Some(self.came.split_to(now)));
        }
        let Some(block) = self.blocks.next() else { return Ok(None) };
        let mut section = section_head(&block.name(), block.size());
        match &block {
            Block::Node(_, bytes) => section.extend(bytes),
            Block::Leaf(_, range) => self.of_leaf = range.end.saturating_sub(range.start),
        }
        Ok(Some(section.into()))
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
