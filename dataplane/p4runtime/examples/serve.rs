//! A P4Runtime target that forwards nothing, to try clients against.
//!
//! ```text
//!  serve /tmp/p4rt.sock                                    a Unix socket
//!  serve 127.0.0.1:9559 own.crt own.key authority.crt      TCP with mutual TLS
//! ```

use kith_p4runtime::service::{Config, Service, TlsFiles, serve_tcp, serve_unix};
use kith_p4runtime::target::{Memory, Store};
use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let service = Service::new(Arc::new(Store::new(Memory::new(4), &[])?), Config::default());
    match arguments.as_slice() {
        [path] => serve_unix(service, Path::new(path), pending()).await?,
        [address, certificate, key, authority] => {
            let files = TlsFiles {
                certificate: certificate.into(),
                key: key.into(),
                authority: authority.into(),
            };
            serve_tcp(service, TcpListener::bind(address).await?, &files, pending()).await?;
        }
        _ => return Err("give the path of a socket, or address, certificate, key and authority".into()),
    }
    Ok(())
}
