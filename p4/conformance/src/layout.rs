//! Headers as lists of named fields: what builds frames from text also names the octets of a difference.
//!
//! Nothing here is taken from the program or the pipeline that are compared: a wrong idea of a header in either must not be
//! shared by the judge.

/// A field: name, octets, what it is unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// As in the P4 program's headers.
    pub name: &'static str,
    /// Octets.
    pub len: usize,
    /// Its value if the text does not give one.
    pub default: Default,
}

/// What a field is unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// This.
    Is(u64),
    /// What the rest of the frame makes it: a length, a checksum, what follows.
    Follows,
}

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its name in texts.
    pub name: &'static str,
    /// Its fields, in order.
    pub fields: &'static [Field],
}

impl Header {
    /// Octets of it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.iter().map(|field| field.len).sum()
    }

    /// Has it no fields?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Where a field begins, and how long it is.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<(usize, usize)> {
        let mut at = 0;
        for field in self.fields {
            if field.name == name {
                return Some((at, field.len));
            }
            at += field.len;
        }
        None
    }

    /// A field's value in a header that begins at `at`, 0 if it is not there.
    #[must_use]
    pub fn get(&self, frame: &[u8], at: usize, name: &str) -> u64 {
        let octets = self
            .place(name)
            .and_then(|(from, len)| frame.get(at + from..at + from + len));
        octets.map_or(0, |octets| {
            octets
                .iter()
                .fold(0, |value, octet| value << 8 | u64::from(*octet))
        })
    }

    /// Changes a field's value, if it is there.
    pub fn set(&self, frame: &mut [u8], at: usize, name: &str, value: u64) {
        if let Some(octets) = self
            .place(name)
            .and_then(|(from, len)| frame.get_mut(at + from..at + from + len))
        {
            let len = octets.len();
            octets.copy_from_slice(&value.to_be_bytes()[8 - len..]);
        }
    }
}

const fn is(name: &'static str, len: usize, value: u64) -> Field {
    let default = Default::Is(value);
    Field { name, len, default }
}

const fn follows(name: &'static str, len: usize) -> Field {
    let default = Default::Follows;
    Field { name, len, default }
}

/// Ethernet II.
pub const ETHERNET: Header = Header {
    name: "ethernet",
    fields: &[
        is("destination", 6, 0),
        is("source", 6, 0x02_00_00_00_00_99),
        follows("ethertype", 2),
    ],
};

/// ARP for IPv4 on Ethernet (RFC 826); a request unless said otherwise.
pub const ARP: Header = Header {
    name: "arp",
    fields: &[
        is("hardware", 2, 1),
        is("protocol", 2, 0x0800),
        is("hardware_len", 1, 6),
        is("protocol_len", 1, 4),
        is("operation", 2, 1),
        is("sender_station", 6, 0x02_00_00_00_00_99),
        is("sender", 4, 0),
        is("target_station", 6, 0),
        is("target", 4, 0),
    ],
};

/// IPv4 (RFC 791).
pub const IPV4: Header = Header {
    name: "ipv4",
    fields: &[
        is("version_ihl", 1, 0x45),
        is("tos", 1, 0),
        follows("total_len", 2),
        is("id", 2, 0),
        is("flags_fragment", 2, 0x4000),
        is("ttl", 1, 64),
        follows("protocol", 1),
        follows("checksum", 2),
        is("source", 4, 0),
        is("destination", 4, 0),
    ],
};

/// UDP (RFC 768); without checksum unless said otherwise.
pub const UDP: Header = Header {
    name: "udp",
    fields: &[
        is("source", 2, 0),
        is("destination", 2, 0),
        follows("len", 2),
        is("checksum", 2, 0),
    ],
};

/// TCP (RFC 9293) without options.
pub const TCP: Header = Header {
    name: "tcp",
    fields: &[
        is("source", 2, 0),
        is("destination", 2, 0),
        is("sequence", 4, 1),
        is("acknowledgment", 4, 0),
        follows("data_offset", 1),
        is("flags", 1, 0x10),
        is("window", 2, 0x2000),
        follows("checksum", 2),
        is("urgent", 2, 0),
    ],
};

/// The first four octets of ICMP (RFC 792); an echo request unless said otherwise.
pub const ICMP: Header = Header {
    name: "icmp",
    fields: &[is("type", 1, 8), is("code", 1, 0), follows("checksum", 2)],
};

/// The shim (source document 001, figure 6B).
pub const SHIM: Header = Header {
    name: "shim",
    fields: &[
        is("version", 1, 1),
        is("data_type", 1, 1),
        is("flags", 2, 0),
        is("source_director", 4, 0),
        is("destination_director", 4, 0),
        is("source_member", 4, 0),
        is("destination_member", 4, 0),
    ],
};

/// What ESP shows (RFC 4303).
pub const ESP: Header = Header {
    name: "esp",
    fields: &[is("spi", 4, 0), is("sequence", 4, 1)],
};

/// All that texts may name.
pub const ALL: [Header; 8] = [ETHERNET, ARP, IPV4, UDP, TCP, ICMP, SHIM, ESP];

/// The header with this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Header> {
    ALL.iter().find(|header| header.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_the_lengths_that_their_standards_say() {
        let lengths: Vec<_> = ALL.iter().map(Header::len).collect();
        assert_eq!(lengths, [14, 28, 20, 8, 20, 4, 20, 8]);
    }

    #[test]
    fn a_field_is_read_where_it_was_written() {
        let mut frame = [0u8; 40];
        IPV4.set(&mut frame, 14, "source", 0xc0a8_0107);
        assert_eq!(frame[26..30], [192, 168, 1, 7]);
        assert_eq!(IPV4.get(&frame, 14, "source"), 0xc0a8_0107);
        assert_eq!(IPV4.get(&frame, 30, "destination"), 0, "beyond the frame");
    }
}
