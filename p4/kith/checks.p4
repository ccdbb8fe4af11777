// Is it sound, and is it for this node? Every length is compared with the frame's before a field behind it is believed.

// A frame's IPv4 header, as it came by a network port.
control Ipv4Checks(inout headers_t hdr, inout metadata_t meta) {
    InternetChecksum() sum;

    apply {
        bit<16> available = hdr.receive.frame_len - 16w14;
        bit<8> version = hdr.ipv4.version_ihl & 8w0xF0;
        bit<16> reserved = hdr.ipv4.flags_fragment & IPV4_RESERVED_FLAG;
        bit<16> fragment = hdr.ipv4.flags_fragment & IPV4_FRAGMENT_BITS;
        bit<32> net = hdr.ipv4.source & 32w0xFF000000;
        // A header that contains its checksum sums up to zero, in either of its two representations (RFC 1071).
        sum.clear();
        sum.add(hdr.ipv4);
        bit<16> rest = sum.get();

        if (available < 16w20) {
            DROP(DROP_IPV4_TRUNCATED);
        } else if (version != 8w0x40) {
            DROP(DROP_IPV4_VERSION);
        } else if (hdr.ipv4.version_ihl > IPV4_NO_OPTIONS) {
            DROP(DROP_IPV4_OPTIONS);
        } else if (hdr.ipv4.version_ihl < IPV4_NO_OPTIONS) {
            DROP(DROP_IPV4_LENGTH);
        } else if (hdr.ipv4.total_len < 16w20) {
            DROP(DROP_IPV4_LENGTH);
        } else if (hdr.ipv4.total_len > available) {
            DROP(DROP_IPV4_LENGTH);
        } else if (reserved != 0) {
            DROP(DROP_IPV4_LENGTH);
        } else if (rest != 0 && rest != 16w0xFFFF) {
            DROP(DROP_IPV4_CHECKSUM);
        } else if (fragment != 0) {
            DROP(DROP_IPV4_FRAGMENT);
        } else if (net == 0) {
            DROP(DROP_IPV4_MARTIAN);
        } else if (net == 32w0x7F000000) {
            DROP(DROP_IPV4_MARTIAN);
        } else if (hdr.ipv4.source > 32w0xDFFFFFFF) {
            // RFC 1122 section 3.2.1.3: multicast and above.
            DROP(DROP_IPV4_MARTIAN);
        } else if (meta.role == ROLE_DIRECTOR && hdr.ipv4.source == meta.director) {
            DROP(DROP_IPV4_MARTIAN);
        }
    }
}

// A virtual packet behind a shim; fragments are refused too.
control InnerChecks(inout headers_t hdr, inout metadata_t meta) {
    InternetChecksum() sum;

    apply {
        bit<16> available = hdr.ipv4.total_len - OUTER_OVERHEAD;
        bit<8> version = hdr.inner.version_ihl & 8w0xF0;
        bit<16> reserved = hdr.inner.flags_fragment & IPV4_RESERVED_FLAG;
        bit<16> fragment = hdr.inner.flags_fragment & IPV4_FRAGMENT_BITS;
        sum.clear();
        sum.add(hdr.inner);
        bit<16> rest = sum.get();

        if (available < 16w20) {
            DROP(DROP_VIRTUAL_TRUNCATED);
        } else if (version != 8w0x40) {
            DROP(DROP_VIRTUAL_VERSION);
        } else if (hdr.inner.version_ihl > IPV4_NO_OPTIONS) {
            DROP(DROP_VIRTUAL_OPTIONS);
        } else if (hdr.inner.version_ihl < IPV4_NO_OPTIONS) {
            DROP(DROP_VIRTUAL_LENGTH);
        } else if (hdr.inner.total_len < 16w20) {
            DROP(DROP_VIRTUAL_LENGTH);
        } else if (hdr.inner.total_len > available) {
            DROP(DROP_VIRTUAL_LENGTH);
        } else if (reserved != 0) {
            DROP(DROP_VIRTUAL_LENGTH);
        } else if (rest != 0 && rest != 16w0xFFFF) {
            DROP(DROP_VIRTUAL_CHECKSUM);
        } else if (fragment != 0) {
            DROP(DROP_VIRTUAL_FRAGMENT);
        } else if (hdr.inner.total_len != available) {
            // The virtual packet is all there is: octets behind it are not padding, they are a lie.
            DROP(DROP_VIRTUAL_LENGTH);
        }
    }
}

// What the crypto block opened. It looked at the header; a fragment that was sealed whole is one only now.
control OpenedChecks(inout headers_t hdr, inout metadata_t meta) {
    apply {
        bit<16> fragment = hdr.ipv4.flags_fragment & IPV4_FRAGMENT_BITS;
        if (fragment != 0) {
            DROP(DROP_VIRTUAL_FRAGMENT);
        }
    }
}

// UDP and shim of a packet to this node; the port is ours if the role has one.
control TunnelChecks(inout headers_t hdr, inout metadata_t meta) {
    apply {
        bit<16> payload = hdr.ipv4.total_len - 16w20;
        // What a director hears from members, and what a gateway, a member itself, hears from its director.
        bool control_type = hdr.shim.data_type == TYPE_KEEP_ALIVE || hdr.shim.data_type == TYPE_LEAVE
            || (hdr.shim.data_type == TYPE_ADDRESS_REQUEST && meta.role == ROLE_DIRECTOR)
            || (hdr.shim.data_type == TYPE_ADDRESS_RESPONSE && meta.role == ROLE_GATEWAY);
        if (payload < 16w8) {
            DROP(DROP_UDP_TRUNCATED);
        } else if (hdr.udp.len != payload) {
            DROP(DROP_UDP_LENGTH);
        } else if (meta.role == ROLE_NONE || hdr.udp.destination != meta.udp_port) {
            DROP(DROP_UDP_PORT_UNKNOWN);
        } else if (hdr.receive.udp_checksum == 8w1) {
            DROP(DROP_UDP_CHECKSUM);
        } else if (payload < 16w28) {
            DROP(DROP_SHIM_TRUNCATED);
        } else if (hdr.shim.version != SHIM_VERSION) {
            DROP(DROP_SHIM_VERSION);
        } else if (hdr.shim.data_type == TYPE_PING) {
            PUNT(PUNT_PING);
        } else if (control_type) {
            PUNT(PUNT_CONTROL);
        } else if (hdr.shim.data_type != TYPE_VIRTUAL) {
            DROP(DROP_SHIM_TYPE_UNKNOWN);
        } else if (meta.role == ROLE_GATEWAY) {
            meta.path = PATH_DECAP;
        } else if (hdr.shim.destination_director != meta.director) {
            DROP(DROP_DIRECTOR_NOT_OURS);
        } else if (payload < 16w48) {
            // The director is blind to what the virtual packet says, but not to whether there is one.
            DROP(DROP_VIRTUAL_TRUNCATED);
        } else {
            meta.path = PATH_RELAY;
        }
    }
}
