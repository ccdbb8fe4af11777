//! What a manager answers, as `-o json` shows it: the messages' own names and units. Nothing here is `Debug`: some hold secrets.

use kith_protocol::admin;
use serde::Serialize;

macro_rules! views {
    ($($(#[$doc:meta])* $view:ident { $($field:ident: $kind:ty),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Serialize)]
        pub(super) struct $view { $(pub(super) $field: $kind),+ }

        impl From<admin::$view> for $view {
            fn from(message: admin::$view) -> Self {
                Self { $($field: message.$field),+ }
            }
        }
    )+};
}

views! {
    /// A community.
    Community {
        domain: String, pools: Vec<String>, description: String, deny_by_default: bool, directors: Vec<String>,
        ticket_lifetime_s: u32, members: u64, joined: u64, addresses_free: u64, manager_address: String,
        policy_version: u64, created_ms: u64,
    }
    /// A member.
    Member {
        fqdn: String, community: String, user: String, email: String, platform: String, state: String,
        virtual_address: String, address_reserved: bool, registered_ms: u64, joined_ms: u64, director: String,
        location: String, local_address: String, observed_address: String, behind_nat: bool, program: String,
        heard_ms: u64, tags: Vec<String>, reason: String, created_ms: u64, identity: String,
    }
    /// A policy.
    Policy {
        id: String, community: String, level: String, priority: i32, allow: bool, from: String, to: String,
        services: Vec<String>, comment: String,
    }
    /// What policies say of a conversation.
    Explanation { allow: bool, policy: String, steps: Vec<String> }
    /// A route director.
    Director {
        name: String, private: bool, address: String, private_address: String, port: u32, udp: bool, tcp: bool,
        sites: Vec<String>, nat_addresses: Vec<String>, capacity: u32, draining: bool, health: String, sessions: u64,
        place: String, attended_from: String, since_ms: u64,
    }
    /// Something that has happened.
    Event { at_ms: u64, kind: String, community: String, subject: String, detail: String, revision: u64 }
    /// Something that somebody did, or was refused.
    Audit { at_ms: u64, actor: String, role: String, action: String, subject: String, detail: String, allowed: bool }
    /// What a member has used.
    Accounting {
        fqdn: String, joined_ms: u64, sessions: u64, octets_sent: u64, octets_received: u64, first_joined_ms: u64,
        last_seen_ms: u64, joined: bool,
    }
    /// Who may ask from elsewhere.
    Credential {
        id: String, name: String, role: String, certificate: bool, created_ms: u64, expires_ms: u64, director: String,
    }
    /// How often something was.
    Count { name: String, count: u64 }
}

/// How a manager is.
#[derive(Serialize)]
pub(super) struct Status {
    pub(super) program: String,
    pub(super) uptime_ms: u64,
    pub(super) host: String,
    pub(super) port: u32,
    pub(super) tunnel_port: u32,
    pub(super) fingerprint: String,
    pub(super) revision: u64,
    pub(super) communities: u64,
    pub(super) members: u64,
    pub(super) joined: u64,
    pub(super) streams: u64,
    pub(super) store: String,
    pub(super) mail: String,
    pub(super) counts: Vec<Count>,
}

impl From<admin::ManagerStatus> for Status {
    fn from(message: admin::ManagerStatus) -> Self {
        Self {
            program: message.program,
            uptime_ms: message.uptime_ms,
            host: message.host,
            port: message.port,
            tunnel_port: message.tunnel_port,
            fingerprint: message.fingerprint,
            revision: message.revision,
            communities: message.communities,
            members: message.members,
            joined: message.joined,
            streams: message.streams,
            store: message.store,
            mail: message.mail,
            counts: all(message.counts),
        }
    }
}

/// An invitation; its text is secret, and there only if nobody got it by mail, or if it was asked for.
#[derive(Serialize)]
pub(crate) struct Invitation {
    pub(super) fqdn: String,
    pub(super) mailed_to: String,
    pub(super) expires_ms: u64,
    pub(super) text: Option<String>,
}

/// A credential that is new; a token is shown this once.
#[derive(Serialize)]
pub(super) struct NewCredential {
    #[serde(flatten)]
    pub(super) credential: Credential,
    pub(super) token: Option<String>,
}

/// What was done to what, where the manager's answer is empty.
#[derive(Serialize)]
pub(super) struct Done<'a> {
    pub(super) name: &'a str,
    pub(super) done: &'static str,
}

/// A list of messages as views.
pub(super) fn all<M, V: From<M>>(messages: Vec<M>) -> Vec<V> {
    messages.into_iter().map(V::from).collect()
}
