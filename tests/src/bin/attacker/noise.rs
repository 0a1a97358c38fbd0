//! The encrypted TCP connection, spoken by hand (SPEC, "Wire"), so that every message of it can be malformed, empty or
//! late.
//!
//! In goes a socket with the key of an identity; out come two halves that carry plain bytes. Nothing here is the
//! node's code: an attacker does not keep to it.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use borsh::BorshSerialize;
use ostrakon_proto::{
    codec,
    id::{ChainId, NodeId},
    sign::{Keypair, Purpose, Signature},
};
use snow::TransportState;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::tally::TALLY;

const PATTERN: &str = "Noise_XX_25519_AESGCM_SHA256";
const TAG: usize = 16;
const PLAIN: usize = 65_535 - TAG;
/// Messages under one key, in one direction.
const REKEY: u64 = 65_536;

/// The half that sends.
#[derive(Debug)]
pub(crate) struct SealedOut {
    half: OwnedWriteHalf,
    noise: Arc<Mutex<TransportState>>,
    count: u64,
}

/// The half that receives.
#[derive(Debug)]
pub(crate) struct SealedIn {
    half: BufReader<OwnedReadHalf>,
    noise: Arc<Mutex<TransportState>>,
    count: u64,
    plain: Vec<u8>,
    at: usize,
}

#[derive(BorshSerialize)]
struct Payload {
    node: NodeId,
    signature: Signature,
}

/// One line of a multistream negotiation.
pub(crate) fn line(text: &str) -> Vec<u8> {
    let mut line = varint(text.len() + 1);
    line.extend_from_slice(text.as_bytes());
    line.push(b'\n');
    line
}

/// An unsigned LEB128 number.
pub(crate) fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number % 128).expect("less than 128");
        number /= 128;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 128);
    }
}

/// How a multistream negotiation begins: the offer of one protocol.
pub(crate) fn offer(protocol: &str) -> Vec<u8> {
    [line("/multistream/1.0.0"), line(protocol)].concat()
}

/// Performs the handshake as this identity.
///
/// # Errors
/// When the node does not go along.
pub(crate) async fn handshake(
    mut socket: TcpStream,
    who: &Keypair,
    chain: &ChainId,
) -> io::Result<(SealedOut, SealedIn)> {
    let builder = || snow::Builder::new(PATTERN.parse().expect("a pattern of the Noise specification"));
    let key = builder().generate_keypair().map_err(io::Error::other)?;
    let public: [u8; 32] = key.public.clone().try_into().map_err(|_| io::Error::other("a key of another length"))?;
    let payload = Payload { node: who.public(), signature: who.sign(Purpose::Channel, chain, &public) };
    let mut noise = builder()
        .prologue(chain.bytes())
        .and_then(|builder| builder.local_private_key(&key.private)?.build_initiator())
        .map_err(io::Error::other)?;
    let mut message = [0; 512];
    for (payload, is_first) in [(chain.bytes().to_vec(), true), (codec::encode(&payload), false)] {
        let len = noise.write_message(&payload, &mut message).map_err(io::Error::other)?;
        let prefix = u16::try_from(len).expect("a short message").to_be_bytes();
        socket.write_all(&[&prefix, &message[..len]].concat()).await?;
        if is_first {
            let mut prefix = [0; 2];
            socket.read_exact(&mut prefix).await?;
            let mut answer = vec![0; usize::from(u16::from_be_bytes(prefix))];
            socket.read_exact(&mut answer).await?;
            noise.read_message(&answer, &mut message).map_err(io::Error::other)?;
        }
    }
    let noise = Arc::new(Mutex::new(noise.into_transport_mode().map_err(io::Error::other)?));
    let (read, write) = socket.into_split();
    let receive = SealedIn {
        half: BufReader::with_capacity(128 * 1024, read),
        noise: Arc::clone(&noise),
        count: 0,
        plain: Vec::new(),
        at: 0,
    };
    Ok((SealedOut { half: write, noise, count: 0 }, receive))
}

impl SealedOut {
    /// Sends these bytes, in messages as large as they may be.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut sealed = Vec::with_capacity(bytes.len() + 64);
        for piece in bytes.chunks(PLAIN) {
            self.seal(piece, &mut sealed)?;
        }
        self.write(&sealed).await
    }

    /// Sends so many messages that have nothing in them.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(crate) async fn send_empty(&mut self, count: usize) -> io::Result<()> {
        let mut sealed = Vec::with_capacity(count * (2 + TAG));
        for _ in 0..count {
            self.seal(&[], &mut sealed)?;
        }
        self.write(&sealed).await
    }

    fn seal(&mut self, piece: &[u8], sealed: &mut Vec<u8>) -> io::Result<()> {
        let start = sealed.len();
        sealed.resize(start + 2 + piece.len() + TAG, 0);
        let mut noise = self.noise.lock().unwrap_or_else(PoisonError::into_inner);
        let len = noise.write_message(piece, &mut sealed[start + 2..]).map_err(io::Error::other)?;
        let prefix = u16::try_from(len).expect("a piece is short enough").to_be_bytes();
        sealed[start..start + 2].copy_from_slice(&prefix);
        self.count += 1;
        if self.count.is_multiple_of(REKEY) {
            noise.rekey_outgoing();
        }
        Ok(())
    }

    async fn write(&mut self, sealed: &[u8]) -> io::Result<()> {
        self.half.write_all(sealed).await?;
        TALLY.sent(sealed.len());
        Ok(())
    }
}

impl SealedIn {
    /// The next `count` bytes.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(crate) async fn read(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.plain.len() - self.at < count {
            self.plain.drain(..self.at);
            self.at = 0;
            let mut prefix = [0; 2];
            self.half.read_exact(&mut prefix).await?;
            let mut sealed = vec![0; usize::from(u16::from_be_bytes(prefix))];
            self.half.read_exact(&mut sealed).await?;
            let start = self.plain.len();
            self.plain.resize(start + sealed.len(), 0);
            let mut noise = self.noise.lock().unwrap_or_else(PoisonError::into_inner);
            let opened = noise.read_message(&sealed, &mut self.plain[start..]);
            self.plain.truncate(start + opened.map_err(io::Error::other)?);
            self.count += 1;
            if self.count.is_multiple_of(REKEY) {
                noise.rekey_incoming();
            }
        }
        let bytes = self.plain[self.at..self.at + count].to_vec();
        self.at += count;
        Ok(bytes)
    }
}
