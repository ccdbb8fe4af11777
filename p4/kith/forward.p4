// Out: which port, which station.

control Forward(inout headers_t hdr, inout metadata_t meta) {
    @name(".on_link")
    action on_link(bit<32> port) { meta.egress_port = port; }

    @name(".via")
    action via(bit<32> port, bit<32> gateway) {
        meta.egress_port = port;
        meta.next_hop = gateway;
    }

    @name(".route")
    table route {
        key = { meta.next_hop: lpm @name("destination"); }
        actions = { on_link; via; @defaultonly NoAction; }
        const default_action = NoAction;
        size = 1024;
    }

    @name(".resolve")
    action resolve(bit<48> station) { hdr.work.next_station = station; }

    @name(".neighbor")
    table neighbor {
        key = { meta.egress_port: exact @name("port"); meta.next_hop: exact @name("address"); }
        actions = { resolve; @defaultonly NoAction; }
        const default_action = NoAction;
        size = 8192;
    }

    @name(".leave_by")
    action leave_by(PortId_t port, bit<48> station) {
        // Equal to the key: this target sends only to a port that an entry names.
        send_to_port(port);
        meta.own_station = station;
    }

    @name(".egress_port")
    table egress_port {
        key = { meta.egress_port: exact @name("port"); }
        actions = { leave_by; @defaultonly NoAction; }
        const default_action = NoAction;
        size = 256;
    }

    apply {
        // A device on a LAN is its own next hop; of a second pass all is known but the port's station.
        if (meta.path == PATH_RELAY || meta.path == PATH_ENCAP) {
            if (!route.apply().hit) {
                DROP(DROP_ROUTE_UNKNOWN);
            }
        }
        if (meta.verdict == GOES_ON
                && (meta.path == PATH_RELAY || meta.path == PATH_ENCAP || meta.path == PATH_DECAP)) {
            if (!neighbor.apply().hit) {
                PUNT(PUNT_NEIGHBOR_MISS);
            }
        }
        if (meta.verdict == GOES_ON) {
            if (!egress_port.apply().hit) {
                DROP(DROP_ROUTE_UNKNOWN);
            }
        }
    }
}
