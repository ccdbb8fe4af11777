//! etcd, one member, with its own defaults, on the same disk; and as much of its gRPC interface as a put takes.

use super::process::World;
use crate::BenchError;
use crate::measure::clock;
use crate::overlay::which;
use nix::time::ClockId;
use nix::unistd::Pid;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

const PATIENCE: Duration = Duration::from_secs(30);

/// Where it is, if anywhere.
pub fn program() -> Option<PathBuf> {
    which("etcd")
}

/// `etcdserverpb.PutRequest`, as far as it is used.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `etcdserverpb.PutResponse`: its header.
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

/// `etcdserverpb.ResponseHeader`: its revision.
#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(int64, tag = "3")]
    revision: i64,
}

/// It runs, until dropped.
pub struct Etcd {
    child: Child,
    client: u16,
}

impl Etcd {
    /// Starts it in the world's namespace, on the disk that is measured, and waits until it takes a put.
    pub fn start(world: &World) -> Result<Self, BenchError> {
        let program = program().ok_or_else(|| failed("it is not there: tests/setup bench"))?;
        let port = || TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let (client, peer) = (port(), port());
        let client = client.map_err(BenchError::io("a port for etcd"))?.port();
        let peer = peer.map_err(BenchError::io("a port for etcd"))?.port();
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let child = Command::new(program)
            .arg("--data-dir")
            .arg(world.disk.path().join("etcd"))
            .args(["--name", "bench", "--log-level", "error"])
            .args([
                "--listen-client-urls",
                &url(client),
                "--advertise-client-urls",
                &url(client),
            ])
            .args([
                "--listen-peer-urls",
                &url(peer),
                "--initial-advertise-peer-urls",
                &url(peer),
            ])
            .args(["--initial-cluster", &format!("bench={}", url(peer))])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(BenchError::io("etcd"))?;
        let mut etcd = Self { child, client };
        let began = Instant::now();
        let answers = async |etcd: &Self| put(&mut etcd.connect().await?, b"first", b"put").await;
        while let Err(error) = world.runtime.block_on(answers(&etcd)) {
            if etcd.child.try_wait().ok().flatten().is_some() || began.elapsed() > PATIENCE {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(etcd)
    }

    /// A connection.
    pub async fn connect(&self) -> Result<Grpc<Channel>, BenchError> {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", self.client));
        let endpoint = endpoint.map_err(|error| failed(&error.to_string()))?;
        let channel = endpoint.connect().await;
        channel.map(Grpc::new).map_err(|error| failed(&error.to_string()))
    }

    /// CPU time that it has used.
    pub fn cpu(&self) -> Duration {
        let pid = Pid::from_raw(self.child.id() as i32);
        ClockId::pid_cpu_clock_id(pid).map_or(Duration::ZERO, clock)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// One key, on disk when this returns; its revision.
pub async fn put(client: &mut Grpc<Channel>, key: &[u8], value: &[u8]) -> Result<i64, BenchError> {
    client.ready().await.map_err(|error| failed(&error.to_string()))?;
    let request = tonic::Request::new(PutRequest {
        key: key.to_vec(),
        value: value.to_vec(),
    });
    let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
    let answer = client
        .unary(request, path, ProstCodec::<PutRequest, PutResponse>::default())
        .await
        .map_err(|status| failed(status.message()))?;
    answer
        .into_inner()
        .header
        .map(|header| header.revision)
        .ok_or_else(|| failed("answers without a header"))
}

fn failed(what: &str) -> BenchError {
    BenchError::Program {
        program: "etcd".into(),
        what: what.into(),
    }
}
