//! A client of HTTP/1.1 that costs next to nothing, so that what is measured is the server: one connection that is
//! kept, bodies that are sent from memory, answers that are handed on as they arrive.

use std::{io::Write, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// No request takes longer: a GiB at 2 MB/s.
const PATIENCE: Duration = Duration::from_secs(600);
/// Bytes that are read at a time.
const STEP: usize = 256 * 1024;
/// Bytes that the headers of an answer, or a line between chunks, have at most.
const HEAD_MAX: usize = 64 * 1024;
/// Bytes of an answer that is not handed on.
const BODY_MAX: usize = 16 * 1024 * 1024;

/// A body: a block of bytes, so many times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    pub(crate) block: &'a [u8],
    pub(crate) times: u64,
}

impl<'a> Body<'a> {
    /// No bytes.
    pub(crate) const NONE: Self = Self { block: &[], times: 0 };

    /// These bytes.
    pub(crate) const fn of(block: &'a [u8]) -> Self {
        Self { block, times: 1 }
    }

    fn length(&self) -> Result<u64> {
        Ok(u64::try_from(self.block.len())? * self.times)
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'static str,
    /// Path and query, as they are sent.
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body<'a>,
}

/// Takes the bytes of an answer as they arrive.
pub(crate) type Sink<'a> = &'a mut (dyn FnMut(&[u8]) -> Result<()> + Send);

/// A connection that is kept from one request to the next.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What was read and not used: `buffer[used..]`.
    buffer: Vec<u8>,
    used: usize,
}

/// How the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Bytes(u64),
    Chunks,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(STEP), used: 0 })
    }

    /// Sends a request whose answer must be good, and returns the answer's body.
    pub(crate) async fn ask(&mut self, request: &Request<'_>) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        self.hand_on(request, &mut |bytes| {
            ensure!(body.len() + bytes.len() <= BODY_MAX, "the answer has over {BODY_MAX} bytes");
            body.extend_from_slice(bytes);
            Ok(())
        })
        .await?;
        Ok(body)
    }

    /// Sends a request whose answer must be good, and hands its body on; returns how many bytes that were.
    pub(crate) async fn hand_on(&mut self, request: &Request<'_>, sink: Sink<'_>) -> Result<u64> {
        let what = || format!("{} {}", request.method, request.target);
        timeout(PATIENCE, self.exchange(request, sink)).await.with_context(what)?.with_context(what)
    }

    async fn exchange(&mut self, request: &Request<'_>, sink: Sink<'_>) -> Result<u64> {
        self.send(request).await?;
        let (status, length) = self.read_head().await?;
        let length = if request.method == "HEAD" || status == 204 { Length::Bytes(0) } else { length };
        if (200..300).contains(&status) {
            return self.read_body(length, sink).await;
        }
        let mut text = Vec::new();
        let mut keep = |bytes: &[u8]| {
            text.extend_from_slice(&bytes[..bytes.len().min(HEAD_MAX.saturating_sub(text.len()))]);
            Ok(())
        };
        self.read_body(length, &mut keep).await?;
        bail!("answered with status {status}: {}", String::from_utf8_lossy(&text))
    }

    async fn send(&mut self, request: &Request<'_>) -> Result<()> {
        let Request { method, target, headers, body } = request;
        let mut head = Vec::with_capacity(1024);
        write!(head, "{method} {target} HTTP/1.1\r\n")?;
        headers.iter().try_for_each(|(name, value)| write!(head, "{name}: {value}\r\n"))?;
        if *method == "PUT" {
            write!(head, "content-length: {}\r\n", body.length()?)?;
        }
        head.extend_from_slice(b"\r\n");
        if body.block.len() <= STEP && body.times == 1 {
            // In one packet with the headers.
            head.extend_from_slice(body.block);
            return Ok(self.stream.write_all(&head).await?);
        }
        self.stream.write_all(&head).await?;
        for _ in 0..body.times {
            self.stream.write_all(body.block).await?;
        }
        Ok(())
    }

    async fn read_head(&mut self) -> Result<(u16, Length)> {
        let head = loop {
            let end = self.buffer[self.used..].windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = String::from_utf8_lossy(&self.buffer[self.used..self.used + end]).into_owned();
                self.used += end + 4;
                break head;
            }
            ensure!(self.buffer.len() - self.used < HEAD_MAX, "the headers do not end");
            self.fill().await?;
        };
        parse_head(&head)
    }

    async fn read_body(&mut self, length: Length, sink: Sink<'_>) -> Result<u64> {
        if let Length::Bytes(bytes) = length {
            self.read_bytes(bytes, sink).await?;
            return Ok(bytes);
        }
        let mut all = 0;
        loop {
            let line = self.read_line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let bytes = u64::from_str_radix(digits, 16).with_context(|| format!("not a chunk's length: {line:?}"))?;
            self.read_bytes(bytes, &mut *sink).await?;
            // Trailers are not asked for, so an empty line ends the last chunk too.
            ensure!(self.read_line().await?.is_empty(), "a chunk is longer than it said");
            if bytes == 0 {
                return Ok(all);
            }
            all += bytes;
        }
    }

    async fn read_line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.buffer[self.used..].windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[self.used..self.used + end]).into_owned();
                self.used += end + 2;
                return Ok(line);
            }
            ensure!(self.buffer.len() - self.used < HEAD_MAX, "a line does not end");
            self.fill().await?;
        }
    }

    async fn read_bytes(&mut self, mut left: u64, sink: Sink<'_>) -> Result<()> {
        while left > 0 {
            if self.used == self.buffer.len() {
                self.fill().await?;
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let step = most.min(self.buffer.len() - self.used);
            sink(&self.buffer[self.used..self.used + step])?;
            self.used += step;
            left -= u64::try_from(step)?;
        }
        Ok(())
    }

    /// Reads more behind what is not used.
    async fn fill(&mut self) -> Result<()> {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.reserve(STEP);
        let read = self.stream.read_buf(&mut self.buffer).await?;
        ensure!(read > 0, "the connection was closed");
        Ok(())
    }
}

