//! resolv.conf(5): rewritten so that all ask us, and put back as it was.
//!
//! What it was stands in the state folder before the file is touched, so that a run that was killed is mended by the next one. If somebody else writes
//! the file meanwhile (a DHCP client on a new network), theirs is the new "before", and ours is written again.

use crate::state::{self, StateError};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The file, and what is kept of it.
pub struct ResolvConf {
    path: PathBuf,
    before: PathBuf,
    own: Ipv4Addr,
}

/// What the file was.
struct Before {
    kind: Kind,
    text: String,
}

enum Kind {
    Absent,
    File(u32),
    Link(PathBuf),
}

/// Begins every file of ours.
const MARK: &str = "# Written by kith-agent.";
const PORT: u16 = 53;

impl ResolvConf {
    /// The file at this path; `own` is where the stub listens.
    #[must_use]
    pub fn new(path: &Path, state: &Path, own: Ipv4Addr) -> Self {
        Self {
            path: path.into(),
            before: state.join("resolv.conf.before"),
            own,
        }
    }

    /// May we write it?
    #[must_use]
    pub fn is_writable(&self) -> bool {
        OpenOptions::new().append(true).open(&self.path).is_ok()
    }

    /// Makes it ours, if it is not; says then which servers it had.
    pub fn take_over(&self) -> Result<Option<Vec<SocketAddr>>, StateError> {
        let now = self.look()?;
        if now.text.starts_with(MARK) {
            return Ok(None);
        }
        state::write(&self.before, &now.encode())?;
        self.write(&self.ours(&now.text), 0o644)?;
        Ok(Some(servers(&now.text, self.own)))
    }

    /// Puts back what was there before, if ours is there now.
    pub fn put_back(&self) -> Result<(), StateError> {
        let Some(kept) = state::read(&self.before)? else {
            return Ok(());
        };
        let before = Before::decode(&String::from_utf8_lossy(&kept));
        if let Some(before) = before.filter(|_| matches!(self.look(), Ok(now) if now.text.starts_with(MARK)))
        {
            match before.kind {
                Kind::Absent => fs::remove_file(&self.path).map_err(failed("remove", &self.path))?,
                Kind::File(mode) => self.write(&before.text, mode)?,
                Kind::Link(target) => self.link(&target).map_err(failed("put back", &self.path))?,
            }
        }
        fs::remove_file(&self.before).map_err(failed("remove", &self.before))
    }

    fn look(&self) -> Result<Before, StateError> {
        let metadata = match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Before {
                    kind: Kind::Absent,
                    text: String::new(),
                });
            }
            metadata => metadata.map_err(failed("read", &self.path))?,
        };
        let kind = if metadata.is_symlink() {
            Kind::Link(fs::read_link(&self.path).map_err(failed("read", &self.path))?)
        } else {
            Kind::File(metadata.permissions().mode() & 0o777)
        };
        // A link may lead nowhere.
        let octets = state::read(&self.path)?;
        let text = octets.map_or_else(String::new, |octets| {
            String::from_utf8_lossy(&octets).into_owned()
        });
        Ok(Before { kind, text })
    }

    fn ours(&self, before: &str) -> String {
        let kept = self.before.display();
        let mut text = format!(
            "{MARK} When it stops, what stands in {kept} comes back.\nnameserver {}\n",
            self.own
        );
        for line in before.lines() {
            if ["search", "domain", "options"].contains(&line.split_whitespace().next().unwrap_or_default()) {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }

    /// As a whole where that is possible. A file that is mounted by itself, as in containers, cannot be replaced, only filled.
    fn write(&self, text: &str, mode: u32) -> Result<(), StateError> {
        let replaced = state::write_with_mode(&self.path, text.as_bytes(), mode);
        let is_link = fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.is_symlink());
        if replaced.is_ok() || is_link {
            return replaced;
        }
        let filled = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).truncate(true).open(&self.path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        filled().map_err(failed("write", &self.path))
    }

    fn link(&self, target: &Path) -> io::Result<()> {
        let new = self.path.with_file_name("resolv.conf.kith-link");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::os::unix::fs::symlink(target, &new)?;
        fs::rename(&new, &self.path)
    }
}

impl Before {
    fn encode(&self) -> Vec<u8> {
        let kind = match &self.kind {
            Kind::Absent => "absent".into(),
            Kind::File(mode) => format!("file {mode:o}"),
            Kind::Link(target) => format!("link {}", target.display()),
        };
        format!("{kind}\n{}", self.text).into_bytes()
    }

