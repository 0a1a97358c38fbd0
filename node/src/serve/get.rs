//! get/1: reads a range of a column, with the hashes that prove it (`proto/wire/get`).
//!
//! In comes a column, a range and a read token or a ticket; out go the bytes. The reader verifies them; this side only
//! checks that it may have them.

use ostrakon_proto::{
    id::NodeId,
    limits, seal,
    wire::{
        Frame, Refusal, RefusalCode,
        get::{GetRequest, GetResponse, ReadAccess},
    },
};

use super::{Serve, answer, decode, no_body, refuse_store};
use crate::store::{ColumnInfo, Columns, ProvenRange, StoreError};

impl Serve {
    pub(super) async fn get(&self, from: NodeId, frame: Frame) -> Result<Frame, Refusal> {
        no_body(&frame)?;
        let request: GetRequest = decode(&frame)?;
        check_range(&request)?;
        if let ReadAccess::Ticket(ticket) = request.access {
            self.check_reader(from, ticket, request.column).await?;
        }
        let range = self.on_columns(move |columns| read(columns, &request)).await?;
        Ok(answer(GetResponse { siblings: range.siblings }, range.bytes))
    }
}

/// Checks that a subtree covers the range.
fn check_range(request: &GetRequest) -> Result<(), Refusal> {
    let length = usize::try_from(request.length).unwrap_or(usize::MAX);
    let sized =
        length.is_multiple_of(limits::GROUP) && (length / limits::GROUP).is_power_of_two() && length <= limits::CHUNK;
    if sized && request.start.is_multiple_of(u64::from(request.length)) {
        return Ok(());
    }
    let reason = format!(
        "invalid range: its length must be {} bytes times a power of two, at most {}, and its start a multiple of that",
        limits::GROUP,
        limits::CHUNK
    );
    Err(Refusal::new(RefusalCode::BadRequest, reason))
}

fn read(columns: &dyn Columns, request: &GetRequest) -> Result<ProvenRange, Refusal> {
    let column = request.column;
    let info = columns.column(&column).map_err(refuse_store)?;
    let info = info.ok_or_else(|| refuse_store(StoreError::NotFound { column }))?;
    if !admits(&info, request.access) {
        return Err(Refusal::new(RefusalCode::Denied, format!("column {column} is private: a read token is needed")));
    }
    if info.damaged {
        return Err(refuse_store(StoreError::Corrupt { column, reason: "its hash does not match" }));
    }
    columns.read(&column, request.start, request.length).map_err(refuse_store)
}

/// Whether a place of the column is public, or has this token. A ticket was checked before.
fn admits(info: &ColumnInfo, access: ReadAccess) -> bool {
    let shown = match access {
        ReadAccess::Ticket(_) => return true,
        ReadAccess::Token(token) => Some(seal::token_hash(&token)),
        ReadAccess::Public => None,
    };
    info.tokens.iter().any(|wanted| match (wanted, &shown) {
        (None, _) => true,
        (Some(wanted), Some(shown)) => same(wanted, shown),
        (Some(_), None) => false,
    })
}

/// Compares in constant time.
fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |differences, (one, other)| differences | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{id::ColumnId, wire::get::ReadToken};

    use super::*;

    #[test]
    fn ranges_are_aligned_powers_of_two() {
        let group = u32::try_from(limits::GROUP).expect("small");
        let check = |start, length, expect| {
            let request = GetRequest { column: ColumnId::new([0; 32]), access: ReadAccess::Public, start, length };
            assert_eq!(check_range(&request).is_ok(), expect, "{start} {length}");
        };
        check(0, group, true);
        check(u64::from(group), group, true);
        check(0, 16 * group, true);
        check(u64::from(group), 2 * group, false);
        check(0, 0, false);
        check(0, 1, false);
        check(0, 3 * group, false);
        check(0, 32 * group, false);
        check(1, group, false);
        check(0, u32::MAX, false);
        check(u64::MAX, group, false);
    }

    #[test]
    fn one_place_that_admits_is_enough() {
        let (token, other) = (ReadToken([1; 32]), ReadToken([2; 32]));
        let check = |tokens: &[Option<[u8; 32]>], shown: Option<ReadToken>, expect| {
            let info = ColumnInfo { column_len: 64, tokens: tokens.to_vec(), damaged: false };
            let access = shown.map_or(ReadAccess::Public, ReadAccess::Token);
            assert_eq!(admits(&info, access), expect);
        };
        let hash = Some(seal::token_hash(&token));
        check(&[None], None, true);
        check(&[None], Some(token), true);
        check(&[hash], Some(token), true);
        check(&[hash], Some(other), false);
        check(&[hash], None, false);
        check(&[hash, None], None, true);
        check(&[Some(seal::token_hash(&other)), hash], Some(token), true);
        check(&[], Some(token), false);
    }
}
