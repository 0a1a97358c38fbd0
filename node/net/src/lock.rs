//! The one way to lock: values behind our mutexes are whole after every statement, so a panic elsewhere while one was
//! held does not spoil them, and poisoning is ignored.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also when a thread panicked while it held the lock. Never hold the guard across an await.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
