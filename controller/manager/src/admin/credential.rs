//! Credentials of operators who are elsewhere: tokens, shown once, and client certificates. Only hashes are kept.

use super::{Done, Outcome};
use crate::core::{AdminError, AdminReply, CommunityIndex, DIRECTOR_ROLE, Manager, Role, Time};
use crate::policy::is_id;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use kith_protocol::tls::Fingerprint;
use kith_protocol::{admin, records};
use zeroize::Zeroizing;

/// A year, unless somebody says otherwise.
const VALID_S: u64 = 366 * 86_400;
/// From a minute to ten years.
const VALID: std::ops::RangeInclusive<u64> = 60..=3660 * 86_400;
/// Credentials at most: each request over TLS is compared with all.
const MOST: usize = 256;

impl Manager {
    pub(super) fn create_credential(&mut self, now: Time, asked: &admin::CredentialRequest) -> Outcome {
        let role = self.role(asked)?;
        let name = asked.name.clone();
        if !is_id(&name) {
            let why = format!(
                "\"{}\" is no name for a credential; take a short word of lower case letters, digits and hyphens",
                super::short(&name)
            );
            return Err(AdminError::Invalid(vec![why]));
        }
        let valid_s = if asked.valid_s == 0 {
            VALID_S
        } else {
            asked.valid_s
        };
        if !VALID.contains(&valid_s) {
            return Err(AdminError::Invalid(vec![format!(
                "a credential is good for 60 seconds to ten years, not {valid_s} seconds"
            )]));
        }
        if self
            .state()
            .credentials()
            .any(|credential| credential.name == name)
        {
            return Err(AdminError::Exists(format!(
                "there is a credential {name} already; delete it first, or take another name"
            )));
        }
        if self.state().credentials().count() >= MOST {
            return Err(AdminError::Exhausted(format!(
                "there are {MOST} credentials, which is all that are possible; delete those that have expired"
            )));
        }
        let certificate = !asked.certificate_der.is_empty();
        let (hash, token) = if certificate {
            (of_certificate(&asked.certificate_der)?, Zeroizing::default())
        } else {
            self.new_token()
        };
        if self
            .state()
            .credentials()
            .any(|credential| credential.hash == hash)
        {
            return Err(AdminError::Exists(
                "there is a credential with this certificate's key already".to_owned(),
            ));
        }
        let credential = records::Credential {
            id: HEXLOWER.encode(&self.random::<8>()),
            name,
            role: role.clone(),
            hash: hash.to_vec(),
            certificate,
            created_ms: now.0,
            expires_ms: now.plus(valid_s.saturating_mul(1000)).0,
            director: asked.director.clone(),
        };
        let shown = message(&credential);
        let kind = if certificate { "certificate" } else { "token" };
        let detail = match asked.director.as_str() {
            "" => format!("{role}, {kind}"),
            director => format!("{role} {director}, {kind}"),
        };
        self.state_mut().put_credential(credential);
        self.event(
            now,
            "credential.created",
            CommunityIndex(0),
            &shown.name,
            detail.clone(),
        );
        let reply = admin::NewCredential {
            credential: Some(shown),
            token: token.to_string(),
        };
        Ok(Done::with(AdminReply::NewCredential(reply), detail))
    }

    /// What a credential lets its holder do: an operator's role, or to attend for one director.
    fn role(&self, asked: &admin::CredentialRequest) -> Result<String, AdminError> {
        let wrong = |why: String| Err(AdminError::Invalid(vec![why]));
        if asked.role != DIRECTOR_ROLE {
            let role: Result<Role, _> = asked.role.parse();
            return match role {
                Err(why) => wrong(format!(
                    "{why}, and {DIRECTOR_ROLE} for a route director's process"
                )),
                Ok(_) if !asked.director.is_empty() => wrong(format!(
                    "only a credential with the role {DIRECTOR_ROLE} is for a director; leave the director out"
                )),
                Ok(role) => Ok(role.to_string()),
            };
        }
        if asked.director.is_empty() {
            return wrong("say for which route director this credential is".to_owned());
        }
        if self.state().director(&asked.director).is_none() {
            let name = super::short(&asked.director);
            return Err(AdminError::NotFound(format!(
                "there is no director {name}; enter it first with: kith director add"
            )));
        }
        if !asked.certificate_der.is_empty() {
            return wrong("a route director attends with a token, not with a certificate".to_owned());
        }
        Ok(DIRECTOR_ROLE.to_owned())
    }

    /// By its id, or by its name.
    pub(super) fn delete_credential(&mut self, now: Time, name: &str) -> Outcome {
        let found = self
            .state()
            .credentials()
            .find(|credential| credential.id == name || credential.name == name);
        let Some(found) = found else {
            let name = super::short(name);
            return Err(AdminError::NotFound(format!(
                "there is no credential {name}; kith credential list shows those that are"
            )));
        };
        let (id, name) = (found.id.clone(), found.name.clone());
        let detail = format!("{name} ({})", found.role);
        self.state_mut().remove_credential(&id);
        self.event(now, "credential.deleted", CommunityIndex(0), &name, "");
        Ok(Done::with(AdminReply::Done, detail))
    }

    pub(super) fn list_credentials(&self) -> AdminReply {
        let mut credentials: Vec<admin::Credential> = self.state().credentials().map(message).collect();
        credentials.sort_by(|a, b| a.name.cmp(&b.name));
        AdminReply::Credentials(admin::Credentials { credentials })
    }

    /// 32 random octets as text; what is kept is the text's SHA-256.
    fn new_token(&mut self) -> ([u8; 32], Zeroizing<String>) {
        let octets = Zeroizing::new(self.random::<32>());
        let token = Zeroizing::new(format!("kith-{}", BASE64URL_NOPAD.encode(&*octets)));
        (sha256(token.as_bytes()), token)
    }
}

fn of_certificate(der: &[u8]) -> Result<[u8; 32], AdminError> {
    let fingerprint = Fingerprint::of_certificate(&der.into());
    fingerprint.map(|fingerprint| fingerprint.0).map_err(|_| {
        AdminError::Invalid(vec![
            "that is no X.509 certificate in DER; convert it with: openssl x509 -outform der".to_owned(),
        ])
    })
}

fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, octets).as_ref());
    hash
}

fn message(credential: &records::Credential) -> admin::Credential {
    admin::Credential {
        id: credential.id.clone(),
        name: credential.name.clone(),
        role: credential.role.clone(),
        certificate: credential.certificate,
        created_ms: credential.created_ms,
        expires_ms: credential.expires_ms,
        director: credential.director.clone(),
    }
}
