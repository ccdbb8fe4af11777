// Numbers of the protocols, and words for verdicts.

// Where a frame came from, as the receive descriptor says.
#define ORIGIN_PORT   8w0
#define ORIGIN_CPU    8w1
#define ORIGIN_CRYPTO 8w2

#define ETHERTYPE_IPV4 16w0x0800
#define ETHERTYPE_ARP  16w0x0806
#define PROTOCOL_ICMP 8w1
#define PROTOCOL_IPV4 8w4
#define PROTOCOL_TCP  8w6
#define PROTOCOL_UDP  8w17
#define PROTOCOL_ESP  8w50

#define TYPE_VIRTUAL          8w1
#define TYPE_PING             8w2
#define TYPE_ADDRESS_REQUEST  8w3
#define TYPE_LEAVE            8w5
#define TYPE_KEEP_ALIVE       8w6

#define BRIDGE_SEAL 8w1
#define BRIDGE_OPEN 8w2

#define DROP(why) meta.verdict = DROPPED; meta.reason = why
#define PUNT(why) meta.verdict = PUNTED; meta.reason = why
