//! The beginning of a body, in bounded memory: whether it is small, and is to wait for a batch.
//!
//! Memory is taken as bytes come, so that who announces a body and does not send it takes none. A body that gets none
//! in time is stored as a large one is, by itself.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::BucketError;

/// A body of at most this many bytes is written into a batch.
pub(super) const INLINE: u64 = 1024 * 1024;
/// KiB of small bodies that come, wait for a batch, or are written into one; and of the beginnings of large ones.
const KIB: usize = 64 * 1024;
/// Bytes that are read at a time at most.
const STEP: u16 = 32 * 1024;
/// How long a small body waits for memory.
const PATIENCE: Duration = Duration::from_secs(5);

/// The beginning of a body.
pub(super) enum Beginning {
    /// All of it, with the memory that it holds.
    Small(Vec<u8>, Option<OwnedSemaphorePermit>),
    /// There is more, or no memory for it to wait in.
    Large(Vec<u8>),
}

/// Memory for beginnings. What is announced as large has memory of its own: it may take its time.
#[derive(Debug)]
pub(super) struct Beginnings {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Beginnings {
    pub(super) fn new() -> Self {
        let [small, large] = [(); 2].map(|()| Arc::new(Semaphore::new(KIB)));
        Self { small, large }
    }

    /// Reads the beginning of a body, of which so many bytes are announced.
    ///
    /// # Errors
    /// Why the body cannot be read.
    pub(super) async fn read(
        &self,
        mut body: impl AsyncRead + Unpin,
        announced: Option<u64>,
    ) -> Result<Beginning, BucketError> {
        let is_large = announced.is_some_and(|size| size > INLINE);
        let (memory, patience) = if is_large { (&self.large, Duration::ZERO) } else { (&self.small, PATIENCE) };
        let (mut first, mut held) = (Vec::new(), None);
        loop {
            first.reserve(STEP.into());
            let read = (&mut body).take(STEP.into()).read_buf(&mut first).await.map_err(BucketError::of_body)?;
            if read == 0 {
                return Ok(Beginning::Small(first, held));
            }
            let fits = u64::try_from(first.len()).is_ok_and(|bytes| bytes <= INLINE);
            if !fits || !hold(&mut held, first.len(), (memory, patience)).await {
                return Ok(Beginning::Large(first));
            }
        }
    }
}

/// Holds memory for so many bytes; false where there is none in time.
async fn hold(
    held: &mut Option<OwnedSemaphorePermit>,
    bytes: usize,
    (memory, patience): (&Arc<Semaphore>, Duration),
) -> bool {
    let wanted = bytes.div_ceil(1024) - held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    let wanted = u32::try_from(wanted).expect("a MiB at most");
    let Ok(Ok(more)) = timeout(patience, Arc::clone(memory).acquire_many_owned(wanted)).await else { return false };
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
    true
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    const MIB: usize = 1024 * 1024;

    async fn read(beginnings: &Beginnings, bytes: usize) -> Beginning {
        beginnings.read(&vec![7; bytes][..], None).await.expect("bytes")
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_small_up_to_a_mebibyte() {
        let beginnings = Beginnings::new();
        for bytes in [0, 1, 1024, MIB] {
            let Beginning::Small(first, held) = read(&beginnings, bytes).await else { panic!("{bytes} bytes are few") };
            assert_eq!(first.len(), bytes);
            assert_eq!(held.map_or(0, |held| held.num_permits()), bytes.div_ceil(1024));
        }
        let Beginning::Large(first) = read(&beginnings, 2 * MIB).await else { panic!("it is large") };
        assert!(first.len() > MIB && first.len() <= MIB + 64 * 1024);
        assert_eq!([beginnings.small.available_permits(), beginnings.large.available_permits()], [KIB; 2]);
    }

    /// Bodies of which most is announced and not sent leave the memory to others.
    #[tokio::test(start_paused = true)]
    async fn who_stalls_takes_no_memory_of_others() {
        let beginnings = Arc::new(Beginnings::new());
        let mut stalled = Vec::new();
        for announced in [Some(1 << 30), Some(1 << 20), None] {
            for _ in 0..150 {
                let (mut far, near) = duplex(MIB);
                far.write_all(&vec![1; 100 * 1024]).await.expect("there is space");
                let beginnings = Arc::clone(&beginnings);
                let reading = tokio::spawn(async move { beginnings.read(near, announced).await.map(drop) });
                stalled.push((far, reading));
            }
        }
        tokio::time::sleep(PATIENCE * 2).await;
        assert!(stalled.iter().all(|(_, reading)| !reading.is_finished()));
        let before = tokio::time::Instant::now();
        assert!(matches!(read(&beginnings, MIB).await, Beginning::Small(..)));
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn where_there_is_no_memory_a_body_is_stored_by_itself() {
        let beginnings = Beginnings::new();
        let mut small = Vec::new();
        for _ in 0..KIB / 1024 {
            small.push(read(&beginnings, MIB).await);
        }
        let before = tokio::time::Instant::now();
        assert!(matches!(read(&beginnings, 4096).await, Beginning::Large(_)));
        assert_eq!(before.elapsed(), PATIENCE);
        small.pop();
        assert!(matches!(read(&beginnings, 4096).await, Beginning::Small(..)));
    }
}
