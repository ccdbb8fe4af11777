//! Addresses: inside their network, usable there, and nobody else's there. Who is given none gets the next free one, in the order of the
//! file: manager, directors, NATs, devices, hosts; in a LAN, its router first.

use super::refer::{Place, Refs};
use crate::{Code, Prefix, diagnostic::Sink, read::Field, written::Topology};
use std::{collections::HashMap, net::Ipv4Addr, ops::Range};

/// Every node's address, in the order of the file. `None`: there is a hole, and it was reported.
pub(crate) struct Addresses {
    pub(crate) manager: Option<Ipv4Addr>,
    pub(crate) directors: Vec<Option<Ipv4Addr>>,
    pub(crate) nats: Vec<Option<Ipv4Addr>>,
    pub(crate) gateways: Vec<Option<Ipv4Addr>>,
    pub(crate) devices: Vec<Option<Ipv4Addr>>,
    pub(crate) hosts: Vec<Option<Ipv4Addr>>,
}

/// A node that needs an address: in which network, where it stands, and what the file says.
struct Wish<'a> {
    place: Option<Place>,
    span: Range<usize>,
    given: Option<&'a Field<Ipv4Addr>>,
}

pub(crate) fn check(w: &Topology, refs: &Refs, sink: &mut Sink<'_>) -> Addresses {
    let mut networks = Networks::new(w);
    let public = |span: &Range<usize>, given| Wish {
        place: Some(Place::Public),
        span: span.clone(),
        given,
    };
    let manager = w.manager.iter();
    let manager = manager
        .map(|m| public(&m.span, m.get().and_then(|m| m.address.as_ref())))
        .collect();
    let directors = w.directors.iter();
    let directors = directors
        .map(|d| public(&d.span, d.get().and_then(|d| d.address.as_ref())))
        .collect();
    let nats = w.sites.iter().map(|s| {
        let nat = s.get().and_then(|s| s.nat.get());
        public(&s.span, nat.and_then(|nat| nat.address.as_ref()))
    });
    let nats = nats.collect();
    let gateways = w.sites.iter().enumerate().map(|(at, s)| Wish {
        place: Some(Place::Site(at)),
        span: s.span.clone(),
        given: s.get().and_then(|s| s.gateway.as_ref()),
    });
    let gateways = gateways.collect();
    let devices = w.devices.iter().zip(&refs.devices).map(|(d, refs)| Wish {
        place: refs.place,
        span: d.span.clone(),
        given: d.get().and_then(|d| d.address.as_ref()),
    });
    let devices = devices.collect();
    let hosts = w.hosts.iter().zip(&refs.hosts).map(|(h, place)| Wish {
        place: *place,
        span: h.span.clone(),
        given: h.get().and_then(|h| h.address.as_ref()),
    });
    let hosts = hosts.collect();
    let all: [Vec<Wish<'_>>; 6] = [manager, directors, nats, gateways, devices, hosts];
    // What is given stays free of what is not.
    for wish in all.iter().flatten() {
        networks.keep(wish, sink);
    }
    let mut give =
        |wishes: &[Wish<'_>]| -> Vec<_> { wishes.iter().map(|wish| networks.give(wish, sink)).collect() };
    let [manager, directors, nats, gateways, devices, hosts] = &all;
    Addresses {
        manager: give(manager).into_iter().next().flatten(),
        directors: give(directors),
        nats: give(nats),
        gateways: give(gateways),
        devices: give(devices),
        hosts: give(hosts),
    }
}

struct Networks {
    public: Segment,
    lans: Vec<Segment>,
}

impl Networks {
    fn new(w: &Topology) -> Self {
        let public = w.public.as_ref().and_then(|p| p.get()?.prefix.get());
        let lan = |site: &Field<crate::written::Site>| site.get().and_then(|s| s.lan.get()).copied();
        Self {
            public: Segment::new("the public network", public.copied()),
            lans: w
                .sites
                .iter()
                .map(|site| Segment::new("the site's LAN", lan(site)))
                .collect(),
        }
    }

    fn of(&mut self, wish: &Wish<'_>) -> Option<&mut Segment> {
        match wish.place? {
            Place::Public => Some(&mut self.public),
            Place::Site(at) => self.lans.get_mut(at),
        }
    }

    fn keep(&mut self, wish: &Wish<'_>, sink: &mut Sink<'_>) {
        let given = wish.given.and_then(|field| field.at());
        if let (Some((address, span)), Some(segment)) = (given, self.of(wish)) {
            segment.put(*address, span, sink);
        }
    }

    fn give(&mut self, wish: &Wish<'_>, sink: &mut Sink<'_>) -> Option<Ipv4Addr> {
        match wish.given {
            Some(field) => field.get().copied(),
            None => self.of(wish)?.next(wish.span.clone(), sink),
        }
    }
}

/// One network and who has which of its addresses, with the line of each.
struct Segment {
    what: &'static str,
    prefix: Option<Prefix>,
    taken: HashMap<Ipv4Addr, usize>,
    /// Where to look on.
    next: Option<Ipv4Addr>,
}

impl Segment {
    fn new(what: &'static str, prefix: Option<Prefix>) -> Self {
        Self {
            what,
            prefix,
            taken: HashMap::new(),
            next: None,
        }
    }

    fn put(&mut self, address: Ipv4Addr, span: Range<usize>, sink: &mut Sink<'_>) {
        if let Some(prefix) = self.prefix.filter(|p| !p.is_host(address)) {
            let why = if !prefix.contains(address) {
                format!("{address} is not in {}, {prefix}", self.what)
            } else if address == prefix.network() {
                format!(
                    "{address} is the first address of {}: it names the network itself",
                    self.what
                )
            } else {
                format!("{address} is the broadcast address of {}", self.what)
            };
            let help = match prefix.hosts() {
                0 => "make the network larger".into(),
                _ => format!("choose one from {} to {}", first(prefix), last(prefix)),
            };
            sink.error(span, Code::AddressOutside, why, help);
            return;
        }
        let line = sink.line(span.start);
        match self.taken.get(&address) {
            None => {
                self.taken.insert(address, line);
            }
            Some(first) => {
                let message = format!("{address} is already given out in {}, on line {first}", self.what);
                sink.error(
                    span,
                    Code::DuplicateAddress,
                    message,
                    "give every node an address of its own",
                );
            }
        }
    }

    /// The first address from the network's first host on that nobody has.
    fn next(&mut self, span: Range<usize>, sink: &mut Sink<'_>) -> Option<Ipv4Addr> {
        let prefix = self.prefix?;
        let mut at = self.next.unwrap_or(first(prefix));
        let line = sink.line(span.start);
        while prefix.is_host(at) {
            let following = Ipv4Addr::from_bits(at.to_bits().saturating_add(1));
            if let std::collections::hash_map::Entry::Vacant(place) = self.taken.entry(at) {
                place.insert(line);
                self.next = Some(following);
                return Some(at);
            }
            if following == at {
                break;
            }
            at = following;
        }
        self.next = Some(at);
        let message = format!("{prefix}, {}, has no address left for this", self.what);
        let span = span.start..span.start;
        sink.error(span, Code::TooMany, message, "make the network larger");
        None
    }
}

fn first(prefix: Prefix) -> Ipv4Addr {
    let edge = u32::from(prefix.len() < 31);
    Ipv4Addr::from_bits(prefix.network().to_bits().saturating_add(edge))
}

fn last(prefix: Prefix) -> Ipv4Addr {
    let edge = u32::from(prefix.len() < 31);
    Ipv4Addr::from_bits(prefix.broadcast().to_bits().saturating_sub(edge))
}
