//! Where the manager is, whom to believe there, and what to show it.
//!
//! ```text
//!  --manager, or KITH_MANAGER ─► unix:/PATH         who asks is the process's user
//!                                https://HOST:PORT  --fingerprint says whom to believe; a token or a certificate who asks
//!  --lab NAME ────────────────► the lab's own        in its folder, admin.sock
//!  neither ───────────────────► /run/kith/admin.sock, or the only lab that has a manager
//! ```

use super::error::{ManagerError, Shown};
use crate::dataplane::LAB_VARIABLE;
use crate::error::Error;
use crate::lab::managers::admin_socket;
use crate::lab::record::{self, Record};
use clap::Args;
use kith_api::config::read_private;
use kith_protocol::tls::rustls::pki_types::pem::PemObject;
use kith_protocol::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use kith_protocol::tls::{ADMIN_SOCKET, ClientCertificate, Dial, Fingerprint};
use std::path::{Path, PathBuf};
use tonic::metadata::{Ascii, MetadataValue};

/// Which manager to ask, and as whom.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which manager")]
pub struct Reach {
    /// unix:/PATH or https://HOST:PORT; or KITH_MANAGER. Without it, the one on this computer.
    #[arg(long, value_name = "PLACE", conflicts_with = "lab")]
    manager: Option<String>,
    /// The lab that it runs in.
    #[arg(long, value_name = "NAME")]
    lab: Option<String>,
    /// The manager's key, for https; or KITH_FINGERPRINT. `kith manager status` shows it.
    #[arg(long, value_name = "sha256:…")]
    fingerprint: Option<String>,
    /// A file with a token, for https; or KITH_TOKEN_FILE.
    #[arg(long, value_name = "FILE", conflicts_with = "certificate")]
    token_file: Option<PathBuf>,
    /// A client certificate, PEM, for https.
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The certificate's key, PEM.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
}

/// A manager's place.
pub(super) enum Place {
    /// On this computer.
    Unix(PathBuf),
    /// Elsewhere.
    Https {
        /// How to get there.
        dial: Dial,
        /// What to say.
        token: Option<MetadataValue<Ascii>>,
        /// The same for messages.
        shown: Shown,
    },
}

impl Reach {
    /// The manager that is meant.
    pub(super) fn find(&self) -> Result<Place, Error> {
        if let Some(lab) = &self.lab {
            return in_lab(&record::choose(Some(lab))?)
                .map(Place::Unix)
                .ok_or_else(|| ManagerError::NotInLab(lab.clone()).into());
        }
        match self.manager.clone().or_else(|| variable("KITH_MANAGER")) {
            Some(place) => self.named(&place),
            None => here().map(Place::Unix),
        }
    }

    fn named(&self, place: &str) -> Result<Place, Error> {
        let wrong = |why| ManagerError::Place {
            place: place.to_owned(),
            why,
        };
        if let Some(path) = place.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(Place::Unix(path.into()))
            } else {
                Err(wrong("the path must begin with /").into())
            };
        }
        let Some(rest) = place.strip_prefix("https://") else {
            return Err(wrong("it begins neither with unix: nor with https://").into());
        };
        let (host, port) = split(rest.trim_end_matches('/')).map_err(wrong)?;
        let text = self.fingerprint.clone().or_else(|| variable("KITH_FINGERPRINT"));
        let text = text.ok_or_else(|| ManagerError::NoFingerprint(place.to_owned()))?;
        let fingerprint: Fingerprint = text.parse().map_err(|_| ManagerError::BadFingerprint(text))?;
        let mut dial = Dial::new(host, port, fingerprint);
        let (token, shown) = self.credential(&mut dial)?;
        Ok(Place::Https { dial, token, shown })
    }

    fn credential(&self, dial: &mut Dial) -> Result<(Option<MetadataValue<Ascii>>, Shown), Error> {
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            dial.client = Some(client_certificate(certificate, key)?);
            return Ok((None, Shown::Certificate(certificate.clone())));
        }
        let file = self
            .token_file
            .clone()
            .or_else(|| variable("KITH_TOKEN_FILE").map(Into::into));
        let Some(file) = file else {
            return Ok((None, Shown::Nothing));
        };
        let text = read_private(&file).map_err(|error| file_error(&file, error))?;
        let mut token: MetadataValue<Ascii> = match text.trim() {
            "" => return Err(file_error(&file, "it is empty, and should hold a token").into()),
            text => format!("Bearer {text}")
                .parse()
                .map_err(|_| file_error(&file, "what it holds is no token"))?,
        };
        token.set_sensitive(true);
        Ok((Some(token), Shown::Token(file)))
    }
}

