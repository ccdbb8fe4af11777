//! The invitation: all that a new device needs, as one word that people copy from a mail.
//!
//! Source document 001: "An Initial Password is passed to the user through an outside channel, such as e-mail."
//!
//! ```text
//!  kith1-…    "kith1-" | base64url without padding of:
//!
//!   0  port u16 │ manager's fingerprint, 32 │ salt, 16 │ initial password, 16
//!  66  length of host u8 │ manager's host │ length of name u8 │ member's full name
//!   n  check sum, 4: the first octets of SHA-256 over "kith invitation 1" and what is before
//! ```
//!
//! The check sum finds mistakes of copying. It is no protection, and none is needed: who has the invitation may use it, once.

use crate::Rng;
use crate::authenticator::{Argon2Cost, CostError, PasswordKey};
use crate::crypto;
use crate::names::Fqdn;
use crate::octets::Octets;
use crate::tls::Fingerprint;
use data_encoding::{BASE64URL_NOPAD, DecodeKind};
use thiserror::Error;
use zeroize::Zeroizing;

const PREFIX: &str = "kith1-";
const FIXED: usize = 66;
/// Characters of an invitation at most: what is longer is not looked at.
const MAX_TEXT: usize = 1024;

/// Why a text is no invitation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvitationError {
    /// Something else altogether.
    #[error("this is not an invitation: one begins with \"kith1-\"; copy it whole from the mail")]
    NotAnInvitation,
    /// Made by a newer manager.
    #[error("this invitation is of a version that this program does not know; update kith-agent")]
    Version,
    /// The end is missing.
    #[error("the invitation is cut off: its end is missing; copy it whole from the mail")]
    CutOff,
    /// A character that does not belong in it.
    #[error("the invitation has {0:?} in it, which does not belong there; copy it again from the mail")]
    Character(char),
    /// The check sum is wrong.
    #[error("the invitation was changed on its way: its check sum is wrong; copy it again from the mail")]
    Damaged,
    /// The check sum is right, and the content is wrong.
    #[error("the invitation names {0}; ask for a new one")]
    Content(&'static str),
}

/// An invitation. No `Debug`: it holds a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Name or address of the manager.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its key.
    pub fingerprint: Fingerprint,
    /// Whom it is for.
    pub fqdn: Fqdn,
    /// Of the initial password.
    pub salt: [u8; 16],
    /// The initial password.
    pub password: Zeroizing<[u8; 16]>,
}

impl Invitation {
    /// With a new password and salt; `None` if `host` is empty or longer than 253 octets.
    #[must_use]
    pub fn generate(
        host: &str,
        port: u16,
        fingerprint: Fingerprint,
        fqdn: Fqdn,
        rng: Rng<'_>,
    ) -> Option<Self> {
        let (mut salt, mut password) = ([0; 16], Zeroizing::new([0; 16]));
        rng(&mut salt);
        rng(password.as_mut_slice());
        check_host(host).then(|| Self {
            host: host.to_owned(),
            port,
            fingerprint,
            fqdn,
            salt,
            password,
        })
    }

    /// The password's key: what the manager keeps, and the device authenticates under.
    ///
    /// # Errors
    /// If the cost is none.
    pub fn password_key(&self, cost: Argon2Cost) -> Result<PasswordKey, CostError> {
        PasswordKey::derive(self.password.as_slice(), &self.salt, cost)
    }

