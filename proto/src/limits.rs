//! Every bound of the system, in one place, each with its reason. What a network may choose for itself is in
//! [`crate::params`]; what is here is part of the formats.

/// Bytes of a full cell of a stripe (ARCHITECTURE 1). 64 KiB: BLAKE3 and the code run at full speed, and a range read
/// stays
/// small.
pub const SEGMENT: usize = 64 * 1024;
/// Bytes the AES-GCM tag adds to each sealed piece.
pub const TAG: usize = 16;
/// Plaintext bytes of a sealed piece, so that the piece with its tag fills one segment exactly.
pub const PIECE: usize = SEGMENT - TAG;
/// The short last stripe's cells are rounded up to this: the unit of the BLAKE3 block.
pub const CELL_UNIT: usize = 64;
/// Stripes of one extent at most; a column is thus at most 1 GiB.
pub const EXTENT_STRIPES: u64 = 16_384;
/// Bytes of a column at most.
pub const COLUMN: u64 = EXTENT_STRIPES * SEGMENT as u64;
/// Extents of one object at most: with n = 12 a manifest of this many stays under [`MANIFEST`].
pub const EXTENTS: usize = 1_024;
/// Holders of one extent at most: the code's field has 256 elements.
pub const SLOTS: usize = 255;

/// Bytes of one BLAKE3 chunk: the leaf of a storage proof.
pub const LEAF: usize = 1024;
/// Bytes of one group of the outboard tree.
pub const GROUP: usize = 16 * 1024;
/// Bytes of column data in one message: large enough that a message's fixed cost vanishes, small enough to hold many.
pub const CHUNK: usize = 256 * 1024;

/// Bytes of a message's head, on every protocol.
pub const HEAD: usize = 64 * 1024;
/// Bytes of a manifest.
pub const MANIFEST: usize = 1024 * 1024;
/// Bytes of one transaction.
pub const TX: usize = 64 * 1024;
/// Bytes of one block's transactions together.
pub const BLOCK: usize = 896 * 1024;
/// Bytes of a block's transactions at which fees stay as they are: half of what may be, so that a rush finds room while
/// the price rises.
pub const FEE_TARGET: usize = BLOCK / 2;
/// A full block makes fees greater by one part in so many, an empty one less: what is signed now is enough for some
/// blocks, and a minute of full blocks is dear.
pub const FEE_STEP: u128 = 8;
/// Full blocks for which what is offered is still enough, when there is load.
pub const FEE_HEADROOM: usize = 8;
/// Beacon signatures that an epoch's chance is made of: so many proposers in a row would have to collude to know it.
pub const BEACONS: usize = 32;
/// The highest round that a block may be proposed in: more than any height ever took, and little work to look back on.
pub const ROUND: u32 = 1_000;
/// Validators at once: each sends each vote to every other.
pub const VALIDATORS: usize = 100;
/// Validators with a bond at once: those who vote, and those whose bond is not back yet. Every one of them is looked at
/// in each block.
pub const SEATS: usize = 1_000;
/// Accounts of a council.
pub const COUNCIL: usize = 100;
/// Proposals in the state at once: every one of them is looked at when one is made, and when an epoch begins.
pub const PROPOSALS: usize = 128;
/// Open proposals of one account at once, so that a few cannot keep the others from proposing.
pub const PROPOSALS_EACH: usize = 4;
/// Rows of the classes table: one for each size of network that makes a difference.
pub const CLASSES: usize = 64;
/// Bytes of a name's value: a CID, a link or an address.
pub const NAME_VALUE: usize = 256;
/// Accounts that may have commitments of one object at once.
pub const OWNERS: usize = 64;
/// Percent of a block's bytes that are kept for proofs, as long as any wait: what others send in masses makes no prover
/// miss its time.
pub const RESERVED_PERCENT: usize = 30;
/// Bytes of the transactions submitted at once: some hundred, so that the signatures are checked in batches.
pub const SUBMIT: usize = 256 * 1024;
/// Transactions submitted at once.
pub const SUBMIT_COUNT: usize = 1_000;
/// Blocks that a transaction may be valid ahead of the one it is applied in: a day at a block a second.
pub const VALID_BLOCKS: u64 = 86_400;
/// Commitments that one block ends at most: as many as a block of the smallest ones can begin, and bounded work.
pub const ENDINGS: usize = 2_048;
/// Bonds that one block pays back at most: bounded work.
pub const UNBONDINGS: usize = 256;
/// Epochs that one block forgets at most, when fewer are kept from then on.
pub const FORGOTTEN: usize = 32;
/// Bytes of the body of a chain answer: one whole block with its header and certificate, at least.
pub const CHAIN_BODY: usize = 1024 * 1024;
/// Bytes of the records of one part of a snapshot, unless it is one record: with the proof it fits a chain answer.
pub const SNAPSHOT_CHUNK: usize = 896 * 1024;
/// Snapshots that a node offers at once.
pub const SNAPSHOTS: usize = 4;
/// Bytes of the body of a consensus message: a whole block that is proposed, with room for its header.
pub const CONSENSUS_BODY: usize = 1280 * 1024;
/// Records of one answer to a listing query.
pub const PAGE: usize = 256;
/// Transactions of an account in one answer: for each of them the node may have to read a whole block.
pub const ACTIVITY: usize = 32;
/// Characters of one part of a domain, and of one address.
pub const NAME: usize = 64;
/// Addresses of one provider.
pub const ADDRESSES: usize = 8;

/// Hashes in the proof of one record: as many as a key's hash has bits.
pub const STATE_PROOF_SIBLINGS: usize = 256;
/// Hashes of the history in one answer: half a mebibyte, and a chain of 2^28 blocks in two steps.
pub const HISTORY_ROW: usize = 16_384;
/// Hashes in the proof of one block: as many as the number of blocks has bits.
pub const HISTORY_SIBLINGS: usize = 64;

/// Bytes of a path in a pack: under 32 KiB, so that two of them fit one page and every tree of pages narrows.
pub const PACK_PATH: usize = 32_000;
/// Bytes of one component of a path in a pack: what file systems allow.
pub const PACK_NAME: usize = 255;
/// Bytes of what a symlink in a pack points to: what Linux allows.
pub const PACK_TARGET: usize = 4_096;
/// Entries of one pack.
pub const PACK_ENTRIES: u64 = 16 * 1024 * 1024;
/// Bytes of one page of a pack's index: about what the smallest read fetches anyway.
pub const PACK_PAGE: usize = 64 * 1024;
/// Pages from a pack's root to an entry: as many entries as there may be, in pages of two.
pub const PACK_DEPTH: usize = 25;

/// Seconds without progress after which a request is given up.
pub const STALL_SECONDS: u64 = 60;
