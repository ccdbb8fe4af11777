//! The remote manager's section, as written.

use kith_protocol::tls::Fingerprint;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A manager in another process, which grants sessions at the directors of this one.
///
/// ```yaml
/// remote_manager:
///   address: manager.acme.example:443
///   fingerprint: "sha256:0123…"              # kith manager status shows it
///   token_file: prd1.token                   # mode 0600; made with: kith director add prd1 … --token > prd1.token
/// ```
///
/// A token is for one director. Where there are several, each names its own `token_file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteManager {
    /// Name or address, and port.
    pub address: String,
    /// The key it must have.
    pub fingerprint: String,
    /// The file with the director's token, readable by its owner only. A relative path begins at the folder of this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

impl RemoteManager {
    /// Host and port; none if the address is none.
    #[must_use]
    pub fn place(&self) -> Option<(&str, u16)> {
        let (host, port) = self.address.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        kith_protocol::invitation::check_host(bare.unwrap_or(host)).then_some((host, port))
    }

    /// The fingerprint; none if the text is none.
    #[must_use]
    pub fn key(&self) -> Option<Fingerprint> {
        self.fingerprint.parse().ok()
    }
}
