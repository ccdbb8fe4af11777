// The group agent's gateway: packets of devices that run nothing of ours, into and out of the tunnels (source document
// 001, figures 22 to 26). Both directions meet at one policy table.
//
//   encap   local_destination ► local_source ► policy ► member ► ttl ► mtu            ► Forward ► [seal] ► sealed
//   decap   association ► addresses ► virtual_destination ► virtual_source            ► Forward ► [open] ► opened
//   opened  fragment ► policy
//
// All that may send a packet up to the CPU is asked before the cipher: what goes up is the frame as it came.

control Gateway(inout headers_t hdr, inout metadata_t meta, in bit<32> input_port) {
    DirectCounter<bit<64>>(PNA_CounterType_t.PACKETS_AND_BYTES) association_counter;
    DirectCounter<bit<64>>(PNA_CounterType_t.PACKETS_AND_BYTES) member_counter;
    InnerChecks() inner_checks;
    OpenedChecks() opened_checks;

    // The address that stands in for a remote member on a LAN, and the community it is of.
    @name(".to_virtual")
    action to_virtual(bit<16> community, bit<32> address) {
        meta.community = community;
        meta.destination = address;
    }

    @name(".local_destination")
    table local_destination {
        key = { input_port: exact @name("port"); hdr.ipv4.destination: exact @name("address"); }
        actions = { to_virtual; @defaultonly NoAction; }
        const default_action = NoAction;
        size = 65536;
    }

    // The device that this gateway stands in for.
    @name(".from_member")
    action from_member(bit<32> address, bit<32> director, bit<32> pseudo) {
        meta.source = address;
        hdr.work.source_director = director;
        hdr.work.source_member = pseudo;
    }

    @name(".local_source")
    table local_source {
        key = {
            input_port: exact @name("port");
            hdr.ipv4.source: exact @name("address");
            meta.community: exact @name("community");
        }
        actions = { from_member; @defaultonly NoAction; }
        const default_action = NoAction;
        size = 65536;
    }

    // A security association belongs to one pair of members: it says who sent the packet, and to whom.
    @name(".open_with")
    action open_with(bit<32> sa, bit<16> community, bit<32> source, bit<32> destination, bit<16> mtu) {
        if (hdr.inner.source == source && hdr.inner.destination == destination) {
            association_counter.count((bit<32>)hdr.inner.total_len);
        }
        hdr.work.sa = sa;
        meta.community = community;
        meta.source = source;
        meta.destination = destination;
        hdr.work.mtu = mtu;
    }

    @name(".association")
    table association {
        key = { hdr.esp.spi: exact @name("spi"); }
        actions = { open_with; @defaultonly NoAction; }
        const default_action = NoAction;
        pna_direct_counter = association_counter;
        size = 65536;
    }

    @name(".allow")
    action allow() { }

    @name(".deny")
    action deny() {
        DROP(DROP_POLICY_DENIED); }

    // First match; what matches nothing is denied. Ports are 0 where the protocol has none.
    @name(".policy")
    table policy {
        key = {
            meta.community: ternary @name("community");
            meta.source: ternary @name("source");
            meta.destination: ternary @name("destination");
            meta.protocol: ternary @name("protocol");
            meta.source_port: ternary @name("source_port");
            meta.destination_port: ternary @name("destination_port");
        }
        actions = { allow; deny; }
        const default_action = deny;
        size = 4096;
    }

    // Where the tunnel to a member ends, and under which security association packets go there.
    @name(".seal_to")
    action seal_to(bit<32> sa, bit<32> address, bit<16> port, bit<32> director, bit<32> pseudo, bit<16> mtu) {
        if (hdr.ipv4.ttl > 8w1) {
            if (hdr.work.sealed_len <= (bit<32>)mtu) {
                member_counter.count((bit<32>)hdr.ipv4.total_len);
            }
        }
        hdr.work.sa = sa;
        hdr.work.mtu = mtu;
        hdr.work.remote_address = address;
        hdr.work.remote_port = port;
        hdr.work.destination_director = director;
        hdr.work.destination_member = pseudo;
    }

    @name(".await_keys")
    action await_keys() { PUNT(PUNT_KEYS_MISSING); }

    @name(".member")
    table member {
        key = {
            meta.community: exact @name("community");
            meta.source: exact @name("source");
            meta.destination: exact @name("destination");
        }
        actions = { seal_to; await_keys; @defaultonly NoAction; }
        const default_action = NoAction;
        pna_direct_counter = member_counter;
        size = 65536;
    }

    // Which device it is that has the virtual address, and on which LAN.
    @name(".deliver")
    action deliver(bit<32> port, bit<32> address) {
        meta.egress_port = port;
        meta.next_hop = address;
    }

    @name(".virtual_destination")
    table virtual_destination {
        key = { meta.community: exact @name("community"); meta.destination: exact @name("address"); }
        actions = { deliver; @defaultonly NoAction; }
        const default_action = NoAction;
        size = 65536;
    }

    @name(".stand_in")
    action stand_in(bit<32> address) { hdr.work.new_source = address; }

    @name(".virtual_source")
    table virtual_source {
        key = {
            meta.egress_port: exact @name("port");
            meta.community: exact @name("community");
            meta.source: exact @name("address");
        }
        actions = { stand_in; @defaultonly NoAction; }
        const default_action = NoAction;
        size = 65536;
    }

    apply {
        // The virtual addresses of a packet from the LAN, or the address of one from the tunnel.
        if (meta.path == PATH_ENCAP) {
            if (!local_destination.apply().hit) {
                DROP(DROP_IPV4_NOT_OURS);
            } else if (!local_source.apply().hit) {
                DROP(DROP_LOCAL_UNKNOWN);
            }
        } else if (meta.path == PATH_DECAP) {
            inner_checks.apply(hdr, meta);
            if (meta.verdict == GOES_ON) {
                if (hdr.inner.protocol != PROTOCOL_ESP) {
                    bit<32> destination_port = hdr.esp.spi & 32w0xFFFF;
                    DROP(DROP_CLEARTEXT_REFUSED);
                    if (hdr.inner.protocol == PROTOCOL_UDP && hdr.inner.total_len > 16w27) {
                        if (destination_port == IKE_PORT) {
                            PUNT(PUNT_KEYING);
                        } else if (destination_port == KEYING_PORT) {
                            PUNT(PUNT_KEYING);
                        }
                    }
                } else if (hdr.inner.total_len < 16w28) {
                    DROP(DROP_ESP_TRUNCATED);
                } else if (!association.apply().hit) {
                    DROP(DROP_ESP_SPI_UNKNOWN);
                } else if (hdr.inner.destination != meta.destination) {
                    DROP(DROP_VIRTUAL_NOT_OURS);
                } else if (hdr.inner.source != meta.source) {
                    // In transport mode nothing but the association says who sent it.
                    DROP(DROP_VIRTUAL_SOURCE_SPOOFED);
                }
            }
        } else if (meta.path == PATH_OPENED) {
            meta.community = hdr.bridge.community;
            meta.source = hdr.ipv4.source;
            meta.destination = hdr.ipv4.destination;
            opened_checks.apply(hdr, meta);
        }

        // May these two speak like this?
        if (meta.verdict == GOES_ON && (meta.path == PATH_ENCAP || meta.path == PATH_OPENED)) {
            // Written on each branch: else the compiler takes the header's field for the key, far from the key's others.
            if (hdr.ipv4.protocol == PROTOCOL_TCP) {
                meta.protocol = PROTOCOL_TCP;
                if (hdr.ipv4.total_len > 16w39) {
                    hdr.work.has_tcp = 8w1;
                    meta.source_port = hdr.tcp.source;
                    meta.destination_port = hdr.tcp.destination;
                }
            } else if (hdr.ipv4.protocol == PROTOCOL_UDP) {
                meta.protocol = PROTOCOL_UDP;
                if (hdr.ipv4.total_len > 16w27) {
                    hdr.work.has_udp = 8w1;
                    meta.source_port = hdr.udp.source;
                    meta.destination_port = hdr.udp.destination;
                }
            } else {
                meta.protocol = hdr.ipv4.protocol;
            }
            policy.apply();
        }

        // The tunnel of a packet from the LAN.
        if (meta.verdict == GOES_ON && meta.path == PATH_ENCAP) {
            // Payload and trailer are padded to 4 octets (RFC 4303 section 2.4).
            hdr.work.sealed_len = (bit<32>)hdr.ipv4.total_len;
            hdr.work.sealed_len = hdr.work.sealed_len + SEALED_LESS_PADDING;
            hdr.work.sealed_len = hdr.work.sealed_len & 32w0xFFFFFFFC;
            if (!member.apply().hit) {
                DROP(DROP_MEMBER_UNKNOWN);
            } else if (meta.verdict == GOES_ON) {
                if (hdr.ipv4.ttl < 8w2) {
                    DROP(DROP_TTL_EXPIRED);
                } else if (hdr.work.sealed_len > (bit<32>)hdr.work.mtu) {
                    PUNT(PUNT_MTU_EXCEEDED);
                } else {
                    meta.next_hop = hdr.work.remote_address;
                    hdr.work.new_source = meta.source;
                    hdr.work.new_destination = meta.destination;
                }
            }
        }

        // The device that a packet from the tunnel is for.
        if (meta.verdict == GOES_ON && meta.path == PATH_DECAP) {
            if (!virtual_destination.apply().hit) {
                DROP(DROP_VIRTUAL_NOT_OURS);
            } else if (!virtual_source.apply().hit) {
                DROP(DROP_MEMBER_UNKNOWN);
            }
        }
    }
}
