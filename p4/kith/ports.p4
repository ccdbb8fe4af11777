// Numbers that belong to the target, not to the protocol.

// Where packet-in goes and packet-out comes from.
#define CPU_PORT 32w6

// The ethertype between pipeline and crypto block (IEEE 802 local experimental). From any other port it is an unknown one.
#define ETHERTYPE_BRIDGE 16w0x88B5
