// Is it sound, and is it for this node? Every length is compared with the frame's before a field behind it is believed.

// A frame's IPv4 header, as it came by a network port.
control Ipv4Checks(inout headers_t hdr, inout metadata_t meta) {
    InternetChecksum() sum;

    apply {
        // Octets behind the Ethernet header.
        hdr.work.available = hdr.receive.frame_len - 16w14;
        // A header that contains its checksum sums up to zero, in either of its two representations (RFC 1071).
        sum.clear();
        sum.add(hdr.ipv4);
        bit<16> rest = sum.get();

        if (hdr.receive.frame_len < 16w34) {
            DROP(DROP_IPV4_TRUNCATED);
        } else if (hdr.ipv4.version_ihl < 8w0x40) {
            DROP(DROP_IPV4_VERSION);
        } else if (hdr.ipv4.version_ihl > 8w0x4F) {
            DROP(DROP_IPV4_VERSION);
        } else if (hdr.ipv4.version_ihl > IPV4_NO_OPTIONS) {
            DROP(DROP_IPV4_OPTIONS);
        } else if (hdr.ipv4.version_ihl < IPV4_NO_OPTIONS) {
            DROP(DROP_IPV4_LENGTH);
        } else if (hdr.ipv4.total_len < 16w20) {
            DROP(DROP_IPV4_LENGTH);
        } else if (hdr.ipv4.total_len > hdr.work.available) {
            DROP(DROP_IPV4_LENGTH);
        } else if (hdr.ipv4.flags_fragment > IPV4_NO_RESERVED_FLAG) {
            DROP(DROP_IPV4_LENGTH);
        } else if (rest != 0 && rest != 16w0xFFFF) {
            DROP(DROP_IPV4_CHECKSUM);
        } else if (hdr.ipv4.flags_fragment != 0 && hdr.ipv4.flags_fragment != IPV4_DONT_FRAGMENT) {
            DROP(DROP_IPV4_FRAGMENT);
        } else if (meta.role == ROLE_DIRECTOR && hdr.ipv4.source == meta.director) {
            DROP(DROP_IPV4_MARTIAN);
        } else if (hdr.ipv4.source < 32w0x01000000) {
            // RFC 1122 section 3.2.1.3: this network, loopback, multicast and above.
            DROP(DROP_IPV4_MARTIAN);
        } else if (hdr.ipv4.source > 32w0xDFFFFFFF) {
            DROP(DROP_IPV4_MARTIAN);
        } else if (hdr.ipv4.source > 32w0x7EFFFFFF) {
            if (hdr.ipv4.source < 32w0x80000000) {
                DROP(DROP_IPV4_MARTIAN);
            }
        }
    }
}

// A virtual packet behind a shim; fragments are refused too.
control InnerChecks(inout headers_t hdr, inout metadata_t meta) {
    InternetChecksum() sum;

    apply {
        // Octets behind the shim.
        hdr.work.available = hdr.ipv4.total_len - OUTER_OVERHEAD;
        sum.clear();
        sum.add(hdr.inner);
        bit<16> rest = sum.get();

        if (hdr.ipv4.total_len < 16w68) {
            DROP(DROP_VIRTUAL_TRUNCATED);
        } else if (hdr.inner.version_ihl < 8w0x40) {
            DROP(DROP_VIRTUAL_VERSION);
        } else if (hdr.inner.version_ihl > 8w0x4F) {
            DROP(DROP_VIRTUAL_VERSION);
        } else if (hdr.inner.version_ihl > IPV4_NO_OPTIONS) {
            DROP(DROP_VIRTUAL_OPTIONS);
        } else if (hdr.inner.version_ihl < IPV4_NO_OPTIONS) {
            DROP(DROP_VIRTUAL_LENGTH);
        } else if (hdr.inner.total_len < 16w20) {
            DROP(DROP_VIRTUAL_LENGTH);
        } else if (hdr.inner.total_len > hdr.work.available) {
            DROP(DROP_VIRTUAL_LENGTH);
        } else if (hdr.inner.flags_fragment > IPV4_NO_RESERVED_FLAG) {
            DROP(DROP_VIRTUAL_LENGTH);
        } else if (rest != 0 && rest != 16w0xFFFF) {
            DROP(DROP_VIRTUAL_CHECKSUM);
        } else if (hdr.inner.flags_fragment != 0 && hdr.inner.flags_fragment != IPV4_DONT_FRAGMENT) {
            DROP(DROP_VIRTUAL_FRAGMENT);
        } else if (hdr.inner.total_len != hdr.work.available) {
            // The virtual packet is all there is: octets behind it are not padding, they are a lie.
            DROP(DROP_VIRTUAL_LENGTH);
        }
    }
}

// What the crypto block opened. It looked at the header; a fragment that was sealed whole is one only now.
control OpenedChecks(inout headers_t hdr, inout metadata_t meta) {
    apply {
        if (hdr.ipv4.flags_fragment != 0 && hdr.ipv4.flags_fragment != IPV4_DONT_FRAGMENT) {
            DROP(DROP_VIRTUAL_FRAGMENT);
        }
    }
}

// UDP and shim of a packet to this node; the port is ours if the role has one.
control TunnelChecks(inout headers_t hdr, inout metadata_t meta) {
    apply {
        hdr.work.available = hdr.ipv4.total_len - 16w20;
        // What a director hears from members, and what a gateway, a member itself, hears from its director.
        bool control_type = hdr.shim.data_type == TYPE_KEEP_ALIVE || hdr.shim.data_type == TYPE_LEAVE
            || (hdr.shim.data_type == TYPE_ADDRESS_REQUEST && meta.role == ROLE_DIRECTOR)
            || (hdr.shim.data_type == TYPE_ADDRESS_RESPONSE && meta.role == ROLE_GATEWAY);
        if (hdr.ipv4.total_len < 16w28) {
            DROP(DROP_UDP_TRUNCATED);
        } else if (hdr.udp.len != hdr.work.available) {
            DROP(DROP_UDP_LENGTH);
        } else if (meta.role == ROLE_NONE || hdr.udp.destination != meta.udp_port) {
            DROP(DROP_UDP_PORT_UNKNOWN);
        } else if (hdr.receive.udp_checksum == 8w1) {
            DROP(DROP_UDP_CHECKSUM);
        } else if (hdr.ipv4.total_len < 16w48) {
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
        } else if (hdr.ipv4.total_len < 16w68) {
            // The director is blind to what the virtual packet says, but not to whether there is one.
            DROP(DROP_VIRTUAL_TRUNCATED);
        } else {
            meta.path = PATH_RELAY;
        }
    }
}