/// The status, and how the body ends, by the headers without the empty line.
fn parse_head(head: &str) -> Result<(u16, Length)> {
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("not a status line: {first:?}"))?;
    let mut length = Length::Bytes(0);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Length::Bytes(value.trim().parse().with_context(|| format!("not a length: {value:?}"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            ensure!(value.trim().eq_ignore_ascii_case("chunked"), "an encoding that is not asked for: {value}");
            return Ok((status, Length::Chunks));
        }
    }
    Ok((status, length))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn the_end_of_a_body_is_known_from_the_headers() {
        let check = |head: &str, expect: Option<(u16, Length)>| assert_eq!(parse_head(head).ok(), expect, "{head}");
        check("HTTP/1.1 200 OK\r\nContent-Length: 12", Some((200, Length::Bytes(12))));
        check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked", Some((200, Length::Chunks)));
        check("HTTP/1.1 204 No Content", Some((204, Length::Bytes(0))));
        check("HTTP/1.1 200 OK\r\ncontent-length: many", None);
        check("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip", None);
        check("hello", None);
    }

    /// Two answers on one connection, cut anywhere.
    #[tokio::test]
    async fn answers_follow_each_other_on_one_connection() {
        let answers = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n\
                       HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone\
                       HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        for step in [1, 7, 1_000] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("bound");
            let serving = tokio::spawn(async move {
                let (mut socket, _) = listener.accept().await.expect("a client");
                for piece in answers.as_bytes().chunks(step) {
                    socket.write_all(piece).await.expect("the client reads");
                }
                let mut asked = Vec::new();
                socket.read_to_end(&mut asked).await.expect("the client ends");
                asked
            });
            let mut connection = Connection::open(address).await.expect("connects");
            let body = Body { block: b"xy", times: 2 };
            let request = Request { method: "PUT", target: "/a".into(), headers: vec![("host", "h".into())], body };
            assert_eq!(connection.ask(&request).await.expect("good"), b"abcde");
            let error = connection.ask(&request).await.expect_err("not found");
            assert!(format!("{error:#}").contains("404: gone"), "{error:#}");
            assert_eq!(connection.ask(&request).await.expect("good"), b"ok");
            drop(connection);
            let asked = serving.await.expect("no panic");
            assert_eq!(asked, b"PUT /a HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nxyxy".repeat(3));
        }
    }
}
