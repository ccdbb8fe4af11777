//! The namespace, the folder and the manager's process; gone when dropped.

use super::{Options, failed};
use crate::BenchError;
use crate::measure::clock;
use crate::overlay::run_command;
use kith_protocol::admin::admin_client::AdminClient;
use kith_protocol::admin::{Empty, ManagerStatus};
use kith_protocol::tls::unix;
use nix::sched::{CloneFlags, setns};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::Channel;

/// Where everybody is. RFC 5737: an address of documentation.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const METRICS: u16 = 9000;
/// A start or a stop takes no longer.
const PATIENCE: Duration = Duration::from_secs(120);
/// Descriptors beside one for each member.
const SPARE: u64 = 512;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Everything around the manager.
pub struct World {
    namespace: String,
    controller: PathBuf,
    child: Option<Child>,
    /// Its state, on the disk that is measured.
    pub disk: TempDir,
    /// Its sockets: their paths must be short.
    pub sockets: TempDir,
    /// What waits for everybody, in the namespace.
    pub runtime: Runtime,
}

impl World {
    /// Makes it, and measures in it: in a thread of its own, which lives in the namespace with all that it starts.
    pub fn run<T: Send + 'static>(
        options: &Options,
        measure: impl FnOnce(&mut World) -> Result<T, BenchError> + Send + 'static,
    ) -> Result<T, BenchError> {
        let options = options.clone();
        let thread = std::thread::spawn(move || measure(&mut World::new(&options)?));
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn new(options: &Options) -> Result<Self, BenchError> {
        descriptors(u64::from(options.members) + SPARE)?;
        let folder =
            |made: std::io::Result<TempDir>| made.map_err(BenchError::io("a folder for the manager"));
        fs::create_dir_all(&options.disk).map_err(BenchError::io("the results' folder"))?;
        let disk = fs::canonicalize(&options.disk).map_err(BenchError::io("the results' folder"))?;
        let mut named = tempfile::Builder::new();
        let named = named.prefix("kith-bench-");
        let (disk, sockets) = (folder(named.tempdir_in(disk))?, folder(named.tempdir())?);
        let controller =
            fs::canonicalize(&options.controller).map_err(BenchError::io("the manager's program"))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("kb-m-{}-{number}", std::process::id());
        ip(&["netns", "add", &namespace])?;
        // From here on it is removed, whatever goes wrong.
        let mut world = Self {
            namespace: namespace.clone(),
            controller,
            child: None,
            disk,
            sockets,
            runtime: Builder::new_current_thread()
                .build()
                .map_err(BenchError::io("a runtime"))?,
        };
        ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        ip(&[
            "-n",
            &namespace,
            "address",
            "add",
            &format!("{ADDRESS}/32"),
            "dev",
            "lo",
        ])?;
        let there = File::open(format!("/run/netns/{namespace}")).map_err(BenchError::io("the namespace"))?;
        setns(there, CloneFlags::CLONE_NEWNET)
            .map_err(|error| BenchError::io("the namespace")(error.into()))?;
        // Its threads are made here, and so live there.
        world.runtime = Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(BenchError::io("a runtime"))?;
        world.configure()?;
        Ok(world)
    }

    fn configure(&self) -> Result<(), BenchError> {
        let (disk, sockets) = (self.disk.path().display(), self.sockets.path().display());
        let most = "{ connections: 100000, connections_per_source: 100000, strangers: 20000, strangers_per_source: 20000, \
                    new_per_source: 1000000, calls_per_source: 1000000, stranger_time: 60s }";
        let text = format!(
            "name: bench\nstate_dir: {disk}/state\nstatus_socket: {sockets}/status\nmanager:\n  listen: {ADDRESS}:443\n  \
             tunnel: {ADDRESS}:20202\n  admin_socket: {sockets}/admin\n  metrics: {ADDRESS}:{METRICS}\n  limits: {most}\n"
        );
        let path = self.sockets.path().join("config.yaml");
        let written =
            fs::write(&path, text).and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o600)));
        written.map_err(BenchError::io("the manager's configuration"))
    }

    /// The manager's store.
    pub fn store(&self) -> PathBuf {
        self.disk.path().join("state/store.db")
    }

    /// Where its letters are.
    pub fn spool(&self) -> PathBuf {
        self.disk.path().join("state/spool")
    }

    /// Starts the manager and waits until it answers.
    pub fn start(&mut self) -> Result<(), BenchError> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .map_err(BenchError::io("the manager's log"))?;
        let child = Command::new(&self.controller)
            .arg("--config")
            .arg(self.sockets.path().join("config.yaml"))
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(BenchError::io("the manager"))?;
        self.child = Some(child);
        let began = Instant::now();
        while self.status().is_err() {
            let ended = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() || began.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                return Err(failed(format!("does not start: {log}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Stops it in order.
    pub fn stop(&mut self) -> Result<(), BenchError> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let pid = Pid::from_raw(child.id() as i32);
        let _gone = kill(pid, Signal::SIGTERM);
        let status = child.wait().map_err(BenchError::io("the manager's end"))?;
        status
            .success()
            .then_some(())
            .ok_or_else(|| failed(format!("ended with {status}")))
    }

    fn log(&self) -> PathBuf {
        self.disk.path().join("log")
    }

    /// An operator's connection.
    pub async fn admin(sockets: &Path) -> Result<AdminClient<Channel>, BenchError> {
        let channel = unix(&sockets.join("admin")).await;
        channel
            .map(AdminClient::new)
            .map_err(|error| failed(error.to_string()))
    }

    /// What it says of itself.
    pub fn status(&self) -> Result<ManagerStatus, BenchError> {
        self.runtime.block_on(async {
            let answer = Self::admin(self.sockets.path()).await?.get_status(Empty {}).await;
            answer
                .map(tonic::Response::into_inner)
                .map_err(|status| failed(status.message()))
        })
    }

    /// CPU time that it has used.
    pub fn cpu(&self) -> Duration {
        let pid = self.pid();
        ClockId::pid_cpu_clock_id(pid).map_or(Duration::ZERO, clock)
    }

    fn pid(&self) -> Pid {
        // Process 0 is this one; it is asked for only while the manager runs.
        Pid::from_raw(self.child.as_ref().map_or(0, |child| child.id() as i32))
    }

    /// Octets of it that are in memory.
    pub fn resident(&self) -> Result<u64, BenchError> {
        resident(self.pid())
    }

    /// Updates that it has put on members' streams, by its own count.
    pub fn pushes(&self) -> Result<u64, BenchError> {
        let io = BenchError::io("the manager's metrics");
        let page = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect((ADDRESS, METRICS))?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
            let mut page = String::new();
            stream.read_to_string(&mut page)?;
            Ok(page)
        };
        let page = page().map_err(io)?;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix("kith_manager_pushes_total "));
        line.and_then(|count| count.trim().parse().ok())
            .ok_or_else(|| failed("its metrics do not say how many updates were pushed"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _gone = child.kill();
            let _status = child.wait();
        }
        let _gone = ip(&["netns", "del", &self.namespace]);
    }
}

/// Octets of a process that are in memory.
pub fn resident(pid: Pid) -> Result<u64, BenchError> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(BenchError::io(path))?;
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .trim()
            .strip_suffix(" kB")?
            .parse::<u64>()
            .ok()
    });
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| failed("the system does not say how much memory it has"))
}

fn ip(words: &[&str]) -> Result<(), BenchError> {
    run_command(Command::new("ip").args(words), &[&["ip"], words].concat()).map(drop)
}

/// Lets this process, and those that it starts, open so many.
fn descriptors(wanted: u64) -> Result<(), BenchError> {
    let io = |error: nix::errno::Errno| BenchError::io("the limit of open descriptors")(error.into());
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(io)?;
    if soft >= wanted {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).map_err(io)
}
