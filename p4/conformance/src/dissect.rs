//! Which octets of a frame are what.

use crate::layout::{ARP, ESP, ETHERNET, Header, ICMP, IPV4, SHIM, TCP, UDP};

/// A header found in a frame: what it is called there, and where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The name; the virtual header is `inner`.
    pub name: &'static str,
    /// Its layout.
    pub header: &'static Header,
    /// Where it begins.
    pub at: usize,
}

/// The headers of a frame as far as they follow from each other; whole ones only. `port` is the encapsulation's.
#[must_use]
pub fn headers(frame: &[u8], port: u16) -> Vec<Found> {
    let mut found = Vec::new();
    let mut walk = Walk {
        frame,
        found: &mut found,
    };
    if walk.take(&ETHERNET, "ethernet", 0) {
        match ETHERNET.get(frame, 0, "ethertype") {
            0x0800 => walk.ipv4("ipv4", 14, Some(port)),
            0x0806 => {
                walk.take(&ARP, "arp", 14);
            }
            _ => {}
        }
    }
    found
}

struct Walk<'f> {
    frame: &'f [u8],
    found: &'f mut Vec<Found>,
}

impl Walk<'_> {
    fn take(&mut self, header: &'static Header, name: &'static str, at: usize) -> bool {
        let whole = self.frame.len() >= at + header.len();
        if whole {
            self.found.push(Found { name, header, at });
        }
        whole
    }

    fn ipv4(&mut self, name: &'static str, at: usize, port: Option<u16>) {
        if !self.take(&IPV4, name, at) {
            return;
        }
        let behind = at + IPV4.len();
        match IPV4.get(self.frame, at, "protocol") {
            1 => {
                self.take(&ICMP, "icmp", behind);
            }
            6 => {
                self.take(&TCP, "tcp", behind);
            }
            17 if self.take(&UDP, if port.is_some() { "udp" } else { "inner_udp" }, behind) => {
                let ours = |field| Some(UDP.get(self.frame, behind, field)) == port.map(u64::from);
                if (ours("destination") || ours("source")) && self.take(&SHIM, "shim", behind + UDP.len()) {
                    self.ipv4("inner", behind + UDP.len() + SHIM.len(), None);
                }
            }
            50 => {
                self.take(&ESP, "esp", behind);
            }
            _ => {}
        }
    }
}

/// What an octet is part of: `ipv4.ttl`, or where nothing is known, nothing.
#[must_use]
pub fn name_of(headers: &[Found], octet: usize) -> Option<String> {
    headers.iter().find_map(|found| {
        let mut at = found.at;
        found.header.fields.iter().find_map(|field| {
            let inside = (at..at + field.len).contains(&octet);
            at += field.len;
            inside.then(|| format!("{}.{}", found.name, field.name))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_of_a_shim_packet_have_names() {
        let mut frame = vec![0u8; 90];
        ETHERNET.set(&mut frame, 0, "ethertype", 0x0800);
        IPV4.set(&mut frame, 14, "protocol", 17);
        UDP.set(&mut frame, 34, "destination", 20202);
        let headers = headers(&frame, 20202);
        assert_eq!(name_of(&headers, 22).unwrap(), "ipv4.ttl");
        assert_eq!(name_of(&headers, 54).unwrap(), "shim.source_member");
        assert_eq!(name_of(&headers, 70).unwrap(), "inner.ttl");
        assert_eq!(name_of(&headers, 85), None);
    }
}
