// Headers. No field is narrower than an octet: the DPDK back end packs smaller ones the wrong way round.

// The receive descriptor, put in front of every frame by the port layer, as NICs do. The pipeline sees no other
// truth about how long a frame is: extracting never fails on this target.
header receive_t {
    bit<16> frame_len;      // octets of the frame, Ethernet header included
    bit<8>  udp_checksum;   // 1: the UDP checksum is there and wrong
    bit<8>  origin;         // ORIGIN_PORT, ORIGIN_CPU or ORIGIN_CRYPTO
}

@controller_header("packet_in")
header packet_in_t {
    bit<16> ingress_port;
    bit<16> reason;         // a punt reason
}

// Mode 0: the frame leaves by egress_port as it is. The two others are for the software between controller and program, which makes
// of them what the program knows: mode 1 (routed, egress_port 0) becomes mode 0 once route and neighbor have said port and
// stations; a frame of mode 2 (submitted) comes in by the port that egress_port names, as if the port had received it.
@controller_header("packet_out")
header packet_out_t {
    bit<16> egress_port;
    bit<16> mode;
}

header ethernet_t {
    bit<48> destination;
    bit<48> source;
    bit<16> ethertype;
}

// What the second pass of a packet needs to know; between Ethernet and virtual packet, from and to the crypto block.
header bridge_t {
    bit<8>  direction;      // BRIDGE_SEAL or BRIDGE_OPEN
    bit<8>  reserved;
    bit<16> community;
    bit<32> egress_port;
    bit<48> station;        // of the next hop
    bit<16> mtu;            // of the path to the member, for the segment size of TCP
    bit<32> source;         // open: the address that stands in for the sender on the LAN
    bit<32> destination;    // seal: the tunnel's end; open: the device's address on the LAN
    bit<16> port;           // seal: UDP port of the tunnel's end
    bit<16> unused;
    bit<32> source_director;
    bit<32> destination_director;
    bit<32> source_member;
    bit<32> destination_member;
}

// RFC 791.
header ipv4_t {
    bit<8>  version_ihl;
    bit<8>  tos;
    bit<16> total_len;
    bit<16> id;
    bit<16> flags_fragment;
    bit<8>  ttl;
    bit<8>  protocol;
    bit<16> checksum;
    bit<32> source;
    bit<32> destination;
}

// RFC 768.
header udp_t {
    bit<16> source;
    bit<16> destination;
    bit<16> len;
    bit<16> checksum;
}

// Source document 001, figure 6B.
header shim_t {
    bit<8>  version;
    bit<8>  data_type;
    bit<16> flags;
    bit<32> source_director;
    bit<32> destination_director;
    bit<32> source_member;
    bit<32> destination_member;
}

// RFC 9293; data offset and reserved bits share an octet.
header tcp_t {
    bit<16> source;
    bit<16> destination;
    bit<32> sequence;
    bit<32> acknowledgment;
    bit<8>  data_offset;
    bit<8>  flags;
    bit<16> window;
    bit<16> checksum;
    bit<16> urgent;
}

// The first option of a TCP header, if it is the maximum segment size.
header tcp_mss_t {
    bit<8>  kind;
    bit<8>  length;
    bit<16> mss;
}

// RFC 4303 section 2: what is in clear. Also the first 8 octets of any other virtual payload.
header esp_t {
    bit<32> spi;
    bit<32> sequence;
}

// What changes under a UDP or TCP checksum; never sent. `old` values are inverted.
header change_t {
    bit<16> old_checksum;
    bit<16> unused;
    bit<16> old_mss;
    bit<16> new_mss;
    bit<16> old_source_port;
    bit<16> old_destination_port;
    bit<16> new_source_port;
    bit<16> new_destination_port;
    bit<32> old_source;
    bit<32> old_destination;
    bit<32> new_source;
    bit<32> new_destination;
}

// What the stages find out for each other; never sent. A header for the reason that metadata says.
header work_t {
    // The sender's session.
    bit<32> sender_address;
    bit<16> sender_port;
    bit<16> sender_community;
    bit<8>  within_rate;
    // Is there a whole header of this kind behind the IPv4 header?
    bit<8>  has_tcp;
    bit<8>  has_udp;
    bit<8>  reserved;
    // Where it goes on the public network.
    bit<32> remote_address;
    bit<16> remote_port;
    bit<16> remote_community;
    bit<32> source_director;
    bit<32> source_member;
    bit<32> destination_director;
    bit<32> destination_member;
    bit<32> sa;
    // Octets of the outer IPv4 packet once sealed.
    bit<32> sealed_len;
    bit<16> mtu;
    bit<48> next_station;
    // What the addresses become.
    bit<32> new_source;
    bit<32> new_destination;
    // Lengths on the way.
    bit<16> available;
    bit<16> header_len;
    bit<16> room;
    bit<16> mss;
}

struct headers_t {
    receive_t    receive;
    packet_in_t  packet_in;
    packet_out_t packet_out;
    ethernet_t   ethernet;
    bridge_t     bridge;
    ipv4_t       ipv4;
    udp_t        udp;
    tcp_t        tcp;
    tcp_mss_t    mss;
    shim_t       shim;
    ipv4_t       inner;
    esp_t        esp;
    change_t     change;
    work_t       work;
}
