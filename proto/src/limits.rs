//! The bounds that are part of the formats and rules, each with its reason. Not here: what a network chooses for itself
//! ([`crate::params`]), and bounds that a node or client sets for itself.

/// Bytes of a full cell of a stripe (ARCHITECTURE 1). With 64 KiB, BLAKE3 and the code run at full speed, and range
/// reads stay small.
pub const SEGMENT: usize = 64 * 1024;
/// Bytes that the AES-GCM tag adds to each sealed piece.
pub const TAG: usize = 16;
/// Plaintext bytes of a sealed piece, so that the piece with its tag fills one segment exactly.
pub const PIECE: usize = SEGMENT - TAG;
/// The short last stripe's cells are rounded up to this: the unit of the BLAKE3 block.
pub const CELL_UNIT: usize = 64;
/// Stripes of one extent at most, so that a column is at most 1 GiB.
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
/// Bytes of column data in one message: large enough that a message's fixed cost is negligible, small enough to hold
/// many in memory.
pub const CHUNK: usize = 256 * 1024;

/// Bytes of a message's head, on every protocol.
pub const HEAD: usize = 64 * 1024;
/// Bytes of a manifest.
pub const MANIFEST: usize = 1024 * 1024;
/// Bytes of one transaction.
pub const TX: usize = 64 * 1024;
/// Actions of one transaction: the commits of as many extents in 24 columns fit its bytes.
pub const PARTS: usize = 16;
/// Bytes of one block's transactions together, those that failed included.
pub const BLOCK: usize = 896 * 1024;
/// Bytes of one block's storage proofs, beside its transactions: the 256 blocks of an epoch's window hold the largest
/// proofs of 4,800 providers, or one leaf each of 19,000.
pub const PROOFS: usize = 128 * 1024;
/// Transactions of one block that failed after costly checks and are charged: bounded work.
pub const CHARGED: usize = 64;
/// Bytes of the largest storage proof with its key: four leaves, each with its path, for a provider and an epoch.
pub const PROOF: usize = AUDIT_LEAVES as usize * (8 + LEAF + 20 * 32) + 4 + 40;
/// Leaves of a storage proof at most.
pub const AUDIT_LEAVES: u8 = 4;
/// Bytes of a block's transactions at which fees stay unchanged: half the limit, so that a burst still fits while fees
/// rise.
pub const FEE_TARGET: usize = BLOCK / 2;
/// A full block raises fees by one part in this many, an empty one lowers them: a fee offered now suffices for some
/// blocks, and a minute of full blocks is expensive.
pub const FEE_STEP: u128 = 8;
/// Full blocks after which a fee offered under load still suffices.
pub const FEE_HEADROOM: usize = 8;
/// The highest round that a block may be proposed in: more than a height ever takes, and cheap to look back on.
pub const ROUND: u32 = 1_000;
/// Active validators: each sends each vote to every other.
pub const VALIDATORS: usize = 100;
/// Accounts in a council.
pub const COUNCIL: usize = 100;
/// Proposals in the state: all are read when one is made, and when an epoch begins.
pub const PROPOSALS: usize = 128;
/// Open proposals of one account, so that a few accounts cannot block the others.
pub const PROPOSALS_EACH: usize = 4;
/// Rows of the classes table: one for each size of network that makes a difference.
pub const CLASSES: usize = 64;
/// Bytes of a name's value: a CID, a link or an address.
pub const NAME_VALUE: usize = 256;
/// Accounts with commitments of one object.
pub const OWNERS: usize = 64;
/// Percent of a block's bytes reserved for transactions with a deadline while any are pending, so that floods of others
/// cannot delay them.
pub const RESERVED_PERCENT: usize = 30;
/// Bytes of the transactions in one request: some hundred, so that signatures are verified in batches.
pub const SUBMIT: usize = 256 * 1024;
/// Transactions in one request.
pub const SUBMIT_COUNT: usize = 1_000;
/// Bits by which the height that an account begins at is shifted, for its first nonce.
pub const NONCE_BITS: u32 = 20;
/// Blocks that a transaction may stay valid for: a day at a block a second.
pub const VALID_BLOCKS: u64 = 86_400;
/// Slots of commitments that one block ends at most: bounded work, but no fewer than one block can begin.
pub const ENDING_SLOTS: usize = 8_192;
/// Silent providers that one block judges at most: bounded work.
pub const JUDGED: usize = 256;
/// Slots of silent providers after which one block writes off no more commitments: bounded work.
pub const SWEPT_SLOTS: usize = 256;
/// Tickets that one block looks at for slots of silent providers, at most: each may have 255 slots.
pub const SWEPT_TICKETS: usize = 64;
/// Commitments of which one block has providers pay for what they lost, at most: bounded work.
pub const FORFEITS: usize = 256;
/// Slots that have left inventories, and are forgotten in one block at most: as many as it ends.
pub const DEPARTED_SLOTS: usize = 8_192;
/// Epochs of which it is remembered whether a provider proved them, or all were excused: commitments are settled long
/// before. Records of faults are kept for as long.
pub const PROVEN_EPOCHS: u64 = 64;
/// Records of faults that are long ago, and are forgotten in one block at most: those of twice as many providers as it
/// judges.
pub const FAULT_REMOVALS: usize = 512;
/// Infrastructures that may each have a twentieth of all stored bytes.
pub const LARGE_INFRASTRUCTURES: usize = 20;
/// Bonds that one block returns at most: bounded work.
pub const UNBONDINGS: usize = 256;
/// Epoch records that one block removes at most, after `draw_epochs` was lowered.
pub const EPOCH_REMOVALS: usize = 32;
/// Bytes of the body of a chain answer: at least one whole block with header and certificate.
pub const CHAIN_BODY: usize = 1152 * 1024;
/// Bytes of the records of one chunk of a snapshot, unless it has one record: with its proof it fits a chain answer.
pub const SNAPSHOT_CHUNK: usize = 896 * 1024;
/// Snapshots that a node offers.
pub const SNAPSHOTS: usize = 4;
/// Bytes of the body of a consensus message: a whole proposed block with its header.
pub const CONSENSUS_BODY: usize = 1280 * 1024;
/// Records of one answer to a listing query.
pub const PAGE: usize = 256;
/// Commitments in one answer about an object.
pub const OBJECT_COMMITMENTS: usize = 64;
/// Holders in one answer about an object: those of the data columns of all usual codes. With a commitment of 50 slots,
/// TCP then carries the answer in two round trips of a connection that is new (RFC 6928: 43 KB).
pub const OBJECT_HOLDERS: usize = 28;
/// Tickets in one answer: for each of them the node draws who rebuilds.
pub const TICKETS: usize = 64;
/// Transactions of an account in one answer: for each of them the node may have to read a whole block.
pub const ACTIVITY: usize = 32;
/// Characters of one part of a domain.
pub const NAME: usize = 64;
/// Addresses of one provider.
pub const ADDRESSES: usize = 8;
/// Characters of all its addresses together.
pub const ADDRESSES_LENGTH: usize = 512;

