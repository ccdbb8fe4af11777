//! `kith credential`: who may ask a manager from elsewhere.

use super::confirm::Yes;
use super::link::Link;
use super::place::{Reach, file_error};
use super::span::{Span, ago, date, now};
use super::view::{self, Credential, NewCredential};
use super::words::done;
use crate::error::Error;
use crate::output::{self, Format};
use clap::{Subcommand, ValueEnum};
use kith_protocol::admin;
use kith_protocol::tls::Fingerprint;
use kith_protocol::tls::rustls::pki_types::CertificateDer;
use kith_protocol::tls::rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};

/// `kith credential …`
#[derive(Debug, Subcommand)]
pub enum CredentialCommand {
    /// Make a token, or let a client certificate in
    #[command(after_long_help = "\
A token is shown once; the manager keeps only its hash. It is the only line of the output:

  (umask 077; kith credential create ci --role viewer --valid 90d > ci.token)
  kith member list --manager https://vpn.acme.example --fingerprint sha256:… --token-file ci.token

For a route director in another process, which it lets attend and nothing else:
  (umask 077; kith credential create prd1 --role director --director prd1 > prd1.token)

Example with a certificate:
  kith credential create ops --role operator --client-certificate ops.pem
  kith member list --manager https://vpn.acme.example --fingerprint sha256:… --certificate ops.pem --key ops.key")]
    Create {
        /// Its name, as the audit log will have it.
        name: String,
        /// What it may do.
        #[arg(long, value_enum)]
        role: Role,
        /// With the role director: which one.
        #[arg(long, value_name = "NAME", required_if_eq("role", "director"))]
        director: Option<String>,
        /// How long it is good; without it, a year.
        #[arg(long, value_name = "SPAN")]
        valid: Option<Span>,
        /// Not a token, but this certificate's key, PEM or DER.
        #[arg(long, value_name = "FILE")]
        client_certificate: Option<PathBuf>,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// All credentials; no secret is shown
    #[command(visible_alias = "ls", after_long_help = "Example:\n  kith credential list")]
    List {
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
    /// Remove a credential: what is asked with it is refused at once
    #[command(
        visible_alias = "rm",
        after_long_help = "Example:\n  kith credential remove ci"
    )]
    Remove {
        /// Its name, or its id.
        name: String,
        /// Whether to ask.
        #[command(flatten)]
        yes: Yes,
        /// Which manager.
        #[command(flatten)]
        reach: Reach,
    },
}

/// What an operator may do. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Look.
    Viewer,
    /// Invite, change and revoke members; change policies.
    Operator,
    /// Everything.
    Admin,
    /// No operator: a route director's process, which attends for it.
    Director,
}

/// Runs a `kith credential` command.
pub fn run(command: CredentialCommand, format: Format) -> Result<u8, Error> {
    match command {
        CredentialCommand::Create {
            name,
            role,
            director,
            valid,
            client_certificate,
            reach,
        } => {
            let role = role.to_possible_value();
            let wish = admin::CredentialRequest {
                name,
                role: role.map_or_else(String::new, |role| role.get_name().to_owned()),
                valid_s: valid.map_or(0, |span| span.0),
                certificate_der: client_certificate.map_or_else(|| Ok(Vec::new()), |file| der(&file))?,
                director: director.unwrap_or_default(),
            };
            let made = Link::connect(&reach)?.ask("create a credential", async |admin| {
                admin.create_credential(wish).await
            })?;
            created(made, format)
        }
        CredentialCommand::List { reach } => {
            let answer = Link::connect(&reach)?.ask("list credentials", async |admin| {
                admin.list_credentials(admin::Empty {}).await
            })?;
            let credentials: Vec<Credential> = view::all(answer.credentials);
            output::show(format, &credentials, |credentials| table(now(), credentials))?;
            Ok(0)
        }
        CredentialCommand::Remove { name, yes, reach } => {
            let mut link = Link::connect(&reach)?;
            yes.sure(&format!("Remove the credential {name}?"))?;
            let wish = admin::Name { name: name.clone() };
            link.ask("remove a credential", async |admin| {
                admin.delete_credential(wish).await
            })?;
            done(format, &name, "removed")
        }
    }
}

/// The token alone goes to the standard output: into a file, as a rule. What people want to know goes beside it.
pub(super) fn created(made: admin::NewCredential, format: Format) -> Result<u8, Error> {
    let made = NewCredential {
        credential: made.credential.unwrap_or_default().into(),
        token: Some(made.token).filter(|token| !token.is_empty()),
    };
    let about = &made.credential;
    match (format, &made.token) {
        (Format::Json, _) => output::print_json(&made)?,
        (Format::Table, Some(token)) => {
            eprintln!(
                "kith: {}: {}, good until {}; the token is shown this once, keep it in a file of mode 0600:",
                about.name,
                about.role,
                date(about.expires_ms)
            );
            output::print(&format!("{token}\n"));
        }
        (Format::Table, None) => output::print(&table(now(), std::slice::from_ref(about))),
    }
    Ok(0)
}

/// The certificate in a file, in PEM or DER.
fn der(file: &Path) -> Result<Vec<u8>, Error> {
    let octets = std::fs::read(file).map_err(|error| file_error(file, error))?;
    let certificate = match CertificateDer::from_pem_slice(&octets) {
        Ok(certificate) => certificate,
        Err(_) => CertificateDer::from(octets),
    };
    match Fingerprint::of_certificate(&certificate) {
        Ok(_) => Ok(certificate.to_vec()),
        Err(_) => Err(file_error(
            file,
            "there is no X.509 certificate in it, neither as PEM nor as DER",
        )
        .into()),
    }
}

fn table(now: u64, credentials: &[Credential]) -> String {
    if credentials.is_empty() {
        return "no credential\n".into();
    }
    let rows: Vec<Vec<String>> = credentials
        .iter()
        .map(|credential| {
            let until = match credential.expires_ms {
                0 => "for ever".to_owned(),
                at if at <= now => format!("expired {}", ago(now, at)),
                at => date(at),
            };
            vec![
                credential.name.clone(),
                match credential.director.as_str() {
                    "" => credential.role.clone(),
                    director => format!("{} {director}", credential.role),
                },
                if credential.certificate {
                    "certificate"
                } else {
                    "token"
                }
                .into(),
                date(credential.created_ms),
                until,
                credential.id.clone(),
            ]
        })
        .collect();
    output::table(
        &["credential", "role", "kind", "created", "good until", "id"],
        &rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_read_like_this() {
        let noon = 1_772_366_407_000;
        let ci = admin::Credential {
            id: "00112233".into(),
            name: "ci".into(),
            role: "viewer".into(),
            certificate: false,
            created_ms: noon,
            expires_ms: noon + 86_400_000,
            director: String::new(),
        };
        let ops = admin::Credential {
            name: "ops".into(),
            role: "admin".into(),
            certificate: true,
            expires_ms: 0,
            ..ci.clone()
        };
        let old = admin::Credential {
            name: "old".into(),
            expires_ms: noon - 61_000,
            ..ci.clone()
        };
        let prd1 = admin::Credential {
            name: "prd1".into(),
            role: "director".into(),
            director: "prd1".into(),
            ..ci.clone()
        };
        insta::assert_snapshot!(table(noon, &view::all(vec![ci, ops, old, prd1])));
    }
}
