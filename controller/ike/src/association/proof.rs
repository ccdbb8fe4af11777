//! What each side's AUTH covers, and whether the other's is good (RFC 7296 section 2.15).

use super::context::Context;
use super::hello::{self, Negotiated};
use crate::auth::{self, PeerProof};
use crate::codec::{Identity, MessageId, Payload};
use crate::event::Down;
use crate::terms::Terms;
use crate::units::Role;

/// Certificate encoding: X.509, DER (RFC 7296 section 3.6).
pub(super) const X509: u8 = 4;

/// Certificates and AUTH of ours.
pub(super) fn proof(
    negotiated: &Negotiated,
    ours: Role,
    (terms, message_id): (&Terms, u32),
) -> Result<Vec<Payload>, Down> {
    let octets = covered(negotiated, ours, &terms.own, message_id);
    let prf = negotiated.keys.prf();
    let (method, data) = terms
        .proof
        .prove(&octets, prf, &negotiated.peer_hashes)
        .map_err(Down::NotAuthentic)?;
    let chain = terms.proof.chain().iter();
    let mut out: Vec<Payload> = chain
        .map(|certificate| Payload::Certificate {
            encoding: X509,
            data: certificate.clone(),
        })
        .collect();
    if let PeerProof::Certificate(anchors) = &terms.peer_proof {
        out.push(Payload::CertificateRequest {
            encoding: X509,
            data: anchors.request(),
        });
    }
    out.push(Payload::Auth { method, data });
    Ok(out)
}

/// Whether the peer is who it says.
pub(super) fn check(
    context: &Context<'_>,
    negotiated: &Negotiated,
    ours: Role,
    (terms, message_id): (&Terms, u32),
    (peer, payloads): (&Identity, &[Payload]),
) -> Result<(), Down> {
    let proof = payloads.iter().find_map(|payload| match payload {
        Payload::Auth { method, data } => Some((*method, data)),
        _ => None,
    });
    let (method, data) = proof.ok_or(Down::Protocol("no proof"))?;
    let chain: Vec<Vec<u8>> = payloads
        .iter()
        .filter_map(|payload| match payload {
            Payload::Certificate { encoding, data } if *encoding == X509 => Some(data.clone()),
            _ => None,
        })
        .collect();
    let theirs = match ours {
        Role::Initiator => Role::Responder,
        Role::Responder => Role::Initiator,
    };
    let octets = covered(negotiated, theirs, peer, message_id);
    let (prf, now) = (negotiated.keys.prf(), context.now.unix_secs);
    terms
        .peer_proof
        .check(peer, method, data, &octets, prf, &chain, &hello::OWN_HASHES, now)
        .map_err(Down::NotAuthentic)
}

/// What one side's AUTH covers (section 2.15; RFC 9242 section 3.3.2 for what came between).
fn covered(
    negotiated: &Negotiated,
    of: Role,
    identity: &Identity,
    message_id: u32,
) -> zeroize::Zeroizing<Vec<u8>> {
    let initiator = of == Role::Initiator;
    let (own, other) = if initiator { (0, 1) } else { (1, 0) };
    let between = negotiated.intermediate.finish(MessageId(message_id));
    auth::signed_octets(
        &negotiated.transcript[own],
        &negotiated.nonces[other],
        negotiated.keys.prf(),
        negotiated.keys.prove(initiator),
        &identity.body(),
        between.as_deref(),
    )
}