/// Hashes in the proof of one record: one for each bit of a key's hash.
pub const STATE_PROOF_SIBLINGS: usize = 256;
/// Hashes of the history in one answer: half a mebibyte, and a chain of 2^28 blocks in two steps.
pub const HISTORY_ROW: usize = 16_384;
/// Hashes in the proof of one block: one for each bit of the number of blocks.
pub const HISTORY_SIBLINGS: usize = 64;

/// Bytes of a path in a pack: under 32 KiB, so that two of them fit one page and every tree of pages narrows.
pub const PACK_PATH: usize = 32_000;
/// Bytes of one component of a path in a pack: what file systems allow.
pub const PACK_NAME: usize = 255;
/// Bytes of a symlink's target in a pack: what Linux allows.
pub const PACK_TARGET: usize = 4_096;
/// Entries of one pack.
pub const PACK_ENTRIES: u64 = 16 * 1024 * 1024;
/// Bytes of one page of a pack's index: about as many as the smallest read fetches anyway.
pub const PACK_PAGE: usize = 64 * 1024;
/// Pages from a pack's root to an entry: enough for the most entries in pages of two.
pub const PACK_DEPTH: usize = 25;

/// Bytes of one page of a bucket's index, unless it has one record: about as many as the smallest read fetches anyway.
pub const BUCKET_PAGE: usize = 64 * 1024;
/// Bytes of one record of a bucket's index: an object of 10,000 parts, each an object of the network of its own.
pub const BUCKET_RECORD: usize = 1024 * 1024;
/// Bytes of a page with one record of a bucket's index.
pub const BUCKET_PAGE_MAX: usize = BUCKET_RECORD + BUCKET_PAGE;
/// Bytes of all places of one page of a bucket's index together, spelled out.
pub const BUCKET_SPELLED: usize = 1024 * 1024;
/// Runs of a bucket's index: eight of each of eight levels.
pub const BUCKET_RUNS: usize = 64;

/// Seconds without progress after which a request is abandoned.
pub const STALL_SECONDS: u64 = 60;
/// Seconds that an answer may take: enough for a busy node far away, and little enough to ask another.
pub const ANSWER_SECONDS: u64 = 10;
/// Seconds more that a node may hold an answer back until it has the block that is asked for.
pub const WAIT_SECONDS: u64 = 10;
