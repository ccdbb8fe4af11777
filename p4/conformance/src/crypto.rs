//! The accelerator between the P4 program's passes: the gateway's own functions, around the bridge header.

use crate::seal::{NOW, inbound, outbound};
use crate::world::{Association, Direction};
use kith_esp::{Inbound, Outbound};
use kith_p4_runner::{CryptoBlock, CryptoDrop};
use kith_pipeline::host::transport::{self, Opened};
use kith_pipeline::packet::{HostPacket, Packet};
use kith_pipeline::reason::DropReason;
use std::collections::BTreeMap;

/// Ethernet and `bridge_t`.
const FRONT: usize = 14 + 44;
const SEAL: u8 = 1;

/// Security associations by the number that the program names.
pub struct Crypto {
    outbound: BTreeMap<u32, Outbound>,
    inbound: BTreeMap<u32, Inbound>,
}

impl Crypto {
    /// A block with these; any other number is one without keys.
    #[must_use]
    pub fn new(associations: &[Association]) -> Self {
        let of = |direction| associations.iter().filter(move |is| is.direction == direction);
        Self {
            outbound: of(Direction::Seal)
                .filter_map(|is| Some((is.sa, outbound(is)?)))
                .collect(),
            inbound: of(Direction::Open)
                .filter_map(|is| Some((is.sa, inbound(is)?)))
                .collect(),
        }
    }

    fn work(&mut self, sa: u32, front: &[u8], inner: &mut HostPacket) -> Result<(), DropReason> {
        // Octets behind the packet are the link's padding.
        let total = inner
            .bytes()
            .get(2..4)
            .map(|len| usize::from(u16::from_be_bytes([len[0], len[1]])));
        let excess = inner.bytes().len().checked_sub(total.unwrap_or(usize::MAX));
        if !excess.is_some_and(|excess| inner.shrink_back(excess)) {
            return Err(DropReason::VirtualLength);
        }
        if front[14] == SEAL {
            let sa = self.outbound.get_mut(&sa).ok_or(DropReason::KeysMissing)?;
            transport::seal(inner, sa, NOW).map(drop)
        } else {
            let sa = self.inbound.get_mut(&sa).ok_or(DropReason::EspSpiUnknown)?;
            match transport::open(inner, sa, NOW)? {
                Opened::Packet | Opened::Fragment => Ok(()),
                // A dummy (RFC 4303 section 2.6) ends here, under the name that the gateway gives it.
                Opened::Dummy => Err(DropReason::EspDummy),
            }
        }
    }
}

impl CryptoBlock for Crypto {
    fn process(&mut self, sa: u32, packet: &mut Vec<u8>) -> Result<(), CryptoDrop> {
        let (front, inner) = packet
            .split_at_checked(FRONT)
            .ok_or(CryptoDrop(DropReason::BufferRoom as u16))?;
        let mut inner = HostPacket::from_bytes(inner);
        let front = front.to_vec();
        match self.work(sa, &front, &mut inner) {
            Ok(()) => {
                *packet = [&front, inner.bytes()].concat();
                Ok(())
            }
            Err(reason) => Err(CryptoDrop(reason as u16)),
        }
    }
}
