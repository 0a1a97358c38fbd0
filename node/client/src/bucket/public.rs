//! Public objects: those of a public bucket, whose blocks are found by their hashes.

use std::time::Duration;

use ostrakon_proto::bucket::{BlockHash, ObjectInfo, Place, Value};

use super::{Bucket, BucketError, draft::Draft, index::View};
use crate::ipfs::{Cid, Spot, Tree, file_name};

/// Records that are looked at for one block: as many copies of one file are found by it.
const LOOKED_AT: usize = 16;
/// How old the state may be by which strangers are answered.
pub(super) const FRESH: Duration = Duration::from_secs(2);

/// An object that is public, and the blocks of its file.
#[derive(Clone, Debug)]
pub struct PublicObject {
    /// Its bucket.
    pub bucket: Bucket,
    /// Its key.
    pub key: String,
    /// What is known of it.
    pub object: ObjectInfo,
    /// Its blocks.
    pub tree: Tree,
}

impl Bucket {
    /// The object that this block belongs to, and where in its tree the block is.
    ///
    /// # Errors
    /// When the state of a few seconds ago at most cannot be read.
    pub async fn find_block(&self, hash: &BlockHash) -> Result<Option<(PublicObject, Spot)>, BucketError> {
        if !self.is_public() {
            return Ok(None);
        }
        let view = self.engine().index.view_within(FRESH).await?;
        let places = async |prefix: Place| self.engine().index.page_in(&view, (&prefix, &prefix), LOOKED_AT).await;
        let below = places(Place::blocks(hash)).await?;
        let roots = below.iter().filter_map(|(place, _)| place.root_of());
        for root in std::iter::once(hash).chain(roots) {
            for (place, value) in places(Place::trees(root)).await? {
                let found = self.public_object(&view, &place, value).await?;
                let found = found.and_then(|found| found.tree.find(hash).map(|spot| (found, spot)));
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    async fn public_object(
        &self,
        view: &View,
        place: &Place,
        tree: Value,
    ) -> Result<Option<PublicObject>, BucketError> {
        let (Some((root, key)), Value::Tree(leaves)) = (place.tree_of(), tree) else { return Ok(None) };
        let Some(Value::Object(object)) = self.engine().index.find(view, &Place::object(key)).await? else {
            return Ok(None);
        };
        let tree = tree_of(&object, (root, leaves)).filter(|tree| tree.root_hash() == *root);
        let key = String::from_utf8_lossy(key).into_owned();
        Ok(tree.map(|tree| PublicObject { bucket: self.clone(), key, object, tree }))
    }
}

/// The name in IPFS of an object, if it is public.
pub fn cid_of(object: &ObjectInfo) -> Option<Cid> {
    object.root.map(|root| file_name(object.size(), &root))
}

/// The tree of an object, as it is recorded: without leaves where the root is the only one.
fn tree_of(object: &ObjectInfo, (root, mut leaves): (&BlockHash, Vec<BlockHash>)) -> Option<Tree> {
    if leaves.is_empty() {
        leaves.push(*root);
    }
    Tree::new(object.size(), leaves)
}

/// The leaves of an object that is public.
pub(super) async fn leaves(draft: &Draft<'_>, key: &str, object: &ObjectInfo) -> Result<Vec<BlockHash>, BucketError> {
    let Some(root) = object.root else { return Ok(Vec::new()) };
    Ok(match draft.get(&Place::tree(&root, key.as_bytes())).await? {
        Some(Value::Tree(leaves)) if leaves.is_empty() => vec![root],
        Some(Value::Tree(leaves)) => leaves,
        _ => Vec::new(),
    })
}

/// Makes the blocks of an object be found.
pub(super) fn publish(draft: &mut Draft<'_>, key: &str, (object, leaves): (&ObjectInfo, &[BlockHash])) {
    let Some(root) = object.root else { return };
    let below = below(object, &root, leaves);
    let recorded = if below.is_empty() { Vec::new() } else { leaves.to_vec() };
    draft.note(Place::tree(&root, key.as_bytes()), Some(Value::Tree(recorded)));
    below.iter().for_each(|block| draft.note(Place::block(block, &root), Some(Value::Block)));
}

/// Makes them be found no more, unless another object has the same.
pub(super) async fn withdraw(draft: &mut Draft<'_>, key: &str, object: &ObjectInfo) -> Result<(), BucketError> {
    let Some(root) = object.root else { return Ok(()) };
    let leaves = leaves(draft, key, object).await?;
    draft.note(Place::tree(&root, key.as_bytes()), None);
    if draft.all(&Place::trees(&root)).await?.is_empty() {
        below(object, &root, &leaves).iter().for_each(|block| draft.note(Place::block(block, &root), None));
    }
    Ok(())
}

/// The blocks below the root.
fn below(object: &ObjectInfo, root: &BlockHash, leaves: &[BlockHash]) -> Vec<BlockHash> {
    let Some(tree) = Tree::new(object.size(), leaves.to_vec()) else { return Vec::new() };
    tree.nodes().chain(leaves.iter().copied()).filter(|block| block != root).collect()
}