impl Place {
    /// For people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Unix(path) => format!("unix:{}", path.display()),
            Self::Https { dial, .. } => format!("https://{}:{}", dial.host, dial.port),
        }
    }

    /// What is shown to it.
    pub(super) fn shown(&self) -> &Shown {
        match self {
            Self::Unix(_) => &Shown::Nothing,
            Self::Https { shown, .. } => shown,
        }
    }
}

/// Host and port; 443 unless another is said.
fn split(authority: &str) -> Result<(&str, u16), &'static str> {
    let (host, port) = match authority.rsplit_once(':') {
        // Without brackets, colons are all of an IPv6 address.
        Some((host, port)) if !port.contains(']') => {
            if host.contains(':') && !host.starts_with('[') {
                return Err("an IPv6 address stands in brackets, as https://[2001:db8::1]:443");
            }
            let port = port.parse().ok().filter(|port| *port != 0);
            (host, port.ok_or("a port is a number from 1 to 65535")?)
        }
        _ => (authority, 443),
    };
    if host.starts_with('[') != host.ends_with(']') {
        return Err("a bracket is missing");
    }
    if host.is_empty() || host.contains(['/', '@', '?', '#']) {
        return Err("only host and port stand behind https://");
    }
    Ok((host, port))
}

/// The manager of this computer, or of the only lab that has one.
fn here() -> Result<PathBuf, Error> {
    let labs = record::names();
    let labs = labs.iter().filter_map(|name| Record::read(name).ok().flatten());
    let mut found: Vec<(String, PathBuf)> = labs
        .filter_map(|lab| Some((lab.name.clone(), in_lab(&lab)?)))
        .collect();
    // Inside a lab, its own is meant.
    if let Some((_, path)) =
        variable(LAB_VARIABLE).and_then(|lab| found.iter().find(|(name, _)| *name == lab))
    {
        return Ok(path.clone());
    }
    if Path::new(ADMIN_SOCKET).exists() {
        found.push(("this computer".into(), ADMIN_SOCKET.into()));
    }
    match found.as_slice() {
        [] => Err(ManagerError::Nobody.into()),
        [(_, path)] => Ok(path.clone()),
        several => Err(ManagerError::Several(several.iter().map(|(name, _)| name.clone()).collect()).into()),
    }
}

/// A lab's manager, while its socket is there.
fn in_lab(lab: &Record) -> Option<PathBuf> {
    Some(admin_socket(lab)).filter(|path| path.exists())
}

fn client_certificate(certificate: &Path, key: &Path) -> Result<ClientCertificate, Error> {
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| file_error(certificate, error))?;
    if chain.is_empty() {
        return Err(file_error(certificate, "there is no certificate in it; PEM is wanted").into());
    }
    let text = read_private(key).map_err(|error| file_error(key, error))?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| file_error(key, error))?;
    Ok(ClientCertificate { chain, key })
}

pub(super) fn file_error(file: &Path, why: impl ToString) -> ManagerError {
    let (file, why) = (file.to_owned(), why.to_string());
    // Errors of reading name the file themselves.
    let name = format!("{}: ", file.display());
    let why = why.strip_prefix(&name).unwrap_or(&why).to_owned();
    ManagerError::File { file, why }
}

/// A variable of the environment that is not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_taken_apart() {
        assert_eq!(split("vpn.acme.example"), Ok(("vpn.acme.example", 443)));
        assert_eq!(split("192.0.2.1:8443"), Ok(("192.0.2.1", 8443)));
        assert_eq!(split("[2001:db8::1]:8443"), Ok(("[2001:db8::1]", 8443)));
        assert_eq!(split("[2001:db8::1]"), Ok(("[2001:db8::1]", 443)));
        for wrong in [
            "",
            ":443",
            "a:0",
            "a:x",
            "2001:db8::1",
            "a/b",
            "me@a",
            "[::1",
            "[::1:443",
        ] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }
}
