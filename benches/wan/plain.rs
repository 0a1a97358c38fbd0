//! What plain TCP carries: so many bytes over so many connections, which share them. One side in each place.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Args as Arguments;
use ostrakon_benches::program;

const STEP: usize = 64 * 1024;
/// How long the other side may take until it listens.
const PATIENCE: Duration = Duration::from_secs(5);

/// One side.
#[derive(Debug, Arguments)]
pub(crate) struct Args {
    /// Where the other side listens; without, this side does
    #[arg(long)]
    to: Option<SocketAddr>,
    /// The port to listen on
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Connections
    #[arg(long)]
    streams: usize,
    /// Bytes of all of them together
    #[arg(long)]
    bytes: u64,
    /// Whether who connects sends; else it receives
    #[arg(long)]
    up: bool,
}

/// Moves the bytes; each connection takes the next as it can, as lanes do. Prints how many seconds that took.
pub(crate) fn run(args: &Args) -> Result<()> {
    let left = AtomicU64::new(args.bytes);
    let listener = match args.to {
        None => Some(TcpListener::bind((Ipv4Addr::UNSPECIFIED, args.port)).context("cannot listen")?),
        Some(_) => None,
    };
    let one = || -> Result<()> {
        let mut stream = match (&listener, args.to) {
            (Some(listener), _) => listener.accept()?.0,
            (None, Some(to)) => connect(to)?,
            (None, None) => return Ok(()),
        };
        if args.up == args.to.is_some() { send(&mut stream, &left) } else { receive(&mut stream) }
    };
    let begun = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..args.streams).map(|_| scope.spawn(one)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    program::write(&begun.elapsed().as_secs_f64().to_string(), None)
}

fn connect(to: SocketAddr) -> Result<TcpStream> {
    let begun = Instant::now();
    loop {
        match TcpStream::connect(to) {
            Err(error) if begun.elapsed() > PATIENCE => return Err(error).context("cannot connect"),
            Err(_) => thread::sleep(Duration::from_millis(20)),
            Ok(stream) => return Ok(stream),
        }
    }
}

/// Sends what is left, and waits until all of its own has arrived.
fn send(stream: &mut TcpStream, left: &AtomicU64) -> Result<()> {
    let bytes = vec![7; STEP];
    let step = u64::try_from(STEP)?;
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(step)).is_ok() {
        stream.write_all(&bytes)?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn receive(stream: &mut TcpStream) -> Result<()> {
    let mut buffer = vec![0; STEP];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}
