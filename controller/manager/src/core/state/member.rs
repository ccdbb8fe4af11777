//! A member as the manager holds it. Fields that few members have are boxed: ten thousand members are many.

use super::Session;
use crate::core::ids::{CommunityIndex, MemberId};
use kith_protocol::records;
use kith_protocol::secret::Secret32;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// How far registration has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Invited; no device has registered.
    NotRegistered,
    /// A device has shown the initial password and must show the code.
    Registering,
    /// A device has registered.
    Registered,
    /// Out, until an operator invites it again.
    Revoked,
}

/// A member, joined or not.
pub struct Member {
    /// Its number.
    pub id: MemberId,
    /// Its full name.
    pub fqdn: Arc<str>,
    /// Where it belongs.
    pub community: CommunityIndex,
    /// Who it belongs to; empty for whoever reads `email`.
    pub user: Box<str>,
    /// Where codes go.
    pub email: Box<str>,
    /// "linux", "windows", …
    pub platform: Box<str>,
    /// What its agent said it is.
    pub program: Box<str>,
    /// How far registration has come.
    pub standing: Standing,
    /// Since when it is invited.
    pub created_ms: u64,
    /// Since when it is registered.
    pub registered_ms: u64,
    /// The initial password. Kept while it is valid, also when spent: so that a second device is refused by name.
    pub password: Option<Box<Password>>,
    /// While registering.
    pub registering: Option<Box<Registering>>,
    /// Ed25519 public key of the device.
    pub identity: Option<[u8; 32]>,
    /// The secret shared with the registered device, and when it was made. Kept when a registration is withdrawn, so that
    /// the device is refused by name; a new registration replaces it.
    pub token: Option<Token>,
    /// Its virtual address, kept across rejoins.
    pub virtual_address: Option<Ipv4Addr>,
    /// Set by an operator: it gets this one and no other.
    pub address_reserved: bool,
    /// Why it was revoked.
    pub revoked_reason: Option<Box<str>>,
    /// Names its key at directors, and that key.
    pub director_key: Option<(u64, Secret32)>,
    /// Words that policies select by.
    pub tags: Box<[Box<str>]>,
    /// The confirmed registration as it was answered, for a while.
    pub confirmed: Option<Box<Confirmed>>,
    pub(super) session: Option<Box<Session>>,
    pub(super) accounting: Option<Box<records::Accounting>>,
    /// The join under way; in memory only.
    pub(in crate::core) init: Option<Box<crate::core::join::Pending>>,
    /// Registrations and joins it may still ask for; in memory only.
    pub(in crate::core) allowance: crate::core::limits::Bucket,
    /// When this member is looked at next; in memory only.
    pub(in crate::core) look_at: u64,
}

/// An initial password.
pub struct Password {
    /// Its Argon2id value.
    pub key: Secret32,
    /// With this salt.
    pub salt: [u8; 16],
    /// Until when it is of worth.
    pub expires_ms: u64,
    /// How many registrations it has begun.
    pub uses: u32,
}

/// A token key and when it was made.
pub struct Token {
    /// The key.
    pub key: Secret32,
    /// Milliseconds since 1970.
    pub timestamp: u64,
}

/// Between the two phases of registration.
pub struct Registering {
    /// X25519, the member's.
    pub member_share: [u8; 32],
    /// X25519, ours.
    pub manager_share: [u8; 32],
    /// The agreed key for the registration file.
    pub file_key: Secret32,
    /// The device.
    pub identity: [u8; 32],
    /// SHA-256 of the code.
    pub code_hash: [u8; 32],
    /// Phase two must come before.
    pub until_ms: u64,
    /// Wrong codes that are still forgiven.
    pub attempts_left: u32,
    /// When the code was sent; in memory only.
    pub code_sent_ms: u64,
}

/// A confirmed registration.
pub struct Confirmed {
    /// SHA-256 of the request.
    pub request_hash: [u8; 32],
    /// The answer.
    pub sealed: Box<[u8]>,
    /// Until when it is given again.
    pub until_ms: u64,
}

impl Member {
    /// One that was just invited.
    #[must_use]
    pub fn new(id: MemberId, community: CommunityIndex, fqdn: &str, created_ms: u64) -> Self {
        Self {
            id,
            fqdn: fqdn.into(),
            community,
            user: Box::default(),
            email: Box::default(),
            platform: Box::default(),
            program: Box::default(),
            standing: Standing::NotRegistered,
            created_ms,
            registered_ms: 0,
            password: None,
            registering: None,
            identity: None,
            token: None,
            virtual_address: None,
            address_reserved: false,
            revoked_reason: None,
            director_key: None,
            tags: Box::default(),
            confirmed: None,
            session: None,
            accounting: None,
            init: None,
            allowance: crate::core::limits::Bucket::default(),
            look_at: u64::MAX,
        }
    }

    /// Who it belongs to, as policies name users.
    #[must_use]
    pub fn owner(&self) -> &str {
        if self.user.is_empty() {
            &self.email
        } else {
            &self.user
        }
    }

