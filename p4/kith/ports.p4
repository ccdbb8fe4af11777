// What belongs to the target, not to the protocol.

// Where packet-in goes and packet-out comes from.
#define CPU_PORT 32w6

// The ethertype between pipeline and crypto block (IEEE 802 local experimental). From any other port it is an unknown one.
#define ETHERTYPE_BRIDGE 16w0x88B5

// DPDK numbers the colours green, yellow, red from 0; this compiler numbers PNA's enumeration red, green, yellow from 0 and
// hands the number on as it is. So 2, which is red when it comes out of a DPDK meter, has the name YELLOW here.
#define COLOR_RED PNA_MeterColor_t.YELLOW
