//! STANDIN
use crate::id::BlockId;
use borsh::{BorshDeserialize, BorshSerialize};
/// x
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Peaks {
    last: [u8; 32],
}
impl Peaks {
    /// x
    pub fn append(&mut self, id: &BlockId) {
        self.last = *blake3::hash(&[self.last, *id.bytes()].concat()).as_bytes();
    }
    /// x
    pub fn root(&self) -> [u8; 32] {
        self.last
    }
}
