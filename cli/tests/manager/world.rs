//! A real manager in a folder of its own, on loopback and a Unix socket, and `kith` as a user runs it.

use kith_manager::mail::{MailSettings, Way};
use kith_manager::serve::limits::Limits;
use kith_manager::serve::{Operators, Public, Server, Settings};
use kith_manager::{admin, core};
use kith_protocol::authenticator::Argon2Cost;
use kith_store::{Options, sqlite::Sqlite};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::net::SocketAddrV4;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub struct World {
    pub runtime: Runtime,
    pub server: Option<Server>,
    pub folder: TempDir,
}

/// What a command came to.
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl World {
    pub fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let server = Some(runtime.block_on(serve(folder.path())));
        Self {
            runtime,
            server,
            folder,
        }
    }

    /// With a community, the printer of which is invited.
    pub fn acme() -> Self {
        let world = Self::start();
        world.good("community create acme.example --pool 10.77.0.0/24");
        world.good("member invite printer.acme.example --email it@acme.example --tag printers");
        world
    }

    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }

    pub fn restart(&mut self) {
        self.stop();
        self.server = Some(self.runtime.block_on(serve(self.folder.path())));
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where it is, over TLS.
    pub fn https(&self) -> String {
        format!(
            "https://127.0.0.1:{}",
            self.server.as_ref().unwrap().listens().port()
        )
    }

    pub fn fingerprint(&self) -> String {
        self.server.as_ref().unwrap().fingerprint().to_string()
    }

    /// `kith`, pointed at the Unix socket.
    pub fn command(&self, words: &str) -> Command {
        let mut command = kith(words);
        command.env(
            "KITH_MANAGER",
            format!("unix:{}", self.file("admin.sock").display()),
        );
        command
    }

    pub fn run(&self, words: &str) -> Ran {
        Ran::of(self.command(words).stdin(Stdio::null()).output().unwrap())
    }

    /// What it prints when all is well.
    pub fn good(&self, words: &str) -> String {
        let ran = self.run(words);
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{words}: {}", ran.out);
        ran.out
    }

    pub fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.good(&format!("-o json {words}"))).unwrap()
    }

    /// What it says when it fails, and its exit status; nothing else is printed.
    pub fn bad(&self, words: &str) -> (i32, String) {
        let ran = self.run(words);
        assert_eq!(ran.out, "", "{words}");
        (ran.status, ran.err)
    }

    /// The same over TLS; `more` is fingerprint and credential.
    pub fn remote(&self, words: &str, more: &[&str]) -> Ran {
        let mut command = kith(words);
        command.arg("--manager").arg(self.https()).args(more);
        Ran::of(command.stdin(Stdio::null()).output().unwrap())
    }

    pub fn fed(&self, words: &str, text: &str) -> Ran {
        let mut command = self.command(words);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        Ran::of(child.wait_with_output().unwrap())
    }

    /// A file that its owner alone may read.
    pub fn private(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.file(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |octets| String::from_utf8(octets).unwrap();
        Self {
            status: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

/// `kith` with nothing said about where.
pub fn kith(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
    command.args(words.split_whitespace());
    for variable in ["KITH_MANAGER", "KITH_FINGERPRINT", "KITH_TOKEN_FILE", "KITH_LAB"] {
        command.env_remove(variable);
    }
    command
}

pub async fn serve(folder: &Path) -> Server {
    let any: SocketAddrV4 = "127.0.0.1:0".parse().unwrap();
    let settings = Settings {
        store: folder.join("store.db"),
        listen: any,
        tunnel: any,
        public: Public {
            host: "vpn.acme.example".into(),
            port: 443,
            tunnel: "192.0.2.1:20202".parse().unwrap(),
        },
        local_users: Vec::new(),
        mail: MailSettings {
            from: "kith@acme.example".into(),
            way: Way::Spool(folder.join("spool")),
        },
        metrics: None,
        limits: Limits::default(),
        core_limits: core::Limits::default(),
        times: core::Times::default(),
    };
    let store = Sqlite::open(&settings.store, Options::default()).unwrap();
    let socket = folder.join("admin.sock");
    fs::remove_file(&socket).ok();
    let operators = Operators {
        compile_policy: admin::compile_policy,
        command: admin::run,
        cost: Argon2Cost::SIMULATION,
    };
    let local = UnixListener::bind(&socket).unwrap();
    Server::start(settings, Arc::new(store), local, operators, Vec::new())
        .await
        .unwrap()
}
