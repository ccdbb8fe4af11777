//! Choosing among proposals, and checking what was chosen (RFC 7296 2.7, 3.3.6).
//!
//! **Idea.** A responder goes through the initiator's proposals in their order; of each kind of transform it takes its own first
//! choice that is offered. But the group whose public key already came is taken before a better one that would cost a
//! round trip. An initiator believes an answer only if every bit of it was offered.

use super::cipher::Cipher;
use super::group::Group;
use super::offer::{Additional, EspPreferences, EspSuite, IkePreferences, IkeSuite, Wanted, additional};
use super::prf::Prf;
use crate::codec::{IkeSpi, Proposal, Protocol, Transform, TransformKind};
use kith_esp::Spi;

/// Nothing that both sides accept: NO_PROPOSAL_CHOSEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProposal {
    /// No proposal of the peer has something of each kind that we accept.
    #[error("none of the peer's proposals is acceptable: compare the suites configured on both sides")]
    NoneAcceptable,
    /// The answer is not one of our proposals, or no proposal at all.
    #[error("the peer answered with what was not proposed to it")]
    NotOffered,
    /// The SPI of the answer is missing, too much, or reserved.
    #[error("the peer's proposal has no usable SPI")]
    Spi,
}

/// What a responder chose for an IKE security association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenIke {
    /// The algorithms.
    pub suite: IkeSuite,
    /// The answer, with our SPI when rekeying.
    pub answer: Proposal,
    /// The peer's new SPI; when rekeying only.
    pub peer_spi: Option<IkeSpi>,
}

/// What a responder chose for a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenEsp {
    /// The algorithms.
    pub suite: EspSuite,
    /// The answer, with our SPI.
    pub answer: Proposal,
    /// The SPI on which the peer receives.
    pub peer_spi: Spi,
}

/// A responder's choice. `sent`: group of the key exchange payload that came with it. `own_spi`: our new SPI when rekeying, else
/// none, and none is taken then.
///
/// # Errors
/// [`NoProposal::NoneAcceptable`].
pub fn choose_ike(
    preferences: &IkePreferences,
    offered: &[Proposal],
    sent: Option<u16>,
    own_spi: Option<IkeSpi>,
) -> Result<ChosenIke, NoProposal> {
    let usable = |proposal: &Proposal| {
        proposal.protocol == Protocol::Ike && ike_spi(proposal, own_spi.is_some()).is_ok()
    };
    let own = own_spi.map_or_else(Vec::new, |spi| spi.to_octets().to_vec());
    let (proposal, answer) = choose(&preferences.wanted(), offered, usable, sent, own)?;
    let suite = ike_suite(&answer.transforms).ok_or(NoProposal::NoneAcceptable)?;
    Ok(ChosenIke {
        suite,
        answer,
        peer_spi: ike_spi(proposal, own_spi.is_some())?,
    })
}

/// A responder's choice for a child. In IKE_AUTH: with [`EspPreferences::without_exchange`].
///
/// # Errors
/// [`NoProposal::NoneAcceptable`].
pub fn choose_esp(
    preferences: &EspPreferences,
    offered: &[Proposal],
    sent: Option<u16>,
    own_spi: Spi,
) -> Result<ChosenEsp, NoProposal> {
    let usable = |proposal: &Proposal| proposal.protocol == Protocol::Esp && esp_spi(proposal).is_ok();
    let own = own_spi.get().to_be_bytes().to_vec();
    let (proposal, answer) = choose(&preferences.wanted(), offered, usable, sent, own)?;
    let suite = esp_suite(&answer.transforms).ok_or(NoProposal::NoneAcceptable)?;
    Ok(ChosenEsp {
        suite,
        answer,
        peer_spi: esp_spi(proposal)?,
    })
}

/// An initiator's check of the answer to `offered` (its own proposals, SPI or none as they were). Gives the algorithms and the
/// peer's new SPI when rekeying.
///
/// # Errors
/// [`NoProposal::NotOffered`], [`NoProposal::Spi`].
pub fn accept_ike(
    offered: &[Proposal],
    answered: &[Proposal],
) -> Result<(IkeSuite, Option<IkeSpi>), NoProposal> {
    let (ours, theirs) = answered_one(offered, answered)?;
    let suite = ike_suite(&theirs.transforms).ok_or(NoProposal::NotOffered)?;
    Ok((suite, ike_spi(theirs, !ours.spi.is_empty())?))
}

/// An initiator's check of the answer for a child: the algorithms and the SPI on which the peer receives.
///
/// # Errors
/// [`NoProposal::NotOffered`], [`NoProposal::Spi`].
pub fn accept_esp(offered: &[Proposal], answered: &[Proposal]) -> Result<(EspSuite, Spi), NoProposal> {
    let (_, theirs) = answered_one(offered, answered)?;
    let suite = esp_suite(&theirs.transforms).ok_or(NoProposal::NotOffered)?;
    Ok((suite, esp_spi(theirs)?))
}

fn choose<'a>(
    wanted: &Wanted,
    offered: &'a [Proposal],
    usable: impl Fn(&Proposal) -> bool,
    sent: Option<u16>,
    spi: Vec<u8>,
) -> Result<(&'a Proposal, Proposal), NoProposal> {
    // With the additional exchange first, in whichever of the proposals it is.
    let passes: &[bool] = match wanted.additional {
        Additional::Off => &[false],
        Additional::Offer => &[true, false],
        Additional::Require => &[true],
    };
    for &with in passes {
        for proposal in offered.iter().filter(|proposal| usable(proposal)) {
            if let Some(transforms) = match_one(wanted, proposal, with, sent) {
                let answer = Proposal {
                    number: proposal.number,
                    protocol: proposal.protocol,
                    spi,
                    transforms,
                };
                return Ok((proposal, answer));
            }
        }
    }
    Err(NoProposal::NoneAcceptable)
}

