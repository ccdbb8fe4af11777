//! End-to-end tests: the programs as users run them, in network namespaces of the tests' own. They need root.
//!
//! The programs must have been built before (`cargo build`): these tests run them, they do not link them.
#![forbid(unsafe_code)]

use serde_json::Value;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A file of the repository.
#[must_use]
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A program of ours, where cargo put it beside this test.
///
/// # Panics
/// If it has not been built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let own =
        env::current_exe().unwrap_or_else(|error| panic!("this test does not know where it is: {error}"));
    let folders = own.ancestors().skip(1).take(2);
    let mut found = folders
        .map(|folder| folder.join(name))
        .filter(|path| path.is_file());
    found
        .next()
        .unwrap_or_else(|| panic!("{name} is not built: run `cargo build` with the same profile first"))
}

/// A program as it is installed: in KITH_BIN_DIR if that says where (`make interop` does), or else of this build.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn installed(name: &str) -> PathBuf {
    match env::var_os("KITH_BIN_DIR").map(|folder| Path::new(&folder).join(name)) {
        Some(path) if path.is_file() => path,
        Some(path) => panic!("{} is not there: run `make build` first", path.display()),
        None => program(name),
    }
}

/// What a run of `kith` left.
#[derive(Debug)]
pub struct Ran {
    /// Its exit status; none if a signal ended it.
    pub status: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ran {
    /// The standard output as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}\n{}", self.out, self.err))
    }
}

/// Runs `kith` with these arguments to its end.
///
/// # Panics
/// If this process is not root's, or `kith` cannot be started.
#[must_use]
pub fn kith(arguments: &[&str]) -> Ran {
    let id = Command::new("id").arg("-u").output().map(|output| output.stdout);
    assert_eq!(
        id.ok().as_deref(),
        Some(&b"0\n"[..]),
        "these tests make network namespaces: run them as root"
    );
    let output = Command::new(program("kith"))
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let Output {
        status,
        stdout,
        stderr,
    } = output.unwrap_or_else(|error| panic!("kith cannot be started: {error}"));
    Ran {
        status: status.code(),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// A lab that is removed when this is dropped.
#[derive(Debug)]
pub struct Lab(pub String);

impl Lab {
    /// Brings the quickstart network up under this name.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn up(name: &str) -> Self {
        // Made first: whatever goes wrong, it is removed.
        let lab = Self(name.to_owned());
        let file = repository("topologies/quickstart.yaml");
        let ran = kith(&["lab", "up", &file.display().to_string(), "--name", name]);
        assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
        lab
    }

    /// Runs a command on a node.
    #[must_use]
    pub fn exec(&self, node: &str, command: &[&str]) -> Ran {
        let front = ["lab", "exec", "--name", &self.0, node, "--"];
        kith(&[&front[..], command].concat())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let ran = kith(&["lab", "down", "--name", &self.0]);
        if ran.status != Some(0) {
            eprintln!("lab {} was not removed: {}", self.0, ran.err);
        }
    }
}
