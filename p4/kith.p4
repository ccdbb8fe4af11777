// What Kith does to a packet, as one P4_16 program for the Portable NIC Architecture (features D1 to D3).
//
//   frame ► own station ─┬─ relay:   sender ► session ───────────────────────────┐
//                        ├─ encap:   local_destination ► local_source ► policy ► member ► [seal] ┐
//                        ├─ decap:   association ► [open] ► policy ► virtual_destination ► virtual_source ┤
//                        └─ punt, drop                                        route ► neighbor ► egress ◄┘
//
// [seal] and [open] are the accelerator's: a packet leaves the pipeline for them and comes back with a bridge header that
// remembers what was decided. The same stages stand in the same order in dataplane/pipeline; a test compares the two.
#include <core.p4>
#include <dpdk/pna.p4>

#include "kith/ports.p4"
#include "kith/reasons.p4"
#include "kith/constants.p4"
#include "kith/headers.p4"
#include "kith/metadata.p4"
#include "kith/parser.p4"
#include "kith/checks.p4"
#include "kith/relay.p4"
#include "kith/gateway.p4"
#include "kith/forward.p4"
#include "kith/rewrite.p4"
#include "kith/main.p4"
#include "kith/deparser.p4"

PNA_NIC(KithParser(), KithPreControl(), KithControl(), KithDeparser()) main;
