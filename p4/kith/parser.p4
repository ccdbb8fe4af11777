// Takes a frame apart without judging it: what was not there is found out by `checks`, from the lengths.

parser KithParser(
    packet_in pkt,
    out   headers_t hdr,
    inout metadata_t meta,
    in    pna_main_parser_input_metadata_t istd)
{
    state start {
        pkt.extract(hdr.receive);
        transition select(hdr.receive.origin) {
            ORIGIN_CPU: from_cpu;
            default:    ethernet;
        }
    }

    state from_cpu {
        pkt.extract(hdr.packet_out);
        transition accept;
    }

    state ethernet {
        pkt.extract(hdr.ethernet);
        transition select(hdr.ethernet.ethertype) {
            ETHERTYPE_IPV4:   ipv4;
            ETHERTYPE_BRIDGE: bridge;
            default:          accept;
        }
    }

    state bridge {
        pkt.extract(hdr.bridge);
        transition select(hdr.bridge.direction) {
            BRIDGE_SEAL: inner;
            default:     ipv4;
        }
    }

    state ipv4 {
        pkt.extract(hdr.ipv4);
        transition select(hdr.ipv4.protocol) {
            PROTOCOL_UDP: udp;
            PROTOCOL_TCP: tcp;
            default:      accept;
        }
    }

    state tcp {
        pkt.extract(hdr.tcp);
        pkt.extract(hdr.mss);
        transition accept;
    }

    state udp {
        pkt.extract(hdr.udp);
        pkt.extract(hdr.shim);
        transition inner;
    }

    state inner {
        pkt.extract(hdr.inner);
        pkt.extract(hdr.esp);
        transition accept;
    }
}
