//! The responder's IKE_SA_INIT: answer a stranger, and keep what is needed to hear more of it.

use super::context::Context;
use super::hello::{self, Hello, Negotiated, note};
use super::nat;
use super::proof::X509;
use super::protection::Protection;
use super::window::Window;
use crate::auth::IntAuth;
use crate::codec::{
    Datagram, Exchange, Header, IkeSpi, KeyExchange, MessageId, NotifyKind, Payload, Ticket, encode_clear,
};
use crate::suite::{self, Group, IkeKeys, Nonces, Spis};
use crate::terms::Config;
use crate::units::{AssociationId, Path, Role};

/// Octets of an answer at most: header, SA, KE as long as the one that came, nonce, notifications, vendor; with an additional exchange one more
/// transform and notification; and the names of our authorities.
pub(crate) fn longest(config: &Config, hello: &Hello) -> usize {
    let additional = if hello.intermediate { 16 } else { 0 };
    let authorities = config
        .authorities
        .as_ref()
        .map_or(0, |anchors| 5 + anchors.request().len());
    28 + 48 + 8 + hello.share.data.len() + 36 + 56 + 8 + 12 + 27 + additional + authorities
}

/// IKE_SA_INIT is answered; who it is, is not known yet.
pub(crate) struct Responding {
    pub(crate) negotiated: Negotiated,
    pub(crate) window: Window<super::tasks::Pending>,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) since: u64,
    /// RFC 9370: an additional key exchange must come before IKE_AUTH.
    pub(crate) additional: Option<Group>,
}

/// Answers the stranger's first message, if it can be; the octets go to whoever asked.
pub(crate) enum Answer {
    /// A handshake begins.
    Begun(Box<Responding>, Vec<u8>),
    /// It is told why not; nothing is kept.
    Refused(Vec<u8>),
    /// Nothing is said.
    Ignored,
}

pub(crate) fn answer(
    context: &mut Context<'_>,
    id: AssociationId,
    path: Path,
    (datagram, payloads, hello): (&Datagram<'_>, &[Payload], Hello),
) -> Answer {
    let sent = Some(hello.share.group);
    let Ok(chosen) = suite::choose_ike(&context.config.ike, &hello.proposals, sent, None) else {
        return Answer::Refused(refusal(datagram, NotifyKind::NO_PROPOSAL_CHOSEN, Vec::new()));
    };
    let suite = chosen.suite;
    if suite.additional.is_some() && !hello.intermediate {
        return Answer::Refused(refusal(datagram, NotifyKind::NO_PROPOSAL_CHOSEN, Vec::new()));
    }
    if hello.share.group != suite.group.id() {
        // RFC 7296 sections 1.3 and 3.4: the group that we would have chosen.
        let group = suite.group.id().to_be_bytes().to_vec();
        return Answer::Refused(refusal(datagram, NotifyKind::INVALID_KE_PAYLOAD, group));
    }
    let Ok((public, shared)) = suite::answer(suite.group, &hello.share.data, &mut |out| {
        context.host.entropy(out)
    }) else {
        return Answer::Ignored;
    };
    let spis = (datagram.header.initiator_spi, context.take_ike_spi(id));
    let nonces = [hello.nonce, context.nonce()];
    let [initiator, responder] = &nonces;
    let both = Nonces { initiator, responder };
    let (initiator, responder) = spis;
    let keys = IkeKeys::first(
        suite.prf,
        suite.cipher,
        both,
        &shared,
        Spis { initiator, responder },
    );
    let max = context.config.max_datagram;
    let protection = Protection::new(Role::Responder, spis, &keys, hello.fragments, max);
    let Ok(protection) = protection else {
        context.give_back_ike_spi(spis.1);
        return Answer::Ignored;
    };
    let mut said = vec![
        Payload::Sa(vec![chosen.answer]),
        Payload::KeyExchange(KeyExchange {
            group: suite.group.id(),
            data: public,
        }),
        Payload::Nonce(nonces[1].clone()),
    ];
    said.extend(hello::extras(
        context.config.nat,
        spis,
        path,
        suite.additional.is_some(),
    ));
    // RFC 7296 section 1.2: CERTREQ may come here; its form is that of section 3.7.
    said.extend(context.config.authorities.iter().map(|authorities| {
        let data = authorities.request();
        Payload::CertificateRequest { encoding: X509, data }
    }));
    let header = protection.header(Exchange::IkeSaInit, true, 0);
    let octets = encode_clear(&header, &said);
    // RFC 7296 section 2.23: the SPIs as they stood in the request, where ours was still zero.
    let asked = (datagram.header.initiator_spi, IkeSpi::ZERO);
    let found = nat::found(payloads, context.config.nat, asked, path);
    let mut window = Window::new(0, 0);
    window.answered(vec![octets.clone()], context.now);
    let negotiated = Negotiated {
        protection,
        suite,
        keys,
        nonces,
        transcript: [datagram.octets.to_vec(), octets.clone()],
        peer_hashes: hello.hashes,
        nat: found.unwrap_or_default(),
        detects: found.is_some(),
        kith: hello.kith,
        intermediate: IntAuth::default(),
    };
    let responding = Responding {
        additional: suite.additional,
        negotiated,
        window,
        ticket: hello.ticket,
        since: context.now.millis,
    };
    Answer::Begun(Box::new(responding), octets)
}

/// An answer that keeps nothing: one notification, never longer than what was asked.
pub(crate) fn refusal(datagram: &Datagram<'_>, kind: NotifyKind, data: Vec<u8>) -> Vec<u8> {
    let header = Header {
        initiator_spi: datagram.header.initiator_spi,
        responder_spi: IkeSpi::ZERO,
        exchange: Exchange::IkeSaInit,
        from_initiator: false,
        response: true,
        message_id: MessageId(0),
    };
    encode_clear(&header, &[note(kind, data)])
}
