//! Why a tunnel is as it is, in sentences.

use super::show::left;
use crate::output::age;
use kith_agent::keying::Method;
use kith_agent::status::{KeyState, PeerStatus, SessionState, Status};

pub(super) fn lines(peer: &PeerStatus, status: &Status) -> Vec<String> {
    let mut out = vec![there(peer)];
    out.extend(back(peer, status));
    out.push(keys(peer, status));
    out.extend(next(peer));
    out.push(size(peer));
    out.extend(silence(peer));
    out
}

fn there(peer: &PeerStatus) -> String {
    let (name, endpoint) = (&peer.name, peer.endpoint);
    match peer.pseudo {
        Some(pseudo) => format!(
            "{name} has no public address: packets for it go to the route director at {endpoint}, which knows it as {pseudo}, and it relays them through {name}'s NAT."
        ),
        None => format!("{name} has a public address: packets go straight to {endpoint}."),
    }
}

fn back(peer: &PeerStatus, status: &Status) -> Option<String> {
    let director = status.director.as_ref()?;
    let here = &status.name;
    Some(match (director.state, director.pseudo) {
        (SessionState::Up, Some(pseudo)) => format!(
            "{here} is reached through the route director at {}, as {pseudo}{}.",
            director.address,
            director
                .observed
                .map_or_else(String::new, |seen| format!("; its NAT shows it as {seen}"))
        ),
        (SessionState::Up, None) => format!(
            "{here} has a public address; its session with the director at {} lets it send to members behind one.",
            director.address
        ),
        _ => format!(
            "{here} has no session with the director at {} now: {} cannot reach it until there is one.",
            director.address, peer.name
        ),
    })
}

fn keys(peer: &PeerStatus, status: &Status) -> String {
    let name = &peer.name;
    match (peer.keys, &peer.tunnel, peer.method) {
        (KeyState::None, ..) => format!(
            "There are no keys: nothing was sent to {name} yet. The first packet makes {} ask for them, and waits.",
            status.name
        ),
        (KeyState::Agreeing, ..) => format!(
            "Keys are being agreed with {name}; packets wait. If this stays, {name} is off, or its director does not reach it."
        ),
        (_, Some(tunnel), _) => format!(
            "Both proved who they are by IKEv2 {} ago, begun by {}, with the secret that this pair shares; the IKE SA uses {}{}.",
            age(tunnel.up_ms),
            if tunnel.initiator { &status.name } else { name },
            tunnel.suite,
            if tunnel.suite.contains("ML-KEM") {
                ": who records this today cannot read it with a quantum computer"
            } else {
                ""
            }
        ),
        (_, None, Some(Method::Ticket)) => "The keys come from the exchange under the pair's secret, not from IKE: one of the two is configured with `keying: ticket`.".into(),
        (..) => "Keys are in use.".into(),
    }
}

fn next(peer: &PeerStatus) -> Option<String> {
    let tunnel = peer.tunnel.as_ref()?;
    let pair = tunnel.pairs.iter().rev().find(|pair| pair.sending)?;
    Some(format!(
        "The keys of packets are {} old ({}); they are replaced when they are used {} from now, and end in {} at the latest. Those of the IKE SA are replaced in {}.",
        age(pair.age_ms),
        pair.suite,
        left(pair.rekey.ms),
        left(pair.ends.ms),
        left(tunnel.ike_rekey_ms)
    ))
}

fn size(peer: &PeerStatus) -> String {
    format!(
        "The largest packet on the way is {} octets, with everything around it; larger ones are refused to the sender, which then sends smaller ones.",
        peer.path_mtu
    )
}

fn silence(peer: &PeerStatus) -> Option<String> {
    let heard = peer.heard_ms?;
    (heard > 30_000 && peer.keys != KeyState::None).then(|| {
        format!(
            "Nothing was heard from {} for {}. That is no fault while nobody has anything to say; after 15 s of unanswered data it is asked.",
            peer.name,
            age(heard)
        )
    })
}
