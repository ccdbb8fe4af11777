//! Why a packet is dropped, and why one goes up to the slow path.
//!
//! One list is everything: the counter, the word that the command line shows, the sentence that explains it, and the
//! drop code of the P4 program.

macro_rules! reasons {
    ($(#[$outer:meta])* $name:ident { $( $variant:ident $word:literal $text:literal, )* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $( #[doc = $text] $variant, )* }

        impl $name {
            /// All of them, in order of their numbers.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The word for counters and listings.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $( Self::$variant => $text, )* }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

reasons! {
    /// Why a packet is gone. The order is the order of the stages.
    DropReason {
        Segmented "segmented" "The frame lies in several buffers; ports are opened so that none should.",
        EthernetTruncated "ethernet_truncated" "Shorter than an Ethernet header.",
        EthernetNotOurs "ethernet_not_ours" "The destination station is neither this port nor a broadcast.",
        EthertypeUnknown "ethertype_unknown" "Neither IPv4 nor ARP.",
        Ipv4Truncated "ipv4_truncated" "Shorter than an IPv4 header.",
        Ipv4Version "ipv4_version" "The version field is not 4.",
        Ipv4Length "ipv4_length" "Header or total length disagrees with the frame.",
        Ipv4Options "ipv4_options" "The outer IPv4 header has options.",
        Ipv4Fragment "ipv4_fragment" "A fragment; the path carries whole packets only.",
        Ipv4Checksum "ipv4_checksum" "The outer IPv4 header checksum is wrong.",
        Ipv4Martian "ipv4_martian" "The source address is one that no packet can come from.",
        Ipv4NotOurs "ipv4_not_ours" "The destination is no address of this dataplane, which routes nothing else.",
        LocalUnknown "local_unknown" "The source is no device that this gateway stands in for.",
        ProtocolUnknown "protocol_unknown" "Neither UDP nor ICMP.",
        UdpTruncated "udp_truncated" "Shorter than a UDP header.",
        UdpLength "udp_length" "The UDP length disagrees with the packet.",
        UdpChecksum "udp_checksum" "The UDP checksum is wrong.",
        UdpPortUnknown "udp_port_unknown" "Not the encapsulation port.",
        ShimTruncated "shim_truncated" "Shorter than a shim.",
        ShimVersion "shim_version" "A shim version other than 1.",
        ShimTypeUnknown "shim_type_unknown" "A shim data type that does not exist, or that this node does not take.",
        DirectorNotOurs "director_not_ours" "The shim names another route director as destination.",
        VirtualTruncated "virtual_truncated" "No whole IPv4 header behind the shim.",
        SourceUnknown "source_unknown" "The shim's source member has no session here: the sender is not authorised.",
        SourceMismatch "source_mismatch" "The source member's session is bound to another address and port: spoofed, or rebound by a NAT.",
        SourceLimited "source_limited" "The sender exceeds its rate.",
        DestinationUnknown "destination_unknown" "The shim's destination member has no session here.",
        CommunityMismatch "community_mismatch" "Sender and receiver belong to different communities.",
        TtlExpired "ttl_expired" "No hop is left.",
        MtuExceeded "mtu_exceeded" "Larger than the path to the receiver takes.",
        RouteUnknown "route_unknown" "No port leads to the next hop.",
        NeighborUnresolved "neighbor_unresolved" "The next hop did not answer ARP in time.",
        VirtualVersion "virtual_version" "The virtual packet is not IPv4.",
        VirtualLength "virtual_length" "A length in the virtual IPv4 header disagrees with the packet.",
        VirtualOptions "virtual_options" "The virtual IPv4 header has options.",
        VirtualFragment "virtual_fragment" "The virtual packet is a fragment.",
        VirtualChecksum "virtual_checksum" "The virtual IPv4 header checksum is wrong.",
        VirtualSourceSpoofed "virtual_source_spoofed" "The virtual source address is not the one this sender owns.",
        VirtualNotOurs "virtual_not_ours" "The virtual destination address is not this member's.",
        PolicyDenied "policy_denied" "No rule of the policy allows it, or one denies it.",
        MemberUnknown "member_unknown" "No member has the virtual address.",
        KeysMissing "keys_missing" "No keys with the member yet, and the packets waiting for them are as many as may wait.",
        CleartextRefused "cleartext_refused" "A virtual packet that is neither ESP nor key agreement.",
        EspTruncated "esp_truncated" "Shorter than the shortest ESP packet.",
        EspSpiUnknown "esp_spi_unknown" "No security association has this SPI.",
        EspExpired "esp_expired" "The security association's hard lifetime is over.",
        EspExhausted "esp_exhausted" "The security association has no sequence number left.",
        EspReplayed "esp_replayed" "This sequence number was received before.",
        EspTooOld "esp_too_old" "The sequence number is left of the replay window.",
        EspBadTag "esp_bad_tag" "The integrity check failed: forged, damaged, or another key.",
        EspBadTrailer "esp_bad_trailer" "Padding or next header of the opened packet is not what RFC 4303 says.",
        EspDummy "esp_dummy" "Nothing for a device: it said that its sender is alive.",
        BufferRoom "buffer_room" "No room in the buffer for the headers to add.",
        PuntLimited "punt_limited" "For the slow path, above the rate allowed for its reason.",
        PuntQueueFull "punt_queue_full" "For the slow path, which is behind.",
        SlowPathRefused "slow_path_refused" "The slow path found it invalid or unauthorised; its own counters say why.",
        HandOverQueueFull "hand_over_queue_full" "For the worker that has the security association, which is behind.",
        TransmitQueueFull "transmit_queue_full" "The port or socket takes no more now.",
    }
}

reasons! {
    /// Why a packet goes up to the slow path.
    PuntReason {
        Arp "arp" "An ARP request or reply.",
        IcmpLocal "icmp_local" "ICMP for an address of this dataplane.",
        Control "control" "A director control message: address request, keep-alive, leave.",
        Ping "ping" "A system ping.",
        SourceMismatch "source_mismatch" "Data from a member whose session is bound to another address: its NAT may have rebound.",
        MtuExceeded "mtu_exceeded" "Larger than the path takes: the sender is to be told.",
        NeighborMiss "neighbor_miss" "The next hop's station address is not known yet.",
        Keying "keying" "A key agreement message of a member.",
        KeysMissing "keys_missing" "For a member with whom there are no keys yet.",
    }
}

impl DropReason {
    /// The reason for a malformed outer IPv4 header.
    #[inline]
    #[must_use]
    pub fn outer_ipv4(malformed: kith_wire::Malformed) -> Self {
        use kith_wire::Malformed as M;
        match malformed {
            M::Truncated => Self::Ipv4Truncated,
            M::Version => Self::Ipv4Version,
            M::Length | M::Field => Self::Ipv4Length,
            M::Checksum => Self::Ipv4Checksum,
            M::Options => Self::Ipv4Options,
            M::Fragment => Self::Ipv4Fragment,
        }
    }

    /// The reason for a malformed virtual IPv4 header.
    #[inline]
    #[must_use]
    pub fn virtual_ipv4(malformed: kith_wire::Malformed) -> Self {
        use kith_wire::Malformed as M;
        match malformed {
            M::Truncated => Self::VirtualTruncated,
            M::Version => Self::VirtualVersion,
            M::Length | M::Field => Self::VirtualLength,
            M::Checksum => Self::VirtualChecksum,
            M::Options => Self::VirtualOptions,
            M::Fragment => Self::VirtualFragment,
        }
    }

    /// The reason for a malformed UDP header.
    #[inline]
    #[must_use]
    pub fn udp(malformed: kith_wire::Malformed) -> Self {
        use kith_wire::Malformed as M;
        match malformed {
            M::Truncated => Self::UdpTruncated,
            M::Checksum => Self::UdpChecksum,
            _ => Self::UdpLength,
        }
    }

    /// The reason for a malformed shim.
    #[inline]
    #[must_use]
    pub fn shim(malformed: kith_wire::Malformed) -> Self {
        match malformed {
            kith_wire::Malformed::Truncated => Self::ShimTruncated,
            _ => Self::ShimVersion,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_has_its_own_word_and_number() {
        let words: HashSet<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(words.len(), DropReason::COUNT);
        for (number, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, number);
            assert!(reason.explanation().ends_with('.'));
        }
    }
}