/// One transform of each kind that the proposal has, all of them acceptable; or nothing. RFC 7296 3.3.3: without one of a mandatory kind it
/// is nothing too.
fn match_one(wanted: &Wanted, proposal: &Proposal, with: bool, sent: Option<u16>) -> Option<Vec<Transform>> {
    let offers = |transform: &Transform| proposal.transforms.contains(transform);
    let mut chosen = Vec::with_capacity(5);
    for (kind, acceptable) in &wanted.kinds {
        let came = |t: &&Transform| *kind == TransformKind::KE && Some(t.id) == sent && offers(t);
        let best = acceptable
            .iter()
            .find(came)
            .or_else(|| acceptable.iter().find(|t| offers(t)))?;
        chosen.push(*best);
    }
    if with {
        chosen.push(Some(additional()).filter(offers)?);
    }
    // RFC 7296 3.3.6: something of every kind offered has to be chosen. What we have no use for may be none, and then it is said so:
    // a key exchange (3.3.2), an additional one (RFC 9370 2.2.1), integrity beside an authenticated cipher (RFC 5282 8).
    for kind in proposal.transforms.iter().map(|transform| transform.kind) {
        if chosen.iter().all(|transform| transform.kind != kind) {
            let none = Transform::new(kind, 0);
            let may = kind == TransformKind::INTEG || kind == TransformKind::KE || kind.is_additional();
            chosen.push(Some(none).filter(|none| may && offers(none))?);
        }
    }
    Some(chosen)
}

/// RFC 7296 2.7: the answer is one proposal, with the number of one of ours, and one transform of each kind out of it.
fn answered_one<'a, 'b>(
    offered: &'a [Proposal],
    answered: &'b [Proposal],
) -> Result<(&'a Proposal, &'b Proposal), NoProposal> {
    let [theirs] = answered else {
        return Err(NoProposal::NotOffered);
    };
    let ours = offered
        .iter()
        .find(|ours| ours.number == theirs.number && ours.protocol == theirs.protocol)
        .ok_or(NoProposal::NotOffered)?;
    let real = |t: &&Transform| !(t.kind == TransformKind::INTEG && t.id == 0);
    let all_offered = theirs
        .transforms
        .iter()
        .filter(real)
        .all(|transform| ours.transforms.contains(transform));
    let kinds = |proposal: &Proposal| {
        let mut kinds: Vec<_> = proposal.transforms.iter().filter(real).map(|t| t.kind).collect();
        kinds.sort_unstable();
        kinds
    };
    let mut ours_once = kinds(ours);
    ours_once.dedup();
    if all_offered && kinds(theirs) == ours_once {
        Ok((ours, theirs))
    } else {
        Err(NoProposal::NotOffered)
    }
}

fn ike_suite(transforms: &[Transform]) -> Option<IkeSuite> {
    Some(IkeSuite {
        cipher: cipher(transforms)?,
        prf: [Prf::HmacSha256, Prf::HmacSha384]
            .into_iter()
            .find(|prf| Some(prf.id()) == id_of(transforms, TransformKind::PRF))?,
        group: exchange(transforms, TransformKind::KE)?,
        additional: exchange(transforms, TransformKind::ADDKE1),
    })
}

fn esp_suite(transforms: &[Transform]) -> Option<EspSuite> {
    Some(EspSuite {
        cipher: cipher(transforms)?,
        esn: id_of(transforms, TransformKind::ESN)? == 1,
        group: exchange(transforms, TransformKind::KE),
        additional: exchange(transforms, TransformKind::ADDKE1),
    })
}

fn cipher(transforms: &[Transform]) -> Option<Cipher> {
    let transform = transforms
        .iter()
        .find(|transform| transform.kind == TransformKind::ENCR)?;
    [Cipher::Aes128Gcm16, Cipher::Aes256Gcm16]
        .into_iter()
        .find(|cipher| transform.id == Cipher::ID && transform.key_bits == Some(cipher.key_bits()))
}

fn exchange(transforms: &[Transform], kind: TransformKind) -> Option<Group> {
    id_of(transforms, kind).and_then(Group::from_id)
}

fn id_of(transforms: &[Transform], kind: TransformKind) -> Option<u16> {
    transforms
        .iter()
        .find(|transform| transform.kind == kind)
        .map(|transform| transform.id)
}

/// RFC 7296 3.3.1: no SPI in IKE_SA_INIT, eight octets when rekeying; zero is none.
fn ike_spi(proposal: &Proposal, rekeying: bool) -> Result<Option<IkeSpi>, NoProposal> {
    match (<[u8; 8]>::try_from(proposal.spi.as_slice()), rekeying) {
        (Err(_), false) if proposal.spi.is_empty() => Ok(None),
        (Ok(spi), true) if spi != [0; 8] => Ok(Some(IkeSpi(u64::from_be_bytes(spi)))),
        _ => Err(NoProposal::Spi),
    }
}

fn esp_spi(proposal: &Proposal) -> Result<Spi, NoProposal> {
    let spi = <[u8; 4]>::try_from(proposal.spi.as_slice()).map_err(|_| NoProposal::Spi)?;
    Spi::new(u32::from_be_bytes(spi)).map_err(|_| NoProposal::Spi)
}
