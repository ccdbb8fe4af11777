// Takes a frame apart without judging it: what was not there is found out by `checks`, from the lengths.
//
//   port    receive | ethernet | ipv4 | udp | shim | inner | esp
//                              | ipv4 | tcp | mss
//   CPU     receive | packet_out
//   crypto  receive | ethernet | bridge | inner                      sealed
//           receive | ethernet | bridge | ipv4 | udp  or  tcp | mss  opened

parser KithParser(
    packet_in pkt,
    out   headers_t hdr,
    inout metadata_t meta,
    in    pna_main_parser_input_metadata_t istd)
{
    state start {
        pkt.extract(hdr.receive);
        transition select(hdr.receive.origin) {
            ORIGIN_CPU:    from_cpu;
            ORIGIN_CRYPTO: from_crypto;
            default:       ethernet;
        }
    }

    state from_cpu {
        pkt.extract(hdr.packet_out);
        transition accept;
    }

    state from_crypto {
        pkt.extract(hdr.ethernet);
        pkt.extract(hdr.bridge);
        transition select(hdr.bridge.direction) {
            BRIDGE_SEAL: sealed;
            default:     opened;
        }
    }

    state sealed {
        pkt.extract(hdr.inner);
        transition accept;
    }

    state opened {
        pkt.extract(hdr.ipv4);
        transition select(hdr.ipv4.protocol) {
            PROTOCOL_UDP: opened_udp;
            PROTOCOL_TCP: tcp;
            default:      accept;
        }
    }

    state opened_udp {
        pkt.extract(hdr.udp);
        transition accept;
    }

    state ethernet {
        pkt.extract(hdr.ethernet);
        transition select(hdr.ethernet.ethertype) {
            ETHERTYPE_IPV4: ipv4;
            default:        accept;
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
        pkt.extract(hdr.inner);
        pkt.extract(hdr.esp);
        transition accept;
    }
}
