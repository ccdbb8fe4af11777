// The stages, in order.

control KithPreControl(
    in    headers_t hdr,
    inout metadata_t meta,
    in    pna_pre_input_metadata_t istd,
    inout pna_pre_output_metadata_t ostd)
{
    apply { }
}

control KithControl(
    inout headers_t hdr,
    inout metadata_t meta,
    in    pna_main_input_metadata_t istd,
    inout pna_main_output_metadata_t ostd)
{
    ipsec_accelerator() accelerator;
    @name(".drops")
    Counter<bit<64>, bit<32>>(DROP_REASONS, PNA_CounterType_t.PACKETS) drops;
    @name(".punts")
    Counter<bit<64>, bit<32>>(PUNT_REASONS, PNA_CounterType_t.PACKETS) punts;
    @name(".punt_meter")
    Meter<bit<32>>(PUNT_REASONS, PNA_MeterType_t.PACKETS) punt_meter;

    Ipv4Checks() ipv4_checks;
    TunnelChecks() tunnel_checks;
    Relay() relay;
    Gateway() gateway;
    Forward() forward;
    Rewrite() rewrite;

    @name(".accept_by")
    action accept_by(bit<48> station, bit<32> address) {
        meta.own_station = station;
        meta.own_address = address;
    }

    @name(".ingress_port")
    table ingress_port {
        key = { meta.own_port: exact @name("port"); }
        actions = { accept_by; @defaultonly NoAction; }
        const default_action = NoAction;
        size = 256;
    }

    @name(".act_as_director")
    action act_as_director(bit<32> address, bit<16> udp_port) {
        meta.role = ROLE_DIRECTOR;
        meta.director = address;
        meta.udp_port = udp_port;
    }

    @name(".act_as_gateway")
    action act_as_gateway(bit<16> udp_port) {
        meta.role = ROLE_GATEWAY;
        meta.udp_port = udp_port;
    }

    @name(".act_as_nothing")
    action act_as_nothing() { meta.role = ROLE_NONE; }

    action to_cpu() { send_to_port((PortId_t)CPU_PORT); }

    // What this node is: its default action says it.
    @name(".endpoint")
    table endpoint {
        actions = { act_as_director; act_as_gateway; act_as_nothing; }
        default_action = act_as_nothing;
    }

    apply {
        meta.verdict = GOES_ON;
        meta.path = PATH_NONE;
        hdr.work.setValid();
        hdr.work.has_tcp = 8w0;
        hdr.work.has_udp = 8w0;
        meta.source_port = 0;
        meta.destination_port = 0;
        bool from_crypto;
        ipsec_status status;
        from_crypto = accelerator.from_ipsec(status);
        endpoint.apply();

        // 1. Own station: what came, and for whom. A sealed packet asks for the addresses of the port that it leaves by.
        if (hdr.packet_out.isValid()) {
            meta.path = PATH_INJECTED;
            meta.egress_port = (bit<32>)hdr.packet_out.egress_port;
        } else {
            meta.own_port = istd.input_port;
            if (from_crypto) {
                meta.egress_port = hdr.bridge.egress_port;
                hdr.work.next_station = hdr.bridge.station;
                meta.own_port = (PortId_t)hdr.bridge.egress_port;
                if (hdr.bridge.direction == BRIDGE_SEAL) { meta.path = PATH_SEALED; } else { meta.path = PATH_OPENED; }
            }
            if (!ingress_port.apply().hit) {
                if (meta.path == PATH_NONE) {
                    DROP(DROP_ETHERNET_NOT_OURS);
                } else if (meta.path == PATH_SEALED) {
                    DROP(DROP_ROUTE_UNKNOWN);
                }
            }
        }
        if (meta.verdict == GOES_ON && meta.path == PATH_NONE) {
            if (hdr.receive.frame_len < 16w14) {
                DROP(DROP_ETHERNET_TRUNCATED);
            } else if (hdr.ethernet.ethertype == ETHERTYPE_ARP) {
                if (hdr.ethernet.destination == meta.own_station || hdr.ethernet.destination == STATION_BROADCAST) {
                    PUNT(PUNT_ARP);
                } else {
                    DROP(DROP_ETHERNET_NOT_OURS);
                }
            } else if (hdr.ethernet.ethertype != ETHERTYPE_IPV4) {
                DROP(DROP_ETHERTYPE_UNKNOWN);
            } else if (hdr.ethernet.destination != meta.own_station) {
                DROP(DROP_ETHERNET_NOT_OURS);
            } else {
                ipv4_checks.apply(hdr, meta);
                if (meta.verdict == GOES_ON) {
                    if (hdr.ipv4.destination == meta.own_address
                            || (meta.role == ROLE_DIRECTOR && hdr.ipv4.destination == meta.director)) {
                        if (hdr.ipv4.protocol == PROTOCOL_UDP) {
                            tunnel_checks.apply(hdr, meta);
                        } else if (hdr.ipv4.protocol == PROTOCOL_ICMP) {
                            PUNT(PUNT_ICMP_LOCAL);
                        } else {
                            DROP(DROP_PROTOCOL_UNKNOWN);
                        }
                    } else if (meta.role == ROLE_GATEWAY) {
                        meta.path = PATH_ENCAP;
                    } else {
                        DROP(DROP_IPV4_NOT_OURS);
                    }
                }
            }
        }

        // 2. Relay, or gateway.
        if (meta.verdict == GOES_ON && meta.path == PATH_RELAY) {
            relay.apply(hdr, meta);
        }
        if (meta.verdict == GOES_ON
                && (meta.path == PATH_ENCAP || meta.path == PATH_DECAP || meta.path == PATH_OPENED)) {
            gateway.apply(hdr, meta, (bit<32>)istd.input_port);
        }

        // 3. Out. Nothing of the packet was changed before all was decided.
        if (meta.verdict == GOES_ON) {
            forward.apply(hdr, meta);
        }
        if (meta.verdict == GOES_ON && meta.path != PATH_INJECTED) {
            rewrite.apply(hdr, meta);
        }

        // 4. What does not go on is counted.
        if (meta.verdict == PUNTED) {
            PNA_MeterColor_t color = punt_meter.dpdk_execute((bit<32>)meta.reason, 32w1);
            if (color == COLOR_RED) {
                meta.verdict = DROPPED;
                if (meta.reason == PUNT_SOURCE_MISMATCH) {
                    meta.reason = DROP_SOURCE_MISMATCH;
                } else if (meta.reason == PUNT_MTU_EXCEEDED) {
                    meta.reason = DROP_MTU_EXCEEDED;
                } else if (meta.reason == PUNT_NEIGHBOR_MISS) {
                    meta.reason = DROP_NEIGHBOR_UNRESOLVED;
                } else if (meta.reason == PUNT_KEYS_MISSING) {
                    meta.reason = DROP_KEYS_MISSING;
                } else {
                    meta.reason = DROP_PUNT_LIMITED;
                }
            } else {
                punts.count((bit<32>)meta.reason);
                hdr.packet_in.setValid();
                hdr.packet_in.ingress_port = (bit<16>)(bit<32>)istd.input_port;
                hdr.packet_in.reason = meta.reason;
                to_cpu();
            }
        }
        if (meta.verdict == DROPPED) {
            drops.count((bit<32>)meta.reason);
            drop_packet();
        }
        if (meta.verdict == TO_CRYPTO) {
            accelerator.set_sa_index<bit<32>>(hdr.work.sa);
            accelerator.enable();
        }
    }
}