    fn decode(text: &str) -> Option<Self> {
        let (kind, text) = text.split_once('\n')?;
        let kind = match kind.split_once(' ') {
            None if kind == "absent" => Kind::Absent,
            Some(("file", mode)) => Kind::File(u32::from_str_radix(mode, 8).ok()?),
            Some(("link", target)) => Kind::Link(target.into()),
            _ => return None,
        };
        Some(Self {
            kind,
            text: text.into(),
        })
    }
}

/// The servers of a file, without ourselves. Without any it means one on this computer (resolv.conf(5)).
fn servers(text: &str, own: Ipv4Addr) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        // A zone index (fe80::1%eth0) is an interface's name: such a server is passed over.
        if words.next() == Some("nameserver")
            && let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok())
            && address != IpAddr::V4(own)
        {
            found.push((address, PORT).into());
        }
    }
    if found.is_empty() {
        found.push((Ipv4Addr::LOCALHOST, PORT).into());
    }
    found
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_path_buf();
    move |source| StateError::Io { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 54);
    const TEXT: &str =
        "# mine\nsearch corp.example\nnameserver 192.0.2.1\nnameserver 2001:db8::1\noptions timeout:1\n";

    fn folder() -> (tempfile::TempDir, PathBuf, ResolvConf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        let file = ResolvConf::new(&path, folder.path(), OWN);
        (folder, path, file)
    }

    #[test]
    fn it_is_taken_over_and_put_back_to_the_letter() {
        let (folder, path, file) = folder();
        fs::write(&path, TEXT).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let servers = file.take_over().unwrap().unwrap();
        assert_eq!(
            servers,
            [
                "192.0.2.1:53".parse().unwrap(),
                "[2001:db8::1]:53".parse().unwrap()
            ]
        );
        let ours = fs::read_to_string(&path).unwrap();
        assert!(
            ours.contains("nameserver 127.0.0.54\nsearch corp.example\noptions timeout:1\n"),
            "{ours}"
        );
        assert!(!ours.contains("192.0.2.1"));
        assert!(file.take_over().unwrap().is_none(), "it is ours already");
        file.put_back().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left behind"
        );
        file.put_back().unwrap();
    }

    #[test]
    fn a_killed_run_is_mended_by_the_next() {
        let (folder, path, file) = folder();
        fs::write(&path, TEXT).unwrap();
        file.take_over().unwrap();
        let next = ResolvConf::new(&path, folder.path(), OWN);
        next.put_back().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
        assert!(next.take_over().unwrap().is_some());
    }

    #[test]
    fn a_link_becomes_a_link_again_and_its_target_is_never_written() {
        let (folder, path, file) = folder();
        let target = folder.path().join("stub-resolv.conf");
        fs::write(&target, TEXT).unwrap();
        std::os::unix::fs::symlink("stub-resolv.conf", &path).unwrap();
        assert_eq!(file.take_over().unwrap().unwrap().len(), 2);
        assert!(fs::read_to_string(&path).unwrap().starts_with(MARK));
        assert_eq!(fs::read_to_string(&target).unwrap(), TEXT);
        file.put_back().unwrap();
        assert_eq!(fs::read_link(&path).unwrap(), PathBuf::from("stub-resolv.conf"));
    }

    #[test]
    fn what_somebody_else_writes_meanwhile_counts_from_then_on() {
        let (_folder, path, file) = folder();
        fs::write(&path, TEXT).unwrap();
        file.take_over().unwrap();
        fs::write(&path, "nameserver 198.51.100.1\n").unwrap();
        assert_eq!(
            file.take_over().unwrap().unwrap(),
            ["198.51.100.1:53".parse().unwrap()]
        );
        file.put_back().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "nameserver 198.51.100.1\n");
        // And what is written after we stopped looking is not overwritten.
        file.take_over().unwrap();
        fs::write(&path, TEXT).unwrap();
        file.put_back().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
    }

    #[test]
    fn a_file_that_was_not_there_is_gone_again() {
        let (_folder, path, file) = folder();
        assert_eq!(
            file.take_over().unwrap().unwrap(),
            ["127.0.0.1:53".parse().unwrap()]
        );
        file.put_back().unwrap();
        assert!(!path.exists());
    }
}
