//! The upload sessions of this node: which node may add to each, and which are idle for too long. Pure.
//!
//! In come opened uploads and the time, out goes the session that a request names, if it is the client's. The bytes are
//! in the store; the session has what the receipt will say.

use std::{collections::BTreeMap, time::Duration};

use ostrakon_proto::{
    id::{AccountId, NodeId, ObjectId},
    sign::Signature,
    wire::put::{Open, UploadId},
};
use tokio::time::Instant;

/// The most uploads: as many as the store holds open, so that none is evicted for a stranger's.
const COUNT: usize = 256;
/// The most uploads of one account.
const PER_ACCOUNT: usize = 128;
/// The most finished uploads that are remembered.
const FINISHED: usize = 4096;
/// Idle time after which an upload is dropped: long enough for a client that crashed or lost its network to resume. The
/// account's credit bounds what waits so long.
const IDLE: Duration = Duration::from_secs(3600);
/// Idle time after which an upload may be evicted by a new one, when there are too many.
const YIELDING: Duration = Duration::from_secs(600);
/// How long a finished upload is answered again: the first answer may be lost, or the client restarted.
const REPEAT: Duration = Duration::from_secs(3600);

/// An upload in progress, or recently finished.
#[derive(Clone, Debug)]
pub(super) struct UploadSession {
    /// The node that may add to it.
    pub(super) from: NodeId,
    /// The request that opened it.
    pub(super) open: Open,
    /// Its result, once it is finished.
    pub(super) finished: Option<Finished>,
    touched: Instant,
}

/// The result of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finished {
    /// The object whose manifest listed the column.
    pub(super) object: ObjectId,
    /// The column's length in bytes.
    pub(super) column_len: u64,
    /// The receipt.
    pub(super) receipt: Signature,
}

/// Why an upload cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UploadSessionError {
    /// Try again later.
    #[error("the node has {COUNT} uploads in progress, the most it allows; try again later")]
    Full,
    /// Finish some first.
    #[error("the account has {PER_ACCOUNT} uploads in progress on this node, the most it allows; finish some first")]
    AccountFull,
    /// Choose another id.
    #[error("the upload's id is in use by another upload; choose another id")]
    Taken,
}

/// All uploads in progress, and recently finished ones.
#[derive(Debug, Default)]
pub(super) struct UploadSessions {
    open: BTreeMap<UploadId, UploadSession>,
    finished: BTreeMap<UploadId, UploadSession>,
    of_account: BTreeMap<AccountId, usize>,
}

impl UploadSessions {
    /// Opens an upload for `from`, or hands it over: the account may return as another node. Returns its result if it
    /// is finished already. Call [`UploadSessions::evict_idle`] before.
    pub(super) fn open(
        &mut self,
        from: NodeId,
        open: Open,
        now: Instant,
    ) -> Result<Option<Finished>, UploadSessionError> {
        if let Some(before) = self.get_mut(&open.upload) {
            if before.open != open {
                return Err(UploadSessionError::Taken);
            }
            (before.from, before.touched) = (from, now);
            return Ok(before.finished);
        }
        if self.of_account.get(&open.account).is_some_and(|count| *count >= PER_ACCOUNT) {
            return Err(UploadSessionError::AccountFull);
        }
        if self.open.len() >= COUNT {
            return Err(UploadSessionError::Full);
        }
        *self.of_account.entry(open.account).or_default() += 1;
        self.open.insert(open.upload, UploadSession { from, open, finished: None, touched: now });
        Ok(None)
    }

    /// Drops the longest idle upload whose slot a new one of this account needs, if it is idle for long enough.
    pub(super) fn evict_idle(&mut self, open: &Open, now: Instant) -> Option<UploadId> {
        if self.get_mut(&open.upload).is_some() {
            return None;
        }
        let crowded = self.of_account.get(&open.account).is_some_and(|count| *count >= PER_ACCOUNT);
        if !crowded && self.open.len() < COUNT {
            return None;
        }
        let in_the_way = |upload: &UploadSession| !crowded || upload.open.account == open.account;
        let candidates = self.open.iter().filter(|(_, upload)| in_the_way(upload));
        let (id, longest) = candidates.min_by_key(|(_, upload)| upload.touched)?;
        let id = (now.saturating_duration_since(longest.touched) >= YIELDING).then_some(*id)?;
        self.remove(&id);
        Some(id)
    }

    /// The upload, if it belongs to `from`; counts as activity.
    pub(super) fn touch(&mut self, id: &UploadId, from: &NodeId, now: Instant) -> Option<UploadSession> {
        let upload = self.get_mut(id).filter(|upload| upload.from == *from)?;
        upload.touched = now;
        Some(upload.clone())
    }

    /// The upload is a stored column now.
    pub(super) fn finish(&mut self, id: &UploadId, finished: Finished) {
        let Some(upload) = self.remove(id) else { return };
        if self.finished.len() >= FINISHED {
            let oldest = self.finished.iter().min_by_key(|(_, upload)| upload.touched).map(|(id, _)| *id);
            oldest.map(|id| self.finished.remove(&id));
        }
        self.finished.insert(*id, UploadSession { finished: Some(finished), ..upload });
    }