    /// While it is joined.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.session.as_deref()
    }

    /// What it has used; none if it never joined.
    #[must_use]
    pub fn accounting(&self) -> Option<&records::Accounting> {
        self.accounting.as_deref()
    }

    /// "not-registered", "registering", "registered", "joined", "revoked"
    #[must_use]
    pub fn state_word(&self) -> &'static str {
        match self.standing {
            Standing::Registered if self.session.is_some() => "joined",
            Standing::NotRegistered => "not-registered",
            Standing::Registering => "registering",
            Standing::Registered => "registered",
            Standing::Revoked => "revoked",
        }
    }

    pub(super) fn from_record(
        record: records::Member,
        community: CommunityIndex,
    ) -> Result<Self, &'static str> {
        let state = record.state();
        let mut member = Self::new(MemberId(record.id), community, &record.fqdn, record.created_ms);
        member.standing = match state {
            records::MemberState::NotRegistered => Standing::NotRegistered,
            records::MemberState::Registering => Standing::Registering,
            records::MemberState::Registered => Standing::Registered,
            records::MemberState::Revoked => Standing::Revoked,
        };
        member.user = record.user.into();
        member.email = record.email.into();
        member.platform = record.platform.into();
        member.program = record.program.into();
        member.registered_ms = record.registered_ms;
        if !record.password_key.is_empty() {
            member.password = Some(Box::new(Password {
                key: key(&record.password_key, "its password key")?,
                salt: array(&record.password_salt, "its password's salt")?,
                expires_ms: record.password_expires_ms,
                uses: record.password_uses,
            }));
        }
        member.registering = record
            .registering
            .map(Registering::from_record)
            .transpose()?
            .map(Box::new);
        if !record.identity.is_empty() {
            member.identity = Some(array(&record.identity, "its identity")?);
        }
        if !record.token_key.is_empty() {
            member.token = Some(Token {
                key: key(&record.token_key, "its token key")?,
                timestamp: record.token_timestamp,
            });
        }
        member.virtual_address = (record.virtual_address != 0).then(|| record.virtual_address.into());
        member.address_reserved = record.address_reserved;
        member.revoked_reason = some(record.revoked_reason);
        if !record.director_key.is_empty() {
            let secret = key(&record.director_key, "its director key")?;
            member.director_key = Some((record.director_key_id, secret));
        }
        member.tags = record.tags.into_iter().map(Into::into).collect();
        if !record.confirm_sealed.is_empty() {
            member.confirmed = Some(Box::new(Confirmed {
                request_hash: array(&record.confirm_request_hash, "its confirmation's hash")?,
                sealed: record.confirm_sealed.into(),
                until_ms: record.confirm_until_ms,
            }));
        }
        Ok(member)
    }

    pub(super) fn record(&self, domain: &str) -> records::Member {
        let mut record = records::Member {
            fqdn: self.fqdn.to_string(),
            community: domain.to_owned(),
            id: self.id.0,
            user: self.user.to_string(),
            email: self.email.to_string(),
            platform: self.platform.to_string(),
            program: self.program.to_string(),
            created_ms: self.created_ms,
            registered_ms: self.registered_ms,
            registering: self.registering.as_deref().map(Registering::record),
            identity: self.identity.map_or_else(Vec::new, Vec::from),
            virtual_address: self.virtual_address.map_or(0, u32::from),
            address_reserved: self.address_reserved,
            revoked_reason: self.revoked_reason.as_deref().unwrap_or_default().to_owned(),
            tags: self.tags.iter().map(ToString::to_string).collect(),
            ..records::Member::default()
        };
        record.set_state(match self.standing {
            Standing::NotRegistered => records::MemberState::NotRegistered,
            Standing::Registering => records::MemberState::Registering,
            Standing::Registered => records::MemberState::Registered,
            Standing::Revoked => records::MemberState::Revoked,
        });
        if let Some(password) = &self.password {
            record.password_key = password.key.expose().to_vec();
            record.password_salt = password.salt.to_vec();
            record.password_expires_ms = password.expires_ms;
            record.password_uses = password.uses;
        }
        if let Some(token) = &self.token {
            record.token_key = token.key.expose().to_vec();
            record.token_timestamp = token.timestamp;
        }
        if let Some((id, key)) = &self.director_key {
            record.director_key_id = *id;
            record.director_key = key.expose().to_vec();
        }
        if let Some(confirmed) = &self.confirmed {
            record.confirm_request_hash = confirmed.request_hash.to_vec();
            record.confirm_sealed = confirmed.sealed.to_vec();
            record.confirm_until_ms = confirmed.until_ms;
        }
        record
    }
}

impl Registering {
    fn from_record(record: records::Registering) -> Result<Self, &'static str> {
        Ok(Self {
            member_share: array(&record.member_share, "its key share")?,
            manager_share: array(&record.manager_share, "our key share")?,
            file_key: key(&record.file_key, "its file key")?,
            identity: array(&record.identity, "its identity")?,
            code_hash: array(&record.code_hash, "its code")?,
            until_ms: record.until_ms,
            attempts_left: record.attempts_left,
            // A manager that died may not have sent it: rather two letters than none.
            code_sent_ms: 0,
        })
    }

    fn record(&self) -> records::Registering {
        records::Registering {
            member_share: self.member_share.to_vec(),
            manager_share: self.manager_share.to_vec(),
            file_key: self.file_key.expose().to_vec(),
            identity: self.identity.to_vec(),
            code_hash: self.code_hash.to_vec(),
            until_ms: self.until_ms,
            attempts_left: self.attempts_left,
        }
    }
}

pub(super) fn array<const N: usize>(octets: &[u8], what: &'static str) -> Result<[u8; N], &'static str> {
    octets.try_into().map_err(|_| what)
}

pub(super) fn key(octets: &[u8], what: &'static str) -> Result<Secret32, &'static str> {
    array(octets, what).map(Secret32::new)
}

pub(super) fn some(text: String) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}
