//! A Unix socket's place in the file system: taken, kept to its owner, given back.
//!
//! Whoever may connect may do everything, so the socket has mode 0600 from its first moment, and lies in a folder where nobody
//! else can put another one in its place.

use nix::sys::stat::{Mode, umask};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Two of us.
    #[error("a dataplane runs already and listens at {path}; stop it, or give each its own {setting}")]
    InUse {
        /// The socket.
        path: PathBuf,
        /// Which setting names it.
        setting: &'static str,
    },
    /// Something else is there.
    #[error("{path} is there and is no socket; remove it, or choose another {setting}")]
    Foreign {
        /// The socket.
        path: PathBuf,
        /// Which setting names it.
        setting: &'static str,
    },
    /// Others could put their own in its place.
    #[error(
        "others may write to {folder} (mode {mode:04o}), and could put a socket of theirs at {setting}; run: chmod go-w {folder}"
    )]
    Exposed {
        /// The folder of the socket.
        folder: PathBuf,
        /// Its permissions.
        mode: u32,
        /// Which setting names it.
        setting: &'static str,
    },
    /// The system refuses.
    #[error(
        "cannot listen at {path}: {error}; {setting} must be in a folder that kith-dataplane may write to"
    )]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Which setting names it.
        setting: &'static str,
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
    /// Takes the socket's place. One that a killed dataplane left is replaced; one that answers is not. To be called while
    /// there is one thread: the mask of file modes is the whole process's.
    pub fn bind(path: &Path, setting: &'static str) -> Result<Self, SocketError> {
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
        let mode = fs::metadata(folder).map_err(fail)?.mode() & 0o7777;
        // In a sticky folder others can add files, but neither remove nor rename ours.
        if mode & 0o022 != 0 && mode & 0o1000 == 0 {
            let folder = folder.to_owned();
            return Err(SocketError::Exposed {
                folder,
                mode,
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
        let before = umask(Mode::from_bits_truncate(0o177));
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

    #[test]
    fn a_dead_socket_is_replaced_a_live_one_or_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/socket");
        let live = Socket::bind(&path, "here").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(
            Socket::bind(&path, "here"),
            Err(SocketError::InUse { .. })
        ));
        drop(live);
        assert!(!path.exists(), "it takes its file along");
        drop(UnixListener::bind(&path).unwrap());
        assert!(Socket::bind(&path, "here").is_ok());
        let file = folder.path().join("file");
        fs::write(&file, "mine").unwrap();
        assert!(matches!(
            Socket::bind(&file, "here"),
            Err(SocketError::Foreign { .. })
        ));
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused_unless_it_is_sticky() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o775);
        let refused = Socket::bind(&path, "here").unwrap_err().to_string();
        assert!(
            refused.contains("0775") && refused.contains("chmod go-w"),
            "{refused}"
        );
        mode(0o1777);
        assert!(Socket::bind(&path, "here").is_ok());
    }
}
