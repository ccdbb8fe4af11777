//! Who an operator is.
//!
//! ```text
//!  local socket ─► the process's user ─► root and this process's own user: admin; others as configured
//!  TLS          ─► authorization: Bearer TOKEN ─┐
//!                  client certificate's key ────┴─► SHA-256 ─► credential in the store, unless it has expired
//!                                                              (one of a route director: to attend, and nothing else)
//! ```
//!
//! Only hashes are kept and compared, so that neither a stolen store nor a clock tells a token. Whoever shows both is who the token says.

use super::host::Host;
use super::peer::Origin;
use super::settings::LocalUser;
use crate::core::{Actor, DIRECTOR_ROLE, Role};
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
            Origin::Tls { certificate, .. } => {
                let found = match headers.contains_key(header::AUTHORIZATION) {
                    true => self.credential(token(headers), false)?,
                    false => self.credential(certificate, true)?,
                };
                let role = found.role.parse().map_err(|_| {
                    Status::permission_denied(format!(
                        "{} lets the route director {} attend, and nothing else",
                        found.name, found.director
                    ))
                })?;
                Ok(Actor {
                    name: found.name,
                    role,
                })
            }
        }
    }

    /// Which director's process asks. Only a token tells.
    pub(super) fn director(&self, headers: &HeaderMap) -> Result<Attendant, Status> {
        let found = self.credential(token(headers), false)?;
        if found.role != DIRECTOR_ROLE {
            return Err(Status::permission_denied(format!(
                "{} has the role {} and attends for no route director; an admin makes a token for one with: kith credential create NAME --role director --director DIRECTOR",
                found.name, found.role
            )));
        }
        Ok(Attendant {
            credential: found.id,
            name: found.name,
            director: found.director,
        })
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

    fn credential(&self, hash: Option<[u8; 32]>, certificate: bool) -> Result<Found, Status> {
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
                    found = Some(Found {
                        id: credential.id.clone(),
                        name: format!("{kind} {}", credential.name),
                        role: credential.role.clone(),
                        director: credential.director.clone(),
                    });
                }
            }
            found
        });
        let reading = || Status::unavailable("the manager is being loaded; try again");
        found.ok_or_else(reading)?.ok_or_else(refused)
    }
}

/// A credential that was shown.
struct Found {
    id: String,
    name: String,
    role: String,
    director: String,
}

/// Whoever may attend for a director.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attendant {
    /// The credential's id.
    pub(super) credential: String,
    /// "token prd1"
    pub(super) name: String,
    /// For which director.
    pub(super) director: String,
}

/// The SHA-256 of the token that is shown, if it could be one.
fn token(headers: &HeaderMap) -> Option<[u8; 32]> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let token = value.strip_prefix("Bearer ")?.trim();
    (1..=TOKEN)
        .contains(&token.len())
        .then(|| sha256(token.as_bytes()))
}

fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, octets).as_ref());
    hash
}
