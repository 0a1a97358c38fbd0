//! Ctrl-C and SIGTERM: noted when they come, and looked at by everything that waits, so that the program ends by
//! returning and every process that it started is ended with it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context, Result, ensure};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

/// Signals come to the process as a whole; so does this.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Notes signals from now on.
///
/// # Errors
/// When the system refuses.
pub fn watch() -> Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("no runtime for signals")?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    drop(guard);
    let watch = move || {
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        INTERRUPTED.store(true, Ordering::Relaxed);
    };
    thread::Builder::new().name("signals".to_owned()).spawn(watch).context("no thread for signals")?;
    Ok(())
}

/// Fails once a signal has come.
///
/// # Errors
/// Then.
pub fn check() -> Result<()> {
    ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted; what was started is ended");
    Ok(())
}
