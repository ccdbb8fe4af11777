//! Which P4Runtime target is meant: by its address, or as the dataplane of a lab or of this computer.

use super::link::LinkError;
use crate::dataplane::Target;
use crate::error::Error;
use clap::Args;
use kith_p4runtime::client::Address;
use kith_p4runtime::service::TlsFiles;
use std::path::PathBuf;

/// Which target to ask.
#[derive(Debug, Clone, Args)]
pub struct P4Target {
    /// Its address: unix:/PATH, http://HOST:PORT or https://HOST:PORT.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["lab", "node"])]
    pub p4runtime: Option<String>,
    /// The lab that it runs in.
    #[arg(long)]
    pub lab: Option<String>,
    /// The node that it runs on.
    #[arg(long)]
    pub node: Option<String>,
    /// The number by which it knows itself.
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    pub device_id: u64,
    /// For https: whom to trust, a PEM file.
    #[arg(long, value_name = "FILE", requires_all = ["p4runtime", "cert"])]
    pub ca: Option<PathBuf>,
    /// For https: our certificate, a PEM file.
    #[arg(long, value_name = "FILE", requires_all = ["ca", "key"])]
    pub cert: Option<PathBuf>,
    /// For https: its private key, a PEM file.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
}

impl P4Target {
    /// The address that is meant.
    pub(super) fn find(&self) -> Result<Address, Error> {
        let Some(text) = &self.p4runtime else {
            let target = Target {
                socket: None,
                lab: self.lab.clone(),
                node: self.node.clone(),
            };
            return target.find_p4runtime().map(Address::Unix);
        };
        let tls = match (&self.ca, &self.cert, &self.key) {
            (Some(ca), Some(cert), Some(key)) => Some(TlsFiles {
                certificate: cert.clone(),
                key: key.clone(),
                authority: ca.clone(),
            }),
            _ => None,
        };
        if text.starts_with("https://") && tls.is_none() {
            return Err(Error::Usage(format!(
                "{text} needs --ca, --cert and --key: target and client show each other who they are"
            )));
        }
        // A path alone can mean one thing only.
        let text = if text.starts_with('/') {
            format!("unix:{text}")
        } else {
            text.clone()
        };
        Ok(Address::parse(&text, tls).map_err(LinkError::Client)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        target: P4Target,
    }

    fn find(line: &str) -> Result<String, String> {
        let words = std::iter::once("kith").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.target
            .find()
            .map(|address| address.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_read_and_shown() {
        for address in ["unix:/run/kith/p4runtime.sock", "http://127.0.0.1:9559"] {
            assert_eq!(find(&format!("--p4runtime {address}")).as_deref(), Ok(address));
        }
        assert_eq!(find("--p4runtime /run/x").as_deref(), Ok("unix:/run/x"));
        let tls = "--p4runtime https://dp.example:9559 --ca ca.pem --cert c.pem --key k.pem";
        assert_eq!(find(tls).as_deref(), Ok("https://dp.example:9559"));
    }

    #[test]
    fn what_is_no_address_or_lacks_its_certificates_is_refused() {
        assert!(
            find("--p4runtime localhost:9559")
                .unwrap_err()
                .contains("unix:/path")
        );
        assert!(
            find("--p4runtime https://dp.example:9559")
                .unwrap_err()
                .contains("--ca")
        );
        assert!(
            find("--p4runtime unix:/x --cert c.pem")
                .unwrap_err()
                .contains("--key")
        );
        assert!(find("--p4runtime unix:/x --lab a").is_err());
    }
}
