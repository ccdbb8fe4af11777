// The route director: a packet between two sessions of one community (source document 001, figure 7, steps 673 to 677).

control Relay(inout headers_t hdr, inout metadata_t meta) {
    DirectMeter(PNA_MeterType_t.PACKETS) sender_meter;

    DirectCounter<bit<64>>(PNA_CounterType_t.PACKETS_AND_BYTES) session_counter;

    // Whoever sends through this director must be bound to where the packet came from.
    @name(".authorise")
    action authorise(bit<32> address, bit<16> port, bit<16> community) {
        hdr.work.within_rate = 8w1;
        // What comes from elsewhere must not use up the sender's rate. Each packet counts 1: this target's meters count lengths.
        if (hdr.ipv4.source == address && hdr.udp.source == port) {
            PNA_MeterColor_t color = sender_meter.dpdk_execute(32w1);
            if (color == COLOR_RED) { hdr.work.within_rate = 8w0; }
        }
        hdr.work.sender_address = address;
        hdr.work.sender_port = port;
        hdr.work.sender_community = community;
    }

    @name(".sender")
    table sender {
        key = { hdr.shim.source_member: exact @name("source_member"); }
        actions = { authorise; @defaultonly NoAction; }
        const default_action = NoAction;

        pna_direct_meter = sender_meter;
        size = 1048576;
    }

    @name(".relay_to")
    action relay_to(bit<32> address, bit<16> port, bit<16> community, bit<16> mtu) {
        // A direct counter is counted in an action or not at all: what this entry lets pass, before it is known where to.
        if (hdr.work.sender_community == community) {
            if (hdr.ipv4.ttl > 8w1) {
                if (hdr.ipv4.total_len <= mtu) {
                    session_counter.count((bit<32>)hdr.ipv4.total_len);
                }
            }
        }
        hdr.work.remote_address = address;
        hdr.work.remote_port = port;
        hdr.work.remote_community = community;
        hdr.work.mtu = mtu;
    }

    @name(".session")
    table session {
        key = { hdr.shim.destination_member: exact @name("destination_member"); }
        actions = { relay_to; @defaultonly NoAction; }
        const default_action = NoAction;
        pna_direct_counter = session_counter;
        size = 1048576;
    }

    apply {
        if (!sender.apply().hit) {
            DROP(DROP_SOURCE_UNKNOWN);
        } else if (hdr.work.sender_address != hdr.ipv4.source || hdr.work.sender_port != hdr.udp.source) {
            PUNT(PUNT_SOURCE_MISMATCH);
        } else if (hdr.work.within_rate == 8w0) {
            DROP(DROP_SOURCE_LIMITED);
        } else if (!session.apply().hit) {
            DROP(DROP_DESTINATION_UNKNOWN);
        } else if (hdr.work.sender_community != hdr.work.remote_community) {
            DROP(DROP_COMMUNITY_MISMATCH);
        } else if (hdr.ipv4.ttl < 8w2) {
            // RFC 1812 section 5.3.1. The time to live counts on through a director, so a loop of directors ends.
            DROP(DROP_TTL_EXPIRED);
        } else if (hdr.ipv4.total_len > hdr.work.mtu) {
            PUNT(PUNT_MTU_EXCEEDED);
        } else {
            meta.next_hop = hdr.work.remote_address;
            hdr.work.new_source = meta.director;
            hdr.work.new_destination = hdr.work.remote_address;
        }
    }
}
