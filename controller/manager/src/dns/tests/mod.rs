//! The decisions of figure 15, one test each, and the form of what goes back.

mod refusals;
mod shape;

use super::*;
use hickory_proto::op::Message;
use kith_protocol::member::Location;
use std::net::Ipv4Addr;

const ASKER: MemberId = MemberId(7);
const PRINTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
const BROKEN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 7);
const SILENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 8);

/// A community with a member that has joined (`printer`), and one that has not (`scanner`).
#[derive(Default)]
struct Acme {
    located: u32,
    /// What is said beside the answer is as long as this.
    ticket: usize,
}

impl Names for Acme {
    fn ours(&self, asker: MemberId, target: Target<'_>) -> bool {
        asker == ASKER
            && match target {
                Target::Name(name) => name == "acme.example" || name.ends_with(".acme.example"),
                Target::Address(address) => [PRINTER, SILENT, BROKEN].contains(&address),
            }
    }

    fn locate(&mut self, _now_ms: u64, asker: MemberId, target: Target<'_>) -> Result<Peer, Unlocated> {
        self.located += 1;
        if asker != ASKER {
            return Err(Unlocated::AskerUnknown);
        }
        match target {
            _ if !self.ours(asker, target) => Err(Unlocated::NotOurs),
            Target::Name("printer.acme.example") | Target::Address(PRINTER) => Ok(Peer {
                fqdn: "printer.acme.example".into(),
                virtual_address: PRINTER.to_bits(),
                location: Some(Location::default()),
                ticket: vec![0xa5; self.ticket],
                ..Peer::default()
            }),
            Target::Address(BROKEN) => Ok(Peer {
                fqdn: "..".into(),
                ..Peer::default()
            }),
            Target::Name("busy.acme.example") => Err(Unlocated::Unable),
            _ => Err(Unlocated::NotJoined),
        }
    }
}

/// A query, octet by octet.
struct Ask {
    flags: u16,
    questions: Vec<Vec<u8>>,
    additional: Vec<Vec<u8>>,
    counts: Option<[u16; 4]>,
    tail: Vec<u8>,
}

const A: u16 = 1;
const PTR: u16 = 12;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const IN: u16 = 1;
const CHAOS: u16 = 3;
const ID: u16 = 0xbeef;

fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}

fn question(name: &str, kind: u16, class: u16) -> Vec<u8> {
    let mut wire = wire_name(name);
    wire.extend(kind.to_be_bytes());
    wire.extend(class.to_be_bytes());
    wire
}

fn ask(name: &str, kind: u16) -> Ask {
    Ask {
        flags: 0x0100,
        questions: vec![question(name, kind, IN)],
        additional: Vec::new(),
        counts: None,
        tail: Vec::new(),
    }
}

impl Ask {
    fn opcode(mut self, opcode: u16) -> Self {
        self.flags |= opcode << 11;
        self
    }

    fn edns(mut self, version: u8, payload: u16) -> Self {
        let mut opt = vec![0, 0, 41];
        opt.extend(payload.to_be_bytes());
        opt.extend([0, version, 0, 0, 0, 0]);
        self.additional.push(opt);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let counted = [self.questions.len() as u16, 0, 0, self.additional.len() as u16];
        let mut wire = ID.to_be_bytes().to_vec();
        wire.extend(self.flags.to_be_bytes());
        wire.extend(
            self.counts
                .unwrap_or(counted)
                .iter()
                .flat_map(|count| count.to_be_bytes()),
        );
        wire.extend(self.questions.iter().chain(&self.additional).flatten());
        wire.extend(&self.tail);
        wire
    }

    fn of(&self, asker: Option<MemberId>, names: &mut Acme, transport: Transport) -> (Outcome, Vec<u8>) {
        let bytes = self.bytes();
        let mut out = vec![1, 2, 3];
        let query = Query {
            bytes: &bytes,
            asker,
            transport,
            now_ms: 1_000,
        };
        let outcome = answer(&query, names, &mut out);
        (outcome, out)
    }

    /// Asked by a member over UDP.
    fn decided(&self) -> (Outcome, Message) {
        let (outcome, out) = self.of(Some(ASKER), &mut Acme::default(), Transport::Udp);
        (outcome, Message::from_vec(&out).unwrap())
    }

    fn outcome(&self) -> Outcome {
        self.decided().0
    }
}
