//! Who we are to the manager: the registration file and the device's identity, ready for use.

use super::request::Manager;
use kith_protocol::authenticator::{AuthKey, Kind, TicketKey, seal_envelope};
use kith_protocol::identity::DeviceIdentity;
use kith_protocol::member::{Envelope, RegistrationFile};
use kith_protocol::secret::Secret32;
use prost::Message;
use zeroize::Zeroize;

/// Name and secrets of a registered member.
pub struct Credentials {
    fqdn: String,
    community: String,
    token_timestamp: u64,
    auth: AuthKey,
    ticket: TicketKey,
    identity: DeviceIdentity,
}

/// Why a registration file is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the registration is damaged ({0}); ask for a new invitation and enrol again")]
pub struct BadRegistration(&'static str);

impl Credentials {
    /// Takes the secrets out of a registration file, and the managers with their version.
    pub fn take(
        mut file: RegistrationFile,
        identity: DeviceIdentity,
    ) -> Result<(Self, (Vec<Manager>, u64)), BadRegistration> {
        let token_key = Secret32::from_slice(&file.token_key).ok_or(BadRegistration("its key is cut off"))?;
        file.token_key.zeroize();
        let managers: Vec<Manager> = file.managers.iter().filter_map(Manager::read).collect();
        if managers.is_empty() {
            return Err(BadRegistration("it names no manager"));
        }
        if file.fqdn.is_empty() || !file.fqdn.ends_with(&file.community) {
            return Err(BadRegistration("its name is not of its community"));
        }
        let credentials = Self {
            auth: AuthKey::of(&token_key),
            ticket: TicketKey::of(&token_key),
            fqdn: file.fqdn,
            community: file.community,
            token_timestamp: file.token_timestamp,
            identity,
        };
        Ok((credentials, (managers, file.managers_version)))
    }

    /// Our full name.
    #[must_use]
    pub fn fqdn(&self) -> &str {
        &self.fqdn
    }

    /// The community's domain.
    #[must_use]
    pub fn community(&self) -> &str {
        &self.community
    }

    /// Opens the tickets that are for us.
    #[must_use]
    pub fn ticket_key(&self) -> &TicketKey {
        &self.ticket
    }

    /// An authenticated request.
    #[must_use]
    pub fn envelope(&self, kind: impl Into<Kind>, payload: &impl Message) -> Envelope {
        let kind = kind.into();
        seal_envelope(
            kind,
            &self.fqdn,
            self.token_timestamp,
            payload.encode_to_vec(),
            &self.auth,
            None,
            kind.signed().then_some(&self.identity),
        )
    }
}
