//! `kith dataplane tables|table|associations|write|read|capture`: a P4Runtime target, ours or another, in the terms of its own program.
//!
//! **Problem.** P4Runtime speaks in ids and octets. **Idea.** The target itself tells what they mean: its P4Info gives names, kinds
//! and widths, and from those everything here is read and shown. No id, and no table's name, is known beforehand.
//!
//! ```text
//!  words, files ─► words, entry, matching, value ─► messages ─► link ─► target
//!  tables, lines ◄─ tables, table, cells, capture ◄─ messages ◄─ link ◄─ target
//!                         └── schema: names ⇄ ids, from the target's P4Info
//! ```

mod address;
mod associations;
mod capture;
mod cells;
mod decode;
mod entry;
mod link;
mod matching;
mod pcap;
mod rates;
mod schema;
mod table;
mod tables;
mod value;
mod words;
mod write;

pub use address::P4Target;
pub use capture::Capturing;
pub use cells::{Reading, What};
pub use entry::EntryError;
pub use link::LinkError;
pub use matching::MatchError;
pub use schema::Unknown;
pub use table::TableView;
pub use value::ValueError;
pub use write::{Atomicity, Writing};

use crate::error::Error;
use crate::output::Format;
use link::Link;

/// What `kith dataplane tables` says about itself at the end of its help.
pub(super) const TABLES_EXAMPLES: &str = "\
Examples:
  kith dataplane tables
  kith dataplane tables --p4runtime http://127.0.0.1:9559 --device-id 1
  kith -o json dataplane tables | jq '.tables[].name'";

/// The same of `table`.
pub(super) const TABLE_EXAMPLES: &str = "\
Examples:
  kith dataplane table session --counters
  kith dataplane table session -f destination_member=240.0.0.7
  kith dataplane table policy -f action=deny -l 20
  kith -o json dataplane table session";

/// The same of `associations`.
pub(super) const ASSOCIATIONS_EXAMPLES: &str = "\
Examples:
  kith dataplane associations
  kith -o json dataplane associations | jq '.associations[] | select(.state != \"fresh\")'";

/// The same of `write`.
pub(super) const WRITE_EXAMPLES: &str = "\
What to write:
  insert|modify TABLE FIELD=MATCH… [priority=N] ACTION PARAM=VALUE… [meter=PIR:PBURST]
  delete TABLE FIELD=MATCH… [priority=N]
  default TABLE [ACTION PARAM=VALUE…]
  meter NAME CELL PIR:PBURST|none

A MATCH is a value; a prefix 10.0.0.0/8; a value and mask 8000&&&0xffc0; a range 1024..2047; or * for everything.

Examples:
  kith dataplane write insert session destination_member=240.0.0.7 \\
      relay_to address=203.0.113.21 port=4000 community=1 mtu=1500
  kith dataplane write delete session destination_member=240.0.0.7
  kith dataplane write insert policy community=1 protocol=udp destination_port=53 priority=10 allow
  kith dataplane write default endpoint act_as_director address=203.0.113.10 udp_port=20202
  kith dataplane write meter punt_meter control 1000:100
  kith dataplane write --file entries.yaml --atomicity rollback
  kith -o json dataplane table policy | kith dataplane write --p4runtime unix:/run/other.sock -f -

A file is a list of entries, as `kith -o json dataplane table` prints them, each with `update: insert|modify|delete`
(insert if not said):
  - { update: insert, table: session, match: { destination_member: 240.0.0.7 },
      action: relay_to, params: { address: 203.0.113.21, port: 4000, community: 1, mtu: 1500 } }

Only one client of a dataplane writes, its primary, and that is its controller. While it is there, a write is refused;
with --take-over it is done in its place. kith-controller comes back by itself about ten seconds later, and makes tables
`sender` and `session` again what it wants them to be; other tables it leaves alone.";

/// The same of `read`.
pub(super) const READ_EXAMPLES: &str = "\
Examples:
  kith dataplane read
  kith dataplane read counter drops
  kith dataplane read counter session_counter --all
  kith dataplane read meter punt_meter";

/// The same of `capture`.
pub(super) const CAPTURE_EXAMPLES: &str = "\
Packets come up that the dataplane cannot decide: members' requests, pings, key agreements. P4Runtime gives them to
one client, the primary. Without a controller that is the capture; beside one, --take-over puts the capture in its place:
members go on reaching each other, but nobody answers their requests until the capture ends.

Examples:
  kith dataplane capture --take-over --reason control --count 10
  kith dataplane capture --take-over --pcap up.pcap --time 5
  kith -o json dataplane capture | jq -c .";

/// Runs `tables`.
pub(super) fn tables(target: &P4Target, format: Format) -> Result<u8, Error> {
    tables::run(&mut Link::connect(target)?, format)
}

/// Runs `table`.
pub(super) fn table(target: &P4Target, view: &TableView, format: Format) -> Result<u8, Error> {
    table::run(&mut Link::connect(target)?, view, format)
}

/// Runs `associations`.
pub(super) fn associations(target: &P4Target, format: Format) -> Result<u8, Error> {
    associations::run(&mut Link::connect(target)?, format)
}

/// Runs `write`.
pub(super) fn write(target: &P4Target, writing: &Writing, format: Format) -> Result<u8, Error> {
    write::run(&mut Link::connect(target)?, writing, format)
}

/// Runs `read`.
pub(super) fn read(target: &P4Target, reading: &Reading, format: Format) -> Result<u8, Error> {
    cells::run(&mut Link::connect(target)?, reading, format)
}

/// Runs `capture`.
pub(super) fn capture(target: &P4Target, capturing: &Capturing, format: Format) -> Result<u8, Error> {
    capture::run(&mut Link::connect(target)?, capturing, format)
}
