// What a packet is known to be, while it passes.

#define GOES_ON   8w0
#define DROPPED   8w1
#define PUNTED    8w2
#define TO_CRYPTO 8w3

#define PATH_NONE     8w0
#define PATH_RELAY    8w1
#define PATH_ENCAP    8w2
#define PATH_DECAP    8w3
#define PATH_SEALED   8w4
#define PATH_OPENED   8w5
#define PATH_INJECTED 8w6

#define ROLE_NONE     8w0
#define ROLE_DIRECTOR 8w1
#define ROLE_GATEWAY  8w2

// Fields that make a key stand together, in the order of the key: this target looks up by one contiguous piece, and
// takes any other key for a ternary one. Nothing here is zero at the start of a packet: what is read must have been written.
// All of it, with what the compiler adds, must stay below 248 octets: this target's instructions know no further ones. What
// makes no key is in `work_t`.
struct metadata_t {
    bit<8>  verdict;
    bit<8>  path;
    bit<8>  role;
    bit<16> reason;
    // The port whose addresses are asked for, and this node.
    PortId_t own_port;
    bit<48> own_station;
    bit<32> own_address;
    bit<32> director;
    bit<16> udp_port;
    // Key of policy; the first three of member.
    bit<16> community;
    bit<32> source;
    bit<32> destination;
    bit<8>  protocol;
    bit<16> source_port;
    bit<16> destination_port;
    // Key of neighbor; the first of egress_port.
    bit<32> egress_port;
    bit<32> next_hop;
}
