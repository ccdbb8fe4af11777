// Is it sound, and is it for this node? Every length is compared with the frame's before a field behind it is believed.

// A frame's Ethernet and IPv4 headers, as they came by a network port.
control Ipv4Checks(inout headers_t hdr, inout metadata_t meta) {
    InternetChecksum() sum;

    apply {
        bit<16> available = hdr.receive.frame_len - 16w14;
        bit<8> version = hdr.ipv4.version_ihl & 8w0xF0;
        bit<16> claimed = hdr.ipv4.checksum;
        hdr.ipv4.checksum = 0;
        sum.add(hdr.ipv4);
        bit<16> computed = sum.get();
        hdr.ipv4.checksum = claimed;
        bit<8> first = (bit<8>)(hdr.ipv4.source >> 24);

        if (available < 16w20) {
            DROP(DROP_IPV4_TRUNCATED);
        } else if (version != 8w0x40) {
            DROP(DROP_IPV4_VERSION);
        } else if (hdr.ipv4.version_ihl > 8w0x45) {
            DROP(DROP_IPV4_OPTIONS);
        } else if (hdr.ipv4.version_ihl < 8w0x45) {
            DROP(DROP_IPV4_LENGTH);
        } else if (hdr.ipv4.total_len < 16w20) {
            DROP(DROP_IPV4_LENGTH);
        } else if (hdr.ipv4.total_len > available) {
            DROP(DROP_IPV4_LENGTH);
        } else if ((hdr.ipv4.flags_fragment & 16w0x8000) != 0) {
            DROP(DROP_IPV4_LENGTH);
        } else if (computed != claimed && (computed != 0 || claimed != 16w0xFFFF)) {
            // Both representations of zero are right (RFC 1071).
            DROP(DROP_IPV4_CHECKSUM);
        } else if ((hdr.ipv4.flags_fragment & 16w0x3FFF) != 0) {
            DROP(DROP_IPV4_FRAGMENT);
        } else if (first == 8w0 || first == 8w127 || first >= 8w224) {
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
        bit<16> available = hdr.ipv4.total_len - 16w48;
        bit<8> version = hdr.inner.version_ihl & 8w0xF0;
        bit<16> claimed = hdr.inner.checksum;
        hdr.inner.checksum = 0;
        sum.add(hdr.inner);
        bit<16> computed = sum.get();
        hdr.inner.checksum = claimed;

        if (available < 16w20) {
            DROP(DROP_VIRTUAL_TRUNCATED);
        } else if (version != 8w0x40) {
            DROP(DROP_VIRTUAL_VERSION);
        } else if (hdr.inner.version_ihl > 8w0x45) {
            DROP(DROP_VIRTUAL_OPTIONS);
        } else if (hdr.inner.version_ihl < 8w0x45) {
            DROP(DROP_VIRTUAL_LENGTH);
        } else if (hdr.inner.total_len < 16w20 || hdr.inner.total_len > available) {
            DROP(DROP_VIRTUAL_LENGTH);
        } else if ((hdr.inner.flags_fragment & 16w0x8000) != 0) {
            DROP(DROP_VIRTUAL_LENGTH);
        } else if (computed != claimed && (computed != 0 || claimed != 16w0xFFFF)) {
            DROP(DROP_VIRTUAL_CHECKSUM);
        } else if ((hdr.inner.flags_fragment & 16w0x3FFF) != 0) {
            DROP(DROP_VIRTUAL_FRAGMENT);
        } else if (hdr.inner.total_len != available) {
            // The virtual packet is all there is: octets behind it are not padding, they are a lie.
            DROP(DROP_VIRTUAL_LENGTH);
        }
    }
}

// UDP and shim of a packet to this node; the port is ours if the role has one.
control TunnelChecks(inout headers_t hdr, inout metadata_t meta) {
    apply {
        bit<16> payload = hdr.ipv4.total_len - 16w20;
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
        } else if (hdr.shim.version != 8w1) {
            DROP(DROP_SHIM_VERSION);
        } else if (hdr.shim.data_type == TYPE_PING) {
            PUNT(PUNT_PING);
        } else if (hdr.shim.data_type == TYPE_ADDRESS_REQUEST || hdr.shim.data_type == TYPE_KEEP_ALIVE
                   || hdr.shim.data_type == TYPE_LEAVE) {
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
