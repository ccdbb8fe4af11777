//! `GET /metrics` over HTTP/1.1, for a scraper on this computer or its management network. Nothing secret stands there.

use super::Metrics;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tonic::codegen::http::{Method, Request, Response, StatusCode, header};

/// Connections at a time.
const CONNECTIONS: usize = 16;
/// A request's head is here in this time, and a connection's whole life is at most [`LIFE`].
const HEAD: Duration = Duration::from_secs(5);
const LIFE: Duration = Duration::from_secs(60);
/// Octets of a request's head.
const BUFFER: usize = 16 * 1024;

/// Serves the page until stopped. `refresh` is called before each answer.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    refresh: Arc<dyn Fn() + Send + Sync>,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    // Out of descriptors, most likely.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            _ = stop.changed() => return,
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            continue;
        };
        let (metrics, refresh, mut stop) = (metrics.clone(), refresh.clone(), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, &metrics, &*refresh);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_buf_size(BUFFER);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                // How it ended is the scraper's business.
                _ = connection => {}
                () = tokio::time::sleep(LIFE) => {}
                _ = stop.changed() => {}
            }
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics, refresh: &dyn Fn()) -> Response<String> {
    let mut response = Response::new(String::new());
    if request.uri().path() != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
    } else if request.method() != Method::GET {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    } else {
        refresh();
        *response.body_mut() = metrics.text();
        let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn ask(port: u16, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_scraper_gets_the_page_and_nothing_else_is_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let metrics = Arc::new(Metrics::new());
        let (counted, (stop, stopped)) = (metrics.clone(), watch::channel(false));
        let page = tokio::spawn(serve(
            listener,
            metrics,
            Arc::new(move || counted.streams(3)),
            stopped,
        ));
        let good = ask(
            port,
            "GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        )
        .await;
        assert!(
            good.starts_with("HTTP/1.1 200") && good.contains("kith_manager_streams 3"),
            "{good}"
        );
        let other = ask(port, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        assert!(other.starts_with("HTTP/1.1 404"), "{other}");
        let post = ask(
            port,
            "POST /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        assert!(post.starts_with("HTTP/1.1 405"), "{post}");
        let long = format!("GET /metrics HTTP/1.1\r\nhost: {}\r\n\r\n", "a".repeat(64 * 1024));
        assert!(!ask_anyway(port, &long).await.contains("200 OK"));
        stop.send(true).unwrap();
        page.await.unwrap();
    }

    /// The connection may be reset before all is written.
    async fn ask_anyway(port: u16, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        String::from_utf8_lossy(&answer).into_owned()
    }
}
