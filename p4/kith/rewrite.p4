// The packet that goes, once all is decided: new addresses, one hop less, shim and outer headers on or off.
//
// UDP and TCP checksums change by what changed under them (RFC 1624, equation 3: HC' = ~(~HC + ~m + m')): what was there,
// inverted, and what comes instead, are laid out as a header of their own and summed up. An IPv4 header is summed up anew.
// On this target a sum of zero comes out as all ones.

// A TCP SYN asks for no larger segments than the tunnel's path takes. Only the first option is looked at.
control ClampMss(inout headers_t hdr, in metadata_t meta) {
    apply {
        hdr.work.available = hdr.ipv4.total_len - 16w20;
        hdr.work.header_len = (bit<16>)hdr.tcp.data_offset;
        hdr.work.header_len = hdr.work.header_len >> 2;
        hdr.work.header_len = hdr.work.header_len & 16w0x3C;
        bit<8> syn = hdr.tcp.flags & TCP_FLAG_SYN;
        // Payload and trailer fill whole words, two octets of them are the trailer, and 40 are IPv4 and TCP headers.
        hdr.work.room = 0;
        if (hdr.work.mtu > 16w100) { hdr.work.room = hdr.work.mtu - 16w100; }
        hdr.work.room = hdr.work.room & 16w0xFFFC;
        hdr.work.mss = 0;
        if (hdr.work.room > 16w42) { hdr.work.mss = hdr.work.room - 16w42; }

        if (hdr.work.has_tcp == 8w1 && syn != 0 && hdr.mss.kind == TCP_OPTION_MSS && hdr.mss.length == 8w4) {
            // One comparison an `if`: see README.
            if (hdr.work.header_len > 16w23) {
                if (hdr.work.header_len <= hdr.work.available) {
                    if (hdr.mss.mss > hdr.work.mss) {
                        hdr.change.old_mss = hdr.mss.mss ^ 16w0xFFFF;
                        hdr.change.new_mss = hdr.work.mss;
                        hdr.mss.mss = hdr.work.mss;
                    }
                }
            }
        }
    }
}

// New source and destination, and the checksums over and under them. All that was written to `hdr.change` before goes
// into that of UDP or TCP too.
control Readdress(inout headers_t hdr, inout metadata_t meta) {
    InternetChecksum() header_sum;
    InternetChecksum() payload_sum;

    apply {
        hdr.change.old_source = hdr.ipv4.source ^ 32w0xFFFFFFFF;
        hdr.change.old_destination = hdr.ipv4.destination ^ 32w0xFFFFFFFF;
        hdr.change.new_source = hdr.work.new_source;
        hdr.change.new_destination = hdr.work.new_destination;
        if (hdr.work.has_udp == 8w1) {
            if (hdr.udp.checksum != 0) {
                hdr.change.old_checksum = hdr.udp.checksum ^ 16w0xFFFF;
                payload_sum.clear();
                payload_sum.add(hdr.change);
                // All ones for zero is what UDP wants: 0 would mean that there is none (RFC 768).
                hdr.udp.checksum = payload_sum.get();
            }
        } else if (hdr.work.has_tcp == 8w1) {
            hdr.change.old_checksum = hdr.tcp.checksum ^ 16w0xFFFF;
            payload_sum.clear();
            payload_sum.add(hdr.change);
            hdr.tcp.checksum = payload_sum.get();
            if (hdr.tcp.checksum == 16w0xFFFF) { hdr.tcp.checksum = 0; }
        }

        hdr.ipv4.source = hdr.work.new_source;
        hdr.ipv4.destination = hdr.work.new_destination;
        hdr.ipv4.checksum = 0;
        header_sum.clear();
        header_sum.add(hdr.ipv4);
        hdr.ipv4.checksum = header_sum.get();
        if (hdr.ipv4.checksum == 16w0xFFFF) { hdr.ipv4.checksum = 0; }
    }
}

// Outer headers and shim in front of a sealed packet. Without UDP checksum (RFC 768): what it would cover is authenticated.
control PushOuter(inout headers_t hdr, inout metadata_t meta) {
    InternetChecksum() sum;

    apply {
        hdr.ipv4.setValid();
        hdr.ipv4.version_ihl = IPV4_NO_OPTIONS;
        hdr.ipv4.tos = 0;
        hdr.ipv4.total_len = hdr.inner.total_len + OUTER_OVERHEAD;
        hdr.ipv4.id = 0;
        hdr.ipv4.flags_fragment = IPV4_DONT_FRAGMENT;
        hdr.ipv4.ttl = DEFAULT_TTL;
        hdr.ipv4.protocol = PROTOCOL_UDP;
        hdr.ipv4.checksum = 0;
        hdr.ipv4.source = meta.own_address;
        hdr.ipv4.destination = hdr.bridge.destination;
        sum.clear();
        sum.add(hdr.ipv4);
        hdr.ipv4.checksum = sum.get();
        if (hdr.ipv4.checksum == 16w0xFFFF) { hdr.ipv4.checksum = 0; }

        hdr.udp.setValid();
        hdr.udp.source = meta.udp_port;
        hdr.udp.destination = hdr.bridge.port;
        hdr.udp.len = hdr.inner.total_len + 16w28;
        hdr.udp.checksum = 0;

        hdr.shim.setValid();
        hdr.shim.version = SHIM_VERSION;
        hdr.shim.data_type = TYPE_VIRTUAL;
        hdr.shim.flags = 0;
        hdr.shim.source_director = hdr.bridge.source_director;
        hdr.shim.destination_director = hdr.bridge.destination_director;
        hdr.shim.source_member = hdr.bridge.source_member;
        hdr.shim.destination_member = hdr.bridge.destination_member;
    }
}

