//! A Unix socket's place in the file system: taken, kept to its owner, given back.
//!
//! Whoever may connect may do everything, so the socket is [`PRIVATE`] from its first moment unless somebody decides otherwise,
//! and lies in a folder where nobody else can put another one in its place.

use nix::sys::stat::{Mode, umask};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The mode of a socket that only its owner may use.
pub const PRIVATE: u32 = 0o600;

/// Who listens, and which setting says where: for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// `dataplane` or `controller`.
    pub program: &'static str,
    /// Such as `stats_socket`.
    pub name: &'static str,
}

impl Setting {
    /// This program's setting of this name.
    #[must_use]
    pub const fn new(program: &'static str, name: &'static str) -> Self {
        Self { program, name }
    }
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Two of us.
    #[error("a {} runs already and listens at {path}; stop it, or give each its own {}", .setting.program, .setting.name)]
    InUse {
        /// The socket.
        path: PathBuf,
        /// Which setting names it.
        setting: Setting,
    },
    /// Something else is there.
    #[error("{path} is there and is no socket; remove it, or choose another {}", .setting.name)]
    Foreign {
        /// The socket.
        path: PathBuf,
        /// Which setting names it.
        setting: Setting,
    },
    /// Others could put their own in its place.
    #[error(
        "others may write to {folder} (mode {mode:04o}), and could put a socket of theirs at {}; run: chmod go-w {folder}",
        .setting.name
    )]
    Exposed {
        /// The folder of the socket.
        folder: PathBuf,
        /// Its permissions.
        mode: u32,
        /// Which setting names it.
        setting: Setting,
    },
    /// The system refuses.
    #[error(
        "cannot listen at {path}: {error}; {} must be in a folder that kith-{} may write to",
        .setting.name, .setting.program
    )]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Which setting names it.
        setting: Setting,
        /// What the system says.
        error: io::Error,
    },
}

/// A socket that nobody is answered at yet. Removed when dropped.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    /// Takes the socket's place, for those whom `mode` lets in: [`PRIVATE`], or wider on purpose. One that a killed program
    /// left is replaced; one that answers is not. To be called while there is one thread: the mask of file modes is the
    /// whole process's.
    pub fn bind(path: &Path, mode: u32, setting: Setting) -> Result<Self, SocketError> {
        let fail = |error| SocketError::Listen {
            path: path.to_owned(),
            setting,
            error,
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)
            .map_err(fail)?;
        let open = fs::metadata(folder).map_err(fail)?.mode() & 0o7777;
        // In a sticky folder others can add files, but neither remove nor rename ours.
        if open & 0o022 != 0 && open & 0o1000 == 0 {
            return Err(SocketError::Exposed {
                folder: folder.to_owned(),
                mode: open,
                setting,
            });
        }
        let path = path.to_owned();
        match fs::symlink_metadata(&path) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(SocketError::Foreign { path, setting });
            }
            Ok(_) if UnixStream::connect(&path).is_ok() => return Err(SocketError::InUse { path, setting }),
            Ok(_) => fs::remove_file(&path).map_err(fail)?,
            Err(_) => {}
        }
        let before = umask(Mode::from_bits_truncate(0o777 & !mode));
        let listener = UnixListener::bind(&path);
        umask(before);
        let listener = listener.map_err(fail)?;
        Ok(Self { path, listener })
    }

    /// Who connects.
    #[must_use]
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a socket cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const HERE: Setting = Setting::new("dataplane", "here");

    fn bind(path: &Path) -> Result<Socket, SocketError> {
        Socket::bind(path, PRIVATE, HERE)
    }

    #[test]
    fn a_dead_socket_is_replaced_a_live_one_or_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/socket");
        let live = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(bind(&path), Err(SocketError::InUse { .. })));
        drop(live);
        assert!(!path.exists(), "it takes its file along");
        drop(UnixListener::bind(&path).unwrap());
        assert!(bind(&path).is_ok());
        let file = folder.path().join("file");
        fs::write(&file, "mine").unwrap();
        assert!(matches!(bind(&file), Err(SocketError::Foreign { .. })));
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }

    #[test]
    fn a_wider_mode_is_had_by_asking_for_it_and_messages_name_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let office = Setting::new("controller", "there");
        let _live = Socket::bind(&path, 0o660, office).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let refused = Socket::bind(&path, 0o660, office).unwrap_err().to_string();
        assert!(
            refused.starts_with("a controller runs already") && refused.ends_with("its own there"),
            "{refused}"
        );
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused_unless_it_is_sticky() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o775);
        let refused = bind(&path).unwrap_err().to_string();
        assert!(
            refused.contains("0775") && refused.contains("chmod go-w"),
            "{refused}"
        );
        mode(0o1777);
        assert!(bind(&path).is_ok());
    }
}