    /// What people copy.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let (host, fqdn) = (self.host.as_bytes(), self.fqdn.as_str().as_bytes());
        let mut octets = Zeroizing::new(Vec::with_capacity(FIXED + 2 + host.len() + fqdn.len() + 4));
        octets.extend_from_slice(&self.port.to_be_bytes());
        octets.extend_from_slice(&self.fingerprint.0);
        octets.extend_from_slice(&self.salt);
        octets.extend_from_slice(self.password.as_slice());
        for name in [host, fqdn] {
            octets.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            octets.extend_from_slice(name);
        }
        let sum = check_sum(&octets);
        octets.extend_from_slice(&sum);
        let encoded = Zeroizing::new(BASE64URL_NOPAD.encode(&octets));
        Zeroizing::new([PREFIX, encoded.as_str()].concat())
    }

    /// From what people copied: blanks, line breaks and quotes around it do not matter.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvitationError> {
        if text.len() > 4 * MAX_TEXT {
            return Err(InvitationError::NotAnInvitation);
        }
        let mark = |c: char| matches!(c, '"' | '\'' | '<' | '>' | '`' | '“' | '”');
        let kept = text
            .trim()
            .trim_matches(mark)
            .chars()
            .filter(|c| !c.is_whitespace());
        let text = Zeroizing::new(kept.collect::<String>());
        let encoded = text.strip_prefix(PREFIX).ok_or_else(|| not_ours(&text))?;
        if encoded.len() > MAX_TEXT {
            return Err(InvitationError::Damaged);
        }
        let octets =
            Zeroizing::new(
                BASE64URL_NOPAD
                    .decode(encoded.as_bytes())
                    .map_err(|error| match error.kind {
                        DecodeKind::Length | DecodeKind::Trailing => InvitationError::CutOff,
                        DecodeKind::Symbol | DecodeKind::Padding => {
                            let at = encoded.get(error.position..).and_then(|rest| rest.chars().next());
                            at.map_or(InvitationError::Damaged, InvitationError::Character)
                        }
                    })?,
            );
        let (content, sum) = layout(&octets).ok_or(InvitationError::CutOff)?;
        if octets.len() != content + 4 || check_sum(&octets[..content]) != sum {
            return Err(InvitationError::Damaged);
        }
        read(Octets(&octets)).ok_or(InvitationError::CutOff)?
    }
}

/// The usual mistake is another word, or one of a newer version.
fn not_ours(text: &str) -> InvitationError {
    let version = text.strip_prefix("kith").and_then(|rest| rest.split_once('-'));
    match version {
        Some((number, _)) if !number.is_empty() && number.bytes().all(|octet| octet.is_ascii_digit()) => {
            InvitationError::Version
        }
        _ if PREFIX.starts_with(text) && !text.is_empty() => InvitationError::CutOff,
        _ => InvitationError::NotAnInvitation,
    }
}

/// Where the check sum begins, and what it is; `None` if that lies behind the end.
fn layout(octets: &[u8]) -> Option<(usize, [u8; 4])> {
    let mut at = Octets(octets);
    at.take(FIXED)?;
    for _ in 0..2 {
        let len = at.u8()?;
        at.take(usize::from(len))?;
    }
    let content = octets.len() - at.0.len();
    Some((content, at.array()?))
}

fn read(mut octets: Octets<'_>) -> Option<Result<Invitation, InvitationError>> {
    let port = octets.u16()?;
    let fingerprint = Fingerprint(octets.array()?);
    let salt = octets.array()?;
    let password = Zeroizing::new(octets.array()?);
    let len = octets.u8()?;
    let host = octets.text(usize::from(len)).filter(|host| check_host(host));
    let Some(host) = host else {
        return Some(Err(InvitationError::Content("no manager that could be reached")));
    };
    let len = octets.u8()?;
    let Some(fqdn) = octets
        .text(usize::from(len))
        .and_then(|fqdn| Fqdn::parse(fqdn).ok())
    else {
        return Some(Err(InvitationError::Content("no member")));
    };
    Some(Ok(Invitation {
        host: host.to_owned(),
        port,
        fingerprint,
        fqdn,
        salt,
        password,
    }))
}

/// Is it good as a manager's host: a name or an address, printable, without blanks?
#[must_use]
pub fn check_host(host: &str) -> bool {
    let good = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_' | b':');
    (1..=253).contains(&host.len()) && host.bytes().all(good)
}

fn check_sum(octets: &[u8]) -> [u8; 4] {
    let hash = crypto::sha256(&[b"kith invitation 1", octets]);
    std::array::from_fn(|at| hash[at])
}
