// Numbers of the protocols, and words for verdicts.

// Where a frame came from, as the receive descriptor says.
#define ORIGIN_PORT   8w0
#define ORIGIN_CPU    8w1
#define ORIGIN_CRYPTO 8w2

#define ETHERTYPE_IPV4 16w0x0800
#define ETHERTYPE_ARP  16w0x0806
#define STATION_BROADCAST 48w0xFFFFFFFFFFFF

#define PROTOCOL_ICMP 8w1
#define PROTOCOL_TCP  8w6
#define PROTOCOL_UDP  8w17
#define PROTOCOL_ESP  8w50

#define IPV4_NO_OPTIONS    8w0x45
// The largest flags and offset without the reserved flag (RFC 791 section 3.1: it must be zero).
#define IPV4_NO_RESERVED_FLAG 16w0x7FFF
// The only flags of a packet that is no fragment.
#define IPV4_DONT_FRAGMENT 16w0x4000
// RFC 1700's recommended default.
#define DEFAULT_TTL 8w64

#define TCP_FLAG_SYN   8w0x02
#define TCP_OPTION_MSS 8w2

#define SHIM_VERSION          8w1
#define TYPE_VIRTUAL          8w1
#define TYPE_PING             8w2
#define TYPE_ADDRESS_REQUEST  8w3
#define TYPE_ADDRESS_RESPONSE 8w4
#define TYPE_LEAVE            8w5
#define TYPE_KEEP_ALIVE       8w6

// The virtual UDP ports on which members agree on keys: IKE, and the two-message exchange.
#define IKE_PORT    32w500
#define KEYING_PORT 32w20202

// Outer IPv4, UDP and shim of a packet.
#define OUTER_OVERHEAD 16w48
// What sealing makes of an IPv4 packet of n octets is n and this, cut to whole words: outer headers, shim, virtual header, ESP
// header, IV and ICV are 100, payload and trailer are padded.
#define SEALED_LESS_PADDING 32w85

#define BRIDGE_SEAL 8w1
#define BRIDGE_OPEN 8w2

#define DROP(why) meta.verdict = DROPPED; meta.reason = why
#define PUNT(why) meta.verdict = PUNTED; meta.reason = why
