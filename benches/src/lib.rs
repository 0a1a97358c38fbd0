//! Inputs of the benchmarks: the same on every run, and nothing about them is random but the bytes. Also what the
//! programs that measure whole processes have in common: what a command costs ([`run`]), tables of [`figures`] and of
//! what is [`wanted`], this build beside an earlier one ([`against`]), [`garage`] to be measured beside, and how such a
//! program begins and ends ([`program`]). The devnets that they run are those of the tests.
//!
//! The benchmarks themselves are the files beside `src/`, one for each crate that is measured. They are named
//! `module::operation/key=value`, so that a figure can be found from its code and its code from the figure. What whole
//! processes cost, and other systems beside ours, is measured by the program in `compare/`; what the ledger takes when
//! many submit, by the one in `load/`; a gateway and its clients, by the one in `gateway/`.

pub mod against;
pub mod figures;
mod float;
pub mod garage;
pub mod live;
pub mod network;
pub mod ports;
pub mod program;
pub mod run;
pub mod table;
pub mod wanted;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bytes::Bytes;
use ostrakon_proto::{
    id::{AccountId, Amount, Epoch, NodeId},
    layout::{Layout, RowId},
    ledger::state::Domain,
    limits::{CHUNK, PIECE, SEGMENT},
    params::Code,
    placement::{Draw, DrawSeed, Offer, Roster, RosterEntry},
    row,
    seal::Sealer,
};

pub use self::float::float;

/// The codes that are measured: the default of a small network, and one with half its parity.
pub const CODES: [Code; 2] = [Code { k: 4, n: 12 }, Code { k: 4, n: 6 }];

/// The directory of this program, which holds the commands too.
///
/// # Errors
/// When the path of this program cannot be found.
pub fn beside() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    program.parent().map(Path::to_owned).context("a program lies in a directory")
}

/// A directory in `above`, or else beside this program, that is gone when dropped.
///
/// # Errors
/// When it cannot be made.
pub fn scratch(above: Option<&Path>) -> Result<tempfile::TempDir> {
    let above = above.map_or_else(|| Ok(beside()?.join("scratch")), |above| anyhow::Ok(above.to_owned()))?;
    let made = std::fs::create_dir_all(&above).and_then(|()| tempfile::tempdir_in(std::fs::canonicalize(&above)?));
    made.with_context(|| format!("cannot make a directory in {}", above.display()))
}

/// `len` bytes that do not compress.
pub fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fill(&mut bytes);
    bytes
}

fn fill(bytes: &mut [u8]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for byte in bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state.to_le_bytes()[3];
    }
}

/// A length as the agreement counts it.
pub fn count(len: usize) -> u64 {
    u64::try_from(len).expect("no length of this machine is longer")
}

/// One full row of an object.
#[derive(Debug)]
pub struct Row {
    /// The object's layout.
    pub layout: Layout,
    /// Which row.
    pub id: RowId,
    /// Its plaintext.
    pub plain: Vec<u8>,
    /// Its n chunks.
    pub chunks: Vec<Bytes>,
}

impl Row {
    /// A row of this code, of a private object when there is a sealer and else of a public one.
    pub fn new(code: Code, sealer: Option<&Sealer>) -> Self {
        let cell = if sealer.is_some() { PIECE } else { SEGMENT };
        let plain = noise(CHUNK / SEGMENT * usize::from(code.k) * cell);
        let layout = Layout::new(count(plain.len()), code, sealer.is_some()).expect("a row is an object");
        let id = RowId { extent: 0, row: 0 };
        let chunks = row::encode(&layout, id, &plain, sealer).expect("the row fits its layout");
        Self { layout, id, plain, chunks }
    }

    /// All its chunks.
    pub fn no_loss(&self) -> Vec<Option<Bytes>> {
        self.chunks.iter().cloned().map(Some).collect()
    }

    /// Its chunks without as many data chunks as the code can lose.
    pub fn worst_loss(&self) -> Vec<Option<Bytes>> {
        let lost = usize::from(self.layout.code().spare().min(self.layout.code().k));
        self.chunks.iter().enumerate().map(|(index, chunk)| (index >= lost).then(|| chunk.clone())).collect()
    }
}

/// A network of this many providers, ten to a domain.
pub fn roster(providers: u32) -> Roster {
    let candidate = |index: u32| {
        let id = *blake3::hash(&index.to_be_bytes()).as_bytes();
        let part = |name: &str, count: u32| format!("{name}-{}", index % count.max(1));
        let domain = Domain {
            operator: part("operator", providers / 2),
            infrastructure: part("infrastructure", providers / 10),
            region: part("region", 40),
        };
        let offer = Offer { weight: (1 << 40) + u64::from(index), price: Amount(1), domain: (&domain).into() };
        RosterEntry { provider: NodeId::new(id), offer }
    };
    (0..providers).map(candidate).collect()
}

/// The seed of draw number `nonce`.
pub fn draw_seed(number: u32) -> DrawSeed {
    let draw = Draw { epoch: Epoch(1), number };
    DrawSeed { randomness: [7; 32], account: AccountId::new([1; 32]), draw, extent: 0 }
}
