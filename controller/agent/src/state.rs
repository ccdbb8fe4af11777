//! What the agent keeps: one folder a registration, for the owner's eyes only.
//!
//! ```text
//!  /var/lib/kith-agent/                 0700
//!    alice.acme.example/                0700
//!      identity                         0600  Ed25519 seed, 32 octets: made on this device, never leaves it
//!      registration                     0600  RegistrationFile: the secret shared with the manager
//!    resolv.conf.before                 0600  what /etc/resolv.conf held before we wrote it
//! ```
//!
//! A file is written under another name, forced to disk and renamed: after a crash there is the old one or the new one, whole. The identity is
//! kept from the first attempt on, so that who begins an enrolment again is known as the same device.

use kith_protocol::identity::DeviceIdentity;
use kith_protocol::member::{ManagerAddress, RegistrationFile};
use kith_protocol::names::Fqdn;
use kith_protocol::secret::Secret32;
use prost::Message;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where it is unless said otherwise.
pub const DEFAULT: &str = "/var/lib/kith-agent";

const IDENTITY: &str = "identity";
const REGISTRATION: &str = "registration";
/// No file of ours is larger.
const LARGEST: u64 = 1 << 20;

/// The folder.
#[derive(Debug, Clone)]
pub struct State(PathBuf);

/// Why something is not kept, or not found.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system says no.
    #[error("cannot {what} {path}: {source}{}", advice(.source))]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{path} is damaged: {why}; enrol again with a new invitation, after `kith-agent forget {fqdn}`")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
        /// Whose.
        fqdn: String,
    },
    /// There is none of this name.
    #[error("this device is not enrolled as {0}; `kith-agent list` shows what it is enrolled as")]
    Unknown(String),
}

/// A registration, and the device that it was made for.
pub struct Registration {
    /// What the manager gave.
    pub file: RegistrationFile,
    /// This device.
    pub identity: DeviceIdentity,
}

impl State {
    /// The folder at this path; it is made when something is to be kept.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.into())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The names under which this device is enrolled, in order.
    pub fn names(&self) -> Result<Vec<Fqdn>, StateError> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed("read", &self.0))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed("read", &self.0))?;
            let name = entry.file_name().to_str().and_then(|name| Fqdn::parse(name).ok());
            names.extend(name.filter(|name| self.file(name, REGISTRATION).exists()));
        }
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        Ok(names)
    }

    /// A registration.
    pub fn load(&self, fqdn: &Fqdn) -> Result<Registration, StateError> {
        let path = self.file(fqdn, REGISTRATION);
        let octets = read(&path)?.ok_or_else(|| StateError::Unknown(fqdn.as_str().into()))?;
        let damaged = |why| StateError::Damaged {
            path: path.clone(),
            why,
            fqdn: fqdn.as_str().into(),
        };
        let file = RegistrationFile::decode(octets.as_slice()).map_err(|_| damaged("it cannot be read"))?;
        if file.fqdn != fqdn.as_str() {
            return Err(damaged("it is of another name"));
        }
        let identity = self
            .read_identity(fqdn)?
            .ok_or_else(|| damaged("the device's identity is missing"))?;
        Ok(Registration { file, identity })
    }

    /// This device's identity under a name: the one that there is, or a new one, kept.
    pub fn identity(
        &self,
        fqdn: &Fqdn,
        entropy: &mut dyn FnMut(&mut [u8]),
    ) -> Result<DeviceIdentity, StateError> {
        if let Some(identity) = self.read_identity(fqdn)? {
            return Ok(identity);
        }
        let identity = DeviceIdentity::generate(entropy);
        self.make(fqdn)?;
        write(&self.file(fqdn, IDENTITY), identity.seed().expose())?;
        Ok(identity)
    }

    /// Keeps a registration.
    pub fn keep(&self, fqdn: &Fqdn, file: &RegistrationFile) -> Result<(), StateError> {
        self.make(fqdn)?;
        write(
            &self.file(fqdn, REGISTRATION),
            &Zeroizing::new(file.encode_to_vec()),
        )
    }

    /// Keeps a newer list of managers.
    pub fn keep_managers(
        &self,
        fqdn: &Fqdn,
        managers: Vec<ManagerAddress>,
        version: u64,
    ) -> Result<(), StateError> {
        let mut file = self.load(fqdn)?.file;
        file.managers = managers;
        file.managers_version = version;
        self.keep(fqdn, &file)
    }

    /// Forgets a registration, and that this device ever had it.
    pub fn forget(&self, fqdn: &Fqdn) -> Result<(), StateError> {
        let folder = self.0.join(fqdn.as_str());
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StateError::Unknown(fqdn.as_str().into()))
            }
            result => result.map_err(failed("remove", &folder)),
        }?;
        sync_folder(&self.0)
    }

    fn read_identity(&self, fqdn: &Fqdn) -> Result<Option<DeviceIdentity>, StateError> {
        let path = self.file(fqdn, IDENTITY);
        let Some(octets) = read(&path)? else {
            return Ok(None);
        };
        match Secret32::from_slice(&octets) {
            Some(seed) => Ok(Some(DeviceIdentity::from_seed(seed))),
            None => {
                let why = "it is not 32 octets long";
                Err(StateError::Damaged {
                    path,
                    why,
                    fqdn: fqdn.as_str().into(),
                })
            }
        }
    }

    fn make(&self, fqdn: &Fqdn) -> Result<(), StateError> {
        let folder = self.0.join(fqdn.as_str());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(failed("make", &folder))?;
        for path in [self.0.as_path(), folder.as_path()] {
            fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed("protect", path))?;
        }
        sync_folder(&self.0)
    }

    /// The name has no slash and no label of dots: it was parsed.
    fn file(&self, fqdn: &Fqdn, name: &str) -> PathBuf {
        self.0.join(fqdn.as_str()).join(name)
    }
}