    /// Drops an upload in progress.
    pub(super) fn remove(&mut self, id: &UploadId) -> Option<UploadSession> {
        let upload = self.open.remove(id)?;
        if let Some(count) = self.of_account.get_mut(&upload.open.account) {
            *count -= 1;
            if *count == 0 {
                self.of_account.remove(&upload.open.account);
            }
        }
        Some(upload)
    }

    /// Drops what is idle for too long; returns those that were never finished.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<UploadId> {
        let idle = |upload: &UploadSession| now.saturating_duration_since(upload.touched);
        self.finished.retain(|_, upload| idle(upload) < REPEAT);
        let stale = self.open.iter().filter(|(_, upload)| idle(upload) >= IDLE).map(|(id, _)| *id);
        let stale: Vec<UploadId> = stale.collect();
        for id in &stale {
            self.remove(id);
        }
        stale
    }

    fn get_mut(&mut self, id: &UploadId) -> Option<&mut UploadSession> {
        self.open.get_mut(id).or_else(|| self.finished.get_mut(id))
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{id::Epoch, params::Code, placement::Draw};

    use super::*;

    fn open(number: u16, account: u8) -> Open {
        let mut upload = UploadId([0; 16]);
        upload.0[..2].copy_from_slice(&number.to_le_bytes());
        Open {
            upload,
            holder: NodeId::new([9; 32]),
            account: AccountId::new([account; 32]),
            draw: Draw { epoch: Epoch(0), nonce: 0 },
            extent: 0,
            index: 0,
            code: Code { k: 1, n: 3 },
            reserve: 64,
        }
    }

    #[test]
    fn uploads_belong_to_who_opened_them_last() {
        let (mut uploads, now) = (UploadSessions::default(), Instant::now());
        let (one, two) = (NodeId::new([1; 32]), NodeId::new([2; 32]));
        assert_eq!(uploads.open(one, open(1, 1), now), Ok(None));
        assert_eq!(uploads.open(one, open(1, 2), now), Err(UploadSessionError::Taken));
        assert!(uploads.touch(&open(1, 1).upload, &one, now).is_some());
        assert!(uploads.touch(&open(1, 1).upload, &two, now).is_none());
        assert_eq!(uploads.open(two, open(1, 1), now), Ok(None));
        assert!(uploads.touch(&open(1, 1).upload, &one, now).is_none());
        assert!(uploads.touch(&open(1, 1).upload, &two, now).is_some());
    }

    #[test]
    fn uploads_are_bounded() {
        let (mut uploads, now, node) = (UploadSessions::default(), Instant::now(), NodeId::new([1; 32]));
        let bound = u16::try_from(PER_ACCOUNT).expect("small");
        for number in 0..bound {
            assert_eq!(uploads.open(node, open(number, 1), now), Ok(None));
        }
        assert_eq!(uploads.open(node, open(bound, 1), now), Err(UploadSessionError::AccountFull));
        for number in bound..u16::try_from(COUNT).expect("small") {
            let account = u8::try_from(number / bound + 1).expect("small");
            assert_eq!(uploads.open(node, open(number, account), now), Ok(None));
        }
        assert_eq!(uploads.open(node, open(u16::MAX, 99), now), Err(UploadSessionError::Full));
        let later = now + YIELDING;
        assert_eq!(uploads.evict_idle(&open(0, 1), later), None, "it is open already");
        assert_eq!(uploads.evict_idle(&open(u16::MAX, 99), now), None, "none is idle for long enough");
        uploads.touch(&open(0, 1).upload, &node, later).expect("open");
        assert_eq!(uploads.evict_idle(&open(999, 1), later), Some(open(1, 1).upload), "its own, longest idle");
        assert_eq!(uploads.evict_idle(&open(u16::MAX, 99), later), None, "there is room now");
        assert_eq!(uploads.open(node, open(u16::MAX, 99), later), Ok(None));
        assert!(uploads.evict_idle(&open(u16::MAX - 1, 99), later).is_some());
        assert_eq!(uploads.open(node, open(u16::MAX - 1, 99), later), Ok(None));
        assert_eq!(uploads.expire(later + IDLE).len(), COUNT);
        assert!(uploads.open.is_empty() && uploads.of_account.is_empty());
    }

    #[test]
    fn finished_uploads_answer_for_a_while_and_count_no_more() {
        let (mut uploads, now, node) = (UploadSessions::default(), Instant::now(), NodeId::new([1; 32]));
        uploads.open(node, open(1, 1), now).expect("room");
        let finished = Finished { object: ObjectId::new([7; 32]), column_len: 64, receipt: Signature([8; 64]) };
        uploads.finish(&open(1, 1).upload, finished);
        let found = uploads.touch(&open(1, 1).upload, &node, now).expect("kept");
        assert_eq!(found.finished, Some(finished));
        assert_eq!(uploads.open(node, open(1, 1), now), Ok(Some(finished)));
        assert!(uploads.open.is_empty() && uploads.of_account.is_empty());
        assert_eq!(uploads.expire(now + REPEAT), []);
        assert!(uploads.touch(&open(1, 1).upload, &node, now).is_none());
    }
}
