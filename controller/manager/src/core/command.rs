//! What operators may ask of the core, and what it answers. Listing audit records, watching events and backups are the host's own.

use kith_protocol::admin;
use kith_protocol::authenticator::{Argon2Cost, CostError, PasswordKey};
use kith_protocol::{Rng, secret::Secret32};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Who asks, once the host has made sure of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// "uid 0 (root)", "token ci", "certificate CN"
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// What an operator may do. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at everything that is no secret.
    Viewer,
    /// Invite, change and revoke members, change policies.
    Operator,
    /// Everything.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

/// Text that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no role; there are viewer, operator and admin")]
pub struct NoRole(pub String);

impl FromStr for Role {
    type Err = NoRole;

    fn from_str(text: &str) -> Result<Self, NoRole> {
        let roles = [Self::Viewer, Self::Operator, Self::Admin];
        let role = roles.into_iter().find(|role| role.to_string() == text);
        role.ok_or_else(|| NoRole(text.chars().take(64).collect()))
    }
}

/// An initial password and its Argon2id value. Made by the host before it takes the core's lock: deriving one takes many milliseconds.
pub struct InitialPassword {
    /// The password, for the invitation.
    pub password: Zeroizing<[u8; 16]>,
    /// The salt, for the invitation.
    pub salt: [u8; 16],
    /// What the manager keeps.
    pub key: Secret32,
}

impl InitialPassword {
    /// A random one.
    pub fn generate(cost: Argon2Cost, rng: Rng<'_>) -> Result<Self, CostError> {
        let (mut password, mut salt) = (Zeroizing::new([0; 16]), [0; 16]);
        rng(&mut *password);
        rng(&mut salt);
        let key = PasswordKey::derive(&*password, &salt, cost)?.secret().clone();
        Ok(Self { password, salt, key })
    }
}

/// What an operator asks. Those that invite bring as many passwords as they name members that are not there yet.
pub enum Command {
    /// `GetStatus`
    Status,
    /// `SetManager`
    SetManager(admin::ManagerSettings),
    /// `CreateCommunity`
    CreateCommunity(admin::Community),
    /// `UpdateCommunity`
    UpdateCommunity(admin::Community),
    /// `DeleteCommunity`
    DeleteCommunity(admin::Name),
    /// `ListCommunities`
    ListCommunities,
    /// `Invite`
    Invite(admin::InviteRequest, Vec<InitialPassword>),
    /// `ListMembers`
    ListMembers(admin::MemberQuery),
    /// `UpdateMember`
    UpdateMember(Box<admin::Member>),
    /// `RevokeMember`
    RevokeMember(admin::RevokeRequest),
    /// `DeleteMember`
    DeleteMember(admin::Name),
    /// `PutPolicy`
    PutPolicy(admin::Policy),
    /// `DeletePolicy`
    DeletePolicy(admin::PolicyName),
    /// `ListPolicies`
    ListPolicies(admin::Name),
    /// `ExplainPolicy`
    ExplainPolicy(admin::ExplainRequest),
    /// `PutDirector`
    PutDirector(admin::Director),
    /// `DeleteDirector`
    DeleteDirector(admin::Name),
    /// `ListDirectors`
    ListDirectors,
    /// `Apply`
    Apply(admin::ApplyRequest, Vec<InitialPassword>),
    /// `Export`
    Export(admin::ExportRequest),
    /// `ListAccounting`
    ListAccounting(admin::MemberQuery),
    /// `CreateCredential`
    CreateCredential(admin::CredentialRequest),
    /// `DeleteCredential`
    DeleteCredential(admin::Name),
    /// `ListCredentials`
    ListCredentials,
    /// `Backup`: whether it may be, and the record of it. The copy itself is the host's.
    Backup,
}

/// What an operator gets. No `Debug`: some hold secrets.
pub enum AdminReply {
    /// Done.
    Done,
    /// How the manager is. The host fills in what only it knows.
    Status(Box<admin::ManagerStatus>),
    /// A community.
    Community(admin::Community),
    /// Communities.
    Communities(admin::Communities),
    /// Invitations: secret.
    Invitations(admin::Invitations),
    /// A member.
    Member(Box<admin::Member>),
    /// Members.
    Members(admin::Members),
    /// A policy.
    Policy(admin::Policy),
    /// Policies.
    Policies(admin::Policies),
    /// What policies say.
    Explanation(admin::Explanation),
    /// A director.
    Director(admin::Director),
    /// Directors.
    Directors(admin::Directors),
    /// What was or would be changed; the revision is filled in when the change is on disk.
    Applied(admin::ApplyAnswer),
    /// A network as it is.
    Network(admin::Network),
    /// What members have used.
    Accounting(admin::AccountingList),
    /// A new credential: secret.
    NewCredential(admin::NewCredential),
    /// Credentials.
    Credentials(admin::Credentials),
}

/// Why an operator does not get it: what is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// The role does not allow it.
    #[error("{action} needs the role {needs}; {actor} has {has}")]
    NotAllowed {
        /// What was asked.
        action: String,
        /// What it needs.
        needs: Role,
        /// Who asked.
        actor: String,
        /// What it has.
        has: Role,
    },
    /// It is not there.
    #[error("{0}")]
    NotFound(String),
    /// It is there already.
    #[error("{0}")]
    Exists(String),
    /// It makes no sense: everything that is wrong, one a line.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// Something else changed meanwhile, or must be done first.
    #[error("{0}")]
    Conflict(String),
    /// There is no room for it.
    #[error("{0}")]
    Exhausted(String),
    /// The store did not keep it.
    #[error("the store did not keep it: {0}; nothing was changed")]
    Store(String),
}