/// A file's octets; `None` if there is no such file.
pub fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed("read", path))?,
    };
    let mut octets = Zeroizing::new(Vec::with_capacity(4096));
    file.take(LARGEST)
        .read_to_end(&mut octets)
        .map_err(failed("read", path))?;
    Ok(Some(octets))
}

/// Writes a file for the owner's eyes only: all of it or, after a crash, nothing.
pub fn write(path: &Path, octets: &[u8]) -> Result<(), StateError> {
    write_with_mode(path, octets, 0o600)
}

/// The same for other eyes.
pub fn write_with_mode(path: &Path, octets: &[u8], mode: u32) -> Result<(), StateError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let new = path.with_file_name(name);
    let written = || -> io::Result<()> {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&new)?;
        // The mask of the process may have taken something away.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(octets)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    written().map_err(failed("write", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(path: &Path) -> Result<(), StateError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("force to disk", path))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_path_buf();
    move |source| StateError::Io { what, path, source }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; run this as root, or choose another folder with --state-dir",
        io::ErrorKind::StorageFull => "; make room on the disk",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Fqdn {
        Fqdn::parse(text).unwrap()
    }

    fn file(fqdn: &str) -> RegistrationFile {
        RegistrationFile {
            fqdn: fqdn.into(),
            token_key: vec![7; 32],
            ..RegistrationFile::default()
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_kept_is_found_again_and_only_the_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(&folder.path().join("deep/down"));
        assert!(state.names().unwrap().is_empty());
        let alice = name("alice.acme.example");
        let made = state.identity(&alice, &mut |out| out.fill(9)).unwrap();
        assert!(
            state.names().unwrap().is_empty(),
            "an enrolment begun is no registration"
        );
        state.keep(&alice, &file("alice.acme.example")).unwrap();
        state
            .keep_managers(&alice, vec![ManagerAddress::default()], 4)
            .unwrap();
        let loaded = state.load(&alice).unwrap();
        assert_eq!(loaded.identity.public(), made.public());
        assert_eq!((loaded.file.managers_version, loaded.file.managers.len()), (4, 1));
        assert_eq!(mode(&state.file(&alice, REGISTRATION)), 0o600);
        assert_eq!(mode(&state.file(&alice, IDENTITY)), 0o600);
        assert_eq!(mode(state.path()), 0o700);
        // A second attempt is the same device.
        let again = state.identity(&alice, &mut |out| out.fill(1)).unwrap();
        assert_eq!(again.public(), made.public());
    }

    #[test]
    fn what_is_forgotten_is_gone_and_what_never_was_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        let alice = name("alice.acme.example");
        state.identity(&alice, &mut |out| out.fill(9)).unwrap();
        state.keep(&alice, &file("alice.acme.example")).unwrap();
        assert_eq!(state.names().unwrap().len(), 1);
        state.forget(&alice).unwrap();
        assert!(state.names().unwrap().is_empty());
        assert!(matches!(state.forget(&alice), Err(StateError::Unknown(_))));
        assert!(matches!(state.load(&alice), Err(StateError::Unknown(_))));
    }

    #[test]
    fn a_damaged_file_is_named_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        let alice = name("alice.acme.example");
        state.identity(&alice, &mut |out| out.fill(9)).unwrap();
        state.keep(&alice, &file("mallory.acme.example")).unwrap();
        let error = state.load(&alice).err().unwrap().to_string();
        assert!(
            error.contains("another name") && error.contains("forget alice.acme.example"),
            "{error}"
        );
        fs::write(state.file(&alice, REGISTRATION), [0xff; 40]).unwrap();
        assert!(matches!(state.load(&alice), Err(StateError::Damaged { .. })));
        state.keep(&alice, &file("alice.acme.example")).unwrap();
        fs::write(state.file(&alice, IDENTITY), [1; 31]).unwrap();
        assert!(matches!(state.load(&alice), Err(StateError::Damaged { .. })));
    }

    #[test]
    fn an_interrupted_write_leaves_the_old_file_and_does_not_hinder_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write(&path, b"old").unwrap();
        fs::write(folder.path().join("x.new"), b"ha").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_slice(), b"old");
        write(&path, b"new").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_slice(), b"new");
    }
}
