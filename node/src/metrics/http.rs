//! Answers scrapes over HTTP/1.1: `GET /metrics`, and nothing else.
//!
//! In come connections, none of them trusted; out goes the text of the metrics, made for each scrape. The protocol is
//! hyper's. Here is what bounds it: a connection carries one request, of a bounded length, and ends by a deadline; few
//! are open at a time, and more wait in the system's queue. Not here: what the text says.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

/// Connections that are open at a time.
const CONNECTIONS: usize = 4;
/// Bytes of a request's line and headers; hyper takes no smaller limit.
const HEAD: usize = 8192;
/// How long a connection may take, from its acceptance to the end of its answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a connection's place is kept at least: together they answer at most 80 times a second, so that who scrapes
/// without pause takes little of the processor.
const PAUSE: Duration = Duration::from_millis(50);
const OPENMETRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Makes the text of the metrics.
pub type Text = Arc<dyn Fn() -> String + Send + Sync>;

/// Answers the connections of `listener` with `text`. Never returns; dropping the future ends all of them but those in
/// progress, which end by their deadline.
pub async fn serve(listener: TcpListener, text: Text) -> Infallible {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((socket, _)) => {
                let text = Arc::clone(&text);
                tokio::spawn(async move {
                    tokio::join!(connection(socket, text), sleep(PAUSE));
                    drop(place);
                });
            }
            // Such as too many open files: trying again immediately would fail again.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for metrics");
                sleep(DEADLINE).await;
            }
        }
    }
}

/// Answers one request.
async fn connection<T: AsyncRead + AsyncWrite + Unpin>(socket: T, text: Text) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = respond(request.method(), request.uri().path(), &*text);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    // One who shuts its sending half after the request still gets the answer.
    http.keep_alive(false).half_close(true).max_buf_size(HEAD);
    match timeout(DEADLINE, http.serve_connection(TokioIo::new(socket), service)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "request for metrics not answered"),
        Err(_) => tracing::debug!("connection for metrics took too long; closed"),
    }
}

/// The answer to a request; hyper leaves out the body of one to `HEAD`.
fn respond(method: &Method, path: &str, text: &dyn Fn() -> String) -> Response<String> {
    let (status, content_type, body) = match (path, method) {
        ("/metrics", &Method::GET | &Method::HEAD) => (StatusCode::OK, OPENMETRICS, text()),
        ("/metrics", _) => (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "metrics are read with GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, PLAIN, "not found; metrics are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        net::TcpStream,
        task::JoinHandle,
        time::Instant,
    };

    use super::*;

    fn text(bytes: usize) -> Text {
        Arc::new(move || "m".repeat(bytes))
    }

    /// A connection, and the task that serves it with a text of so many bytes.
    fn connect(bytes: usize) -> (DuplexStream, JoinHandle<()>) {
        let (near, far) = duplex(1024);
        (near, tokio::spawn(connection(far, text(bytes))))
    }

    /// The status line and what follows the headers of the answer to `request`.
    async fn answer(request: &[u8]) -> (String, String) {
        let (near, serving) = connect(3);
        let (mut input, mut output) = tokio::io::split(near);
        // Sent in pieces, and not all of it is read.
        let request = request.to_vec();
        let sending = tokio::spawn(async move {
            for piece in request.chunks(700) {
                if output.write_all(piece).await.is_err() {
                    break;
                }
            }
            output
        });
        let mut answer = Vec::new();
        let _reset = input.read_to_end(&mut answer).await;
        serving.await.expect("no panic");
        drop(sending.await);
        let answer = String::from_utf8(answer).expect("ASCII");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn one_path_and_one_method_are_answered_with_metrics() {
        let steps = [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK", "mmm"),
            ("GET /metrics?name=x HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK", "mmm"),
            ("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK", ""),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 Not Found", "not found; metrics are at /metrics\n"),
            (
                "GET /metrics/ HTTP/1.1\r\nHost: a\r\n\r\n",
                "HTTP/1.1 404 Not Found",
                "not found; metrics are at /metrics\n",
            ),
            (
                "GET /%6detrics HTTP/1.1\r\nHost: a\r\n\r\n",
                "HTTP/1.1 404 Not Found",
                "not found; metrics are at /metrics\n",
            ),
            (
                "DELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
                "HTTP/1.1 405 Method Not Allowed",
                "metrics are read with GET\n",
            ),
            (
                "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
                "HTTP/1.1 405 Method Not Allowed",
                "metrics are read with GET\n",
            ),
        ];
        for (request, status, body) in steps {
            assert_eq!(answer(request.as_bytes()).await, (status.to_owned(), body.to_owned()), "{request:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_request_is_refused() {
        let huge_line = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(2 * HEAD));
        let huge_header = format!("GET /metrics HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(2 * HEAD));
        let many_headers = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200));
        let too_large = "HTTP/1.1 431 Request Header Fields Too Large";
        for (request, status) in [
            (huge_line.as_bytes(), too_large),
            (huge_header.as_bytes(), too_large),
            (many_headers.as_bytes(), too_large),
            (b"\0\xff\x16\x03\x01 \r\n\r\n", "HTTP/1.1 400 Bad Request"),
            (b"GET /metrics HTTP/9.9\r\n\r\n", "HTTP/1.1 400 Bad Request"),
            (b"", ""),
        ] {
            let answer = answer(request).await;
            assert_eq!(answer, (status.to_owned(), String::new()), "{:?}", request.get(..40));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_pipelined_requests_one_is_answered() {
        let one = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(answer(one.repeat(100).as_bytes()).await, ("HTTP/1.1 200 OK".to_owned(), "mmm".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_clients_are_closed_at_the_deadline() {
        let began = Instant::now();
        // One says nothing, one sends a byte now and then, one never reads.
        let (silent, silent_serving) = connect(3);
        let (mut slow, slow_serving) = connect(3);
        let (mut deaf, deaf_serving) = connect(1 << 20);
        deaf.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("written");
        let dripping = tokio::spawn(async move {
            for byte in b"GET /metrics HTTP/1.1\r\n".iter().cycle() {
                if slow.write_all(&[*byte]).await.is_err() {
                    break;
                }
                sleep(Duration::from_millis(500)).await;
            }
        });
        for serving in [silent_serving, slow_serving, deaf_serving] {
            serving.await.expect("no panic");
        }
        assert!(began.elapsed() <= DEADLINE + Duration::from_millis(10), "{:?}", began.elapsed());
        dripping.await.expect("no panic");
        drop((silent, deaf));
    }

    #[tokio::test]
    async fn a_few_connections_are_open_and_more_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("bound");
        let serving = tokio::spawn(serve(listener, text(3)));
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(TcpStream::connect(address).await.expect("connected"));
        }
        let mut next = TcpStream::connect(address).await.expect("in the system's queue");
        next.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("written");
        let mut answer = String::new();
        // All places are taken by silent ones, until the first of them goes.
        assert!(timeout(PAUSE * 2, next.read_to_string(&mut answer)).await.is_err());
        drop(held.pop());
        next.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("mmm"), "{answer}");
        serving.abort();
    }
}
