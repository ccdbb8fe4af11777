//! What an association works with while it deals with one input.

use super::protection::Opened;
use crate::codec::{Identity, IkeSpi};
use crate::endpoint::{Counters, Drop};
use crate::event::{Event, Output};
use crate::host::Host;
use crate::suite::Plain;
use crate::terms::Config;
use crate::units::{AssociationId, ChildId, Moment, Path};
use std::collections::{HashMap, VecDeque};

/// The endpoint, as its associations see it.
pub(crate) struct Context<'a> {
    pub(crate) now: Moment,
    pub(crate) config: &'a Config,
    pub(crate) host: &'a mut dyn Host,
    pub(crate) desk: &'a mut Desk,
}

/// What all associations of an endpoint share.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) outputs: VecDeque<Output>,
    /// Whose SPIs of ours are.
    pub(crate) spis: HashMap<IkeSpi, AssociationId>,
    /// Datagrams that led to nothing.
    pub(crate) counters: Counters,
    /// Who is up.
    pub(crate) peers: HashMap<AssociationId, Identity>,
    /// What peers are told about us, if they are ours.
    pub(crate) announcement: Vec<u8>,
    last_child: u64,
}

impl Context<'_> {
    pub(crate) fn send(&mut self, path: Path, datagrams: &[Vec<u8>]) {
        let sends = datagrams.iter().map(|octets| Output::Send {
            path,
            octets: octets.clone(),
        });
        self.desk.outputs.extend(sends);
    }

    /// A datagram led to nothing, for this reason.
    pub(crate) fn drop(&mut self, why: Drop) {
        self.desk.counters.count(why);
    }

    /// The message, if there is one now.
    pub(crate) fn opened(&mut self, opened: Opened) -> Option<Plain> {
        match opened {
            Opened::Message(plain) => Some(plain),
            Opened::Part => None,
            Opened::Not => {
                self.drop(Drop::NotAuthentic);
                None
            }
        }
    }

    pub(crate) fn tell(&mut self, id: AssociationId, event: Event) {
        self.desk.outputs.push_back(Output::Event(id, event));
    }

    /// An SPI of ours that names no IKE SA yet: random, so that nobody off the path can guess it.
    pub(crate) fn take_ike_spi(&mut self, id: AssociationId) -> IkeSpi {
        loop {
            let mut random = [0; 8];
            self.host.entropy(&mut random);
            let spi = IkeSpi(u64::from_ne_bytes(random));
            if spi != IkeSpi::ZERO && !self.desk.spis.contains_key(&spi) {
                self.desk.spis.insert(spi, id);
                return spi;
            }
        }
    }

    pub(crate) fn give_back_ike_spi(&mut self, spi: IkeSpi) {
        self.desk.spis.remove(&spi);
    }

    pub(crate) fn child_id(&mut self) -> ChildId {
        self.desk.last_child += 1;
        ChildId(self.desk.last_child)
    }

    /// A number below the bound, to spread what would happen at once.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let mut random = [0; 8];
        self.host.entropy(&mut random);
        u64::from_ne_bytes(random) % bound.max(1)
    }

    /// RFC 7296 section 3.9: never one again. RFC 7296 section 2.10: at least half of the longest PRF's key; 32 octets are.
    pub(crate) fn nonce(&mut self) -> Vec<u8> {
        let mut nonce = vec![0; 32];
        self.host.entropy(&mut nonce);
        nonce
    }
}
