//! Who an operator is.
//!
//! ```text
//!  local socket ─► the process's user ─► root and this process's own user: admin; others as configured
//!  TLS          ─► authorization: Bearer TOKEN ─┐
//!                  client certificate's key ────┴─► SHA-256 ─► credential in the store, unless it has expired
//! ```
//!
//! Only hashes are kept and compared, so that neither a stolen store nor a clock tells a token. Whoever shows both is who the token says.

use super::host::Host;
use super::peer::Origin;
use super::settings::LocalUser;
use crate::core::{Actor, Role};
use aws_lc_rs::digest::{SHA256, digest};
use nix::unistd::{Uid, User};
use std::collections::HashMap;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tonic::Status;
use tonic::codegen::http::{HeaderMap, header};

/// Octets of a token at most.
const TOKEN: usize = 256;

/// Lets operators in.
pub struct Door {
    host: Arc<Host>,
    users: HashMap<u32, Role>,
}

/// A local user is nobody.
#[derive(Debug, thiserror::Error)]
#[error("there is no user {0:?} on this computer, which the configuration names under manager.local_users")]
pub struct DoorError(String);

impl Door {
    pub(super) fn new(host: Arc<Host>, users: &[LocalUser]) -> Result<Self, DoorError> {
        let mut known = HashMap::new();
        for LocalUser { user, role } in users {
            let named = User::from_name(user).ok().flatten().map(|user| user.uid.as_raw());
            let uid = user
                .parse()
                .ok()
                .or(named)
                .ok_or_else(|| DoorError(user.clone()))?;
            known.insert(uid, *role);
        }
        // Root and ourselves could read the store's file anyway.
        known.insert(0, Role::Admin);
        known.insert(Uid::effective().as_raw(), Role::Admin);
        Ok(Self { host, users: known })
    }

    /// Who asks.
    pub(super) fn actor(&self, origin: &Origin, headers: &HeaderMap) -> Result<Actor, Status> {
        match *origin {
            Origin::Local { uid, .. } => self.local(uid),
            Origin::Tls { certificate, .. } => match headers.get(header::AUTHORIZATION) {
                Some(value) => {
                    let token = value
                        .to_str()
                        .ok()
                        .and_then(|value| value.strip_prefix("Bearer "));
                    let token = token
                        .map(str::trim)
                        .filter(|token| (1..=TOKEN).contains(&token.len()));
                    self.credential(token.map(|token| sha256(token.as_bytes())), false)
                }
                None => self.credential(certificate, true),
            },
        }
    }

    fn local(&self, uid: u32) -> Result<Actor, Status> {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let name = user.map_or_else(
            || format!("uid {uid}"),
            |user| format!("uid {uid} ({})", user.name),
        );
        match self.users.get(&uid) {
            Some(&role) => Ok(Actor { name, role }),
            None => Err(Status::permission_denied(format!(
                "{name} may not use this socket; run as root, or give the user a role under manager.local_users of the controller's \
                 configuration"
            ))),
        }
    }

    fn credential(&self, hash: Option<[u8; 32]>, certificate: bool) -> Result<Actor, Status> {
        let refused = || {
            Status::unauthenticated(
                "no valid token or client certificate; an admin makes one with: kith credential create",
            )
        };
        let hash = hash.ok_or_else(refused)?;
        let found = self.host.drive(|now, manager| {
            let mut found = None;
            for credential in manager.state().credentials() {
                let same = credential.hash.as_slice().ct_eq(&hash);
                let valid = credential.certificate == certificate
                    && (credential.expires_ms == 0 || now.0 < credential.expires_ms);
                if bool::from(same) && valid {
                    let kind = if certificate { "certificate" } else { "token" };
                    found = Some((format!("{kind} {}", credential.name), credential.role.clone()));
                }
            }
            found
        });
        let reading = || Status::unavailable("the manager is being loaded; try again");
        let (name, role) = found.ok_or_else(reading)?.ok_or_else(refused)?;
        let role = role.parse().map_err(|_| refused())?;
        Ok(Actor { name, role })
    }
}

fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, octets).as_ref());
    hash
}
