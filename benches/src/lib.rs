//! Inputs of the benchmarks: the same on every run, and nothing about them is random but the bytes.
//!
//! The benchmarks themselves are the files beside `src/`, one for each crate that is measured. They are named
//! `module::operation/key=value`, so that a figure can be found from its code and its code from the figure.

use bytes::Bytes;
use ostrakon_proto::{
    id::{AccountId, Amount, Epoch, NodeId},
    layout::{Layout, RowId},
    ledger::state::{Candidate, Domain},
    params::Code,
    placement::{Draw, DrawSeed},
    row,
};

/// The codes that are measured: the default of a small network, and one with half its parity.
pub const CODES: [Code; 2] = [Code { k: 4, n: 12 }, Code { k: 4, n: 6 }];

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

/// One full row of a public object.
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
    /// A row of this code; sealing is measured by itself.
    pub fn new(code: Code) -> Self {
        let (stripes, segment) = (4, 64 * 1024);
        let plain = noise(stripes * usize::from(code.k) * segment);
        let size = u64::try_from(plain.len()).expect("a row is small");
        let layout = Layout::new(size, code, false).expect("a row is an object");
        let id = RowId { extent: 0, row: 0 };
        let chunks = row::encode(&layout, id, &plain, None).expect("the row fits its layout");
        Self { layout, id, plain, chunks }
    }

    /// Its chunks without as many data chunks as the code can lose.
    pub fn worst_loss(&self) -> Vec<Option<Bytes>> {
        let lost = usize::from(self.layout.code().spare().min(self.layout.code().k));
        self.chunks.iter().enumerate().map(|(index, chunk)| (index >= lost).then(|| chunk.clone())).collect()
    }
}

/// A network of this many providers, ten to a domain.
pub fn roster(providers: u32) -> Vec<Candidate> {
    let candidate = |index: u32| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&index.to_be_bytes());
        let part = |name: &str, count: u32| format!("{name}-{}", index % count.max(1));
        Candidate {
            provider: NodeId::new(id),
            domain: Domain {
                operator: part("operator", providers / 2),
                infrastructure: part("infrastructure", providers / 10),
                region: part("region", 40),
            },
            weight: (1 << 40) + u64::from(index),
            price: Amount(1),
        }
    };
    (0..providers).map(candidate).collect()
}

/// The seed of draw number `nonce`.
pub fn draw_seed(nonce: u64) -> DrawSeed {
    DrawSeed { beacon: [7; 32], account: AccountId::new([1; 32]), draw: Draw { epoch: Epoch(1), nonce }, extent: 0 }
}
