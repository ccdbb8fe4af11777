//! First messages: from somebody of whom nothing is known (RFC 7296 sections 1.2, 2.5 and 2.6).

use super::{Drop, Endpoint};
use crate::association::Association;
use crate::association::hello::{self, note};
use crate::association::respond::{self, Answer};
use crate::codec::{Body, Datagram, Exchange, Header, IkeSpi, MessageId, NotifyKind, encode_clear};
use crate::host::Host;
use crate::units::{Moment, Path};

impl<H: Host> Endpoint<H> {
    /// A first message: RFC 7296 section 1.2, from somebody of whom nothing is known.
    pub(super) fn stranger(&mut self, now: Moment, path: Path, datagram: &Datagram<'_>) {
        let header = datagram.header;
        let first =
            header.exchange == Exchange::IkeSaInit && !header.response && header.message_id == MessageId(0);
        let Body::Clear(payloads) = &datagram.body else {
            return self.desk.counters.count(Drop::NotForUs);
        };
        // RFC 7296 section 3.1: the initiator's SPI is never zero.
        if !first || header.initiator_spi == IkeSpi::ZERO {
            return self.desk.counters.count(Drop::NotForUs);
        }
        let key = (header.initiator_spi, path.remote);
        if let Some(known) = self.strangers.get(&key).and_then(|id| self.associations.get(id)) {
            // Section 2.1: the same question gets the same answer.
            match known.answer_again(datagram) {
                Some(octets) => self.send(path, octets),
                None => self.desk.counters.count(Drop::NotForUs),
            }
            return;
        }
        if let Some(kind) = hello::critical(payloads) {
            let kind = vec![kind];
            let refusal = respond::refusal(datagram, NotifyKind::UNSUPPORTED_CRITICAL_PAYLOAD, kind);
            return self.send(path, refusal);
        }
        let Some(hello) = hello::read(payloads) else {
            return self.desk.counters.count(Drop::Malformed);
        };
        let Self {
            cookies,
            host,
            config,
            ..
        } = self;
        let who = (path, header.initiator_spi, &hello.nonce[..]);
        let proved = hello
            .cookie
            .as_ref()
            .is_some_and(|cookie| cookies.is_good(now.millis, who, cookie));
        // Before it has shown that it receives where it sends from, nobody gets more octets than it sent.
        let short = datagram.octets.len() < respond::longest(config, &hello);
        if !proved && (short || self.strangers.len() >= config.cookies_from) {
            let cookie = cookies.make(now.millis, who, &mut |out| host.entropy(out));
            self.desk.counters.count(Drop::CookieAsked);
            return self.send(path, respond::refusal(datagram, NotifyKind::COOKIE, cookie));
        }
        if self.strangers.len() >= config.half_open_most
            || self.associations.len() >= config.associations_most
        {
            return self.desk.counters.count(Drop::Full);
        }
        if host.screen(now, path, hello.ticket.as_ref()).is_err() {
            return self.desk.counters.count(Drop::Screened);
        }
        let id = self.next_id();
        let (mut context, associations) = self.context(now);
        match respond::answer(&mut context, id, path, (datagram, payloads, hello)) {
            Answer::Begun(responding, octets) => {
                associations.insert(id, Association::respond(id, responding));
                context.send(path, &[octets]);
                self.strangers.insert(key, id);
                self.reschedule(id);
            }
            Answer::Refused(octets) => self.send(path, octets),
            Answer::Ignored => self.desk.counters.count(Drop::Malformed),
        }
    }

    /// Section 2.5: a higher major version is told which one we speak. Never more octets than came.
    pub(super) fn other_version(&mut self, path: Path, header: Header, came: usize) {
        self.desk.counters.count(Drop::Version);
        if header.response || header.initiator_spi == IkeSpi::ZERO {
            return;
        }
        let answer = Header {
            from_initiator: false,
            response: true,
            ..header
        };
        let answer = encode_clear(&answer, &[note(NotifyKind::INVALID_MAJOR_VERSION, Vec::new())]);
        if answer.len() <= came {
            self.send(path, answer);
        }
    }
}