// What the second pass must know, in front; of a packet to open, instead of what was outside.
control PushBridge(inout headers_t hdr, inout metadata_t meta) {
    apply {
        hdr.bridge.setValid();
        hdr.bridge.reserved = 0;
        hdr.bridge.community = meta.community;
        hdr.bridge.egress_port = meta.egress_port;
        hdr.bridge.station = hdr.work.next_station;
        hdr.bridge.mtu = hdr.work.mtu;
        hdr.bridge.unused = 0;
        if (meta.path == PATH_ENCAP) {
            hdr.bridge.direction = BRIDGE_SEAL;
            hdr.bridge.source = 0;
            hdr.bridge.destination = hdr.work.remote_address;
            hdr.bridge.port = hdr.work.remote_port;
            hdr.bridge.source_director = hdr.work.source_director;
            hdr.bridge.destination_director = hdr.work.destination_director;
            hdr.bridge.source_member = hdr.work.source_member;
            hdr.bridge.destination_member = hdr.work.destination_member;
        } else {
            hdr.bridge.direction = BRIDGE_OPEN;
            hdr.bridge.source = hdr.work.new_source;
            hdr.bridge.destination = meta.next_hop;
            hdr.bridge.port = 0;
            hdr.bridge.source_director = 0;
            hdr.bridge.destination_director = 0;
            hdr.bridge.source_member = 0;
            hdr.bridge.destination_member = 0;
            hdr.ipv4.setInvalid();
            hdr.udp.setInvalid();
            hdr.shim.setInvalid();
        }
        hdr.ethernet.ethertype = ETHERTYPE_BRIDGE;
        meta.verdict = TO_CRYPTO;
    }
}

control Rewrite(inout headers_t hdr, inout metadata_t meta) {
    ClampMss() clamp_mss;
    Readdress() readdress;
    PushOuter() push_outer;
    PushBridge() push_bridge;

    apply {
        hdr.change.setValid();
        hdr.change.old_checksum = 0;
        hdr.change.old_mss = 0;
        hdr.change.new_mss = 0;
        hdr.change.old_source_port = 0;
        hdr.change.old_destination_port = 0;
        hdr.change.new_source_port = 0;
        hdr.change.new_destination_port = 0;
        hdr.change.unused = 0;

        if (meta.path == PATH_RELAY) {
            hdr.work.has_udp = 8w1;
            hdr.change.old_source_port = hdr.udp.source ^ 16w0xFFFF;
            hdr.change.old_destination_port = hdr.udp.destination ^ 16w0xFFFF;
            hdr.change.new_source_port = meta.udp_port;
            hdr.change.new_destination_port = hdr.work.remote_port;
            hdr.udp.source = meta.udp_port;
            hdr.udp.destination = hdr.work.remote_port;
        } else if (meta.path == PATH_OPENED) {
            hdr.work.new_source = hdr.bridge.source;
            hdr.work.new_destination = hdr.bridge.destination;
            hdr.work.mtu = hdr.bridge.mtu;
        }
        if (meta.path == PATH_RELAY || meta.path == PATH_ENCAP) {
            hdr.ipv4.ttl = hdr.ipv4.ttl - 8w1;
        }
        if (meta.path == PATH_ENCAP || meta.path == PATH_OPENED) {
            clamp_mss.apply(hdr, meta);
        }
        if (meta.path == PATH_RELAY || meta.path == PATH_ENCAP || meta.path == PATH_OPENED) {
            readdress.apply(hdr, meta);
        }
        if (meta.path == PATH_SEALED) {
            push_outer.apply(hdr, meta);
        }

        if (meta.path == PATH_ENCAP || meta.path == PATH_DECAP) {
            push_bridge.apply(hdr, meta);
        } else {
            hdr.bridge.setInvalid();
            hdr.ethernet.ethertype = ETHERTYPE_IPV4;
            hdr.ethernet.source = meta.own_station;
            hdr.ethernet.destination = hdr.work.next_station;
        }
    }
}
