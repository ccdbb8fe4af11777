//! What each program of the network is told.

use super::world::{PRINTER, SECRET, STAND_IN};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The director's address and port.
const DIRECTOR: &str = "203.0.113.10:20202";
/// Keys of sessions at the director: of the printer, and of alice.
const SESSIONS: [&str; 2] = [
    "ba70e1dacc17e1a77072ce9705bcbe3bc0063b5792d590f20eefdcd3d876daee",
    "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90",
];

/// How the printer and alice reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Both are public.
    Direct,
    /// Both are reached through their sessions at a director.
    Director,
}

/// What differs from test to test.
pub struct Settings {
    pub way: Way,
    /// Of the gateway's dataplane.
    pub workers: u16,
    /// Further lines of the gateway's configuration.
    pub more: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            way: Way::Direct,
            workers: 1,
            more: "",
        }
    }
}

/// Writes the configuration of every program into this folder.
pub fn write(folder: &Path, settings: &Settings) {
    let (dataplane, gateway, alice) = (
        dataplane(folder, settings.workers),
        gateway(folder, settings),
        alice(folder, settings.way),
    );
    for (name, text) in [
        ("dataplane", dataplane),
        ("gateway", gateway),
        ("alice", alice),
        ("relay", relay(folder)),
        ("director", director(folder)),
    ] {
        let path = folder.join(format!("{name}.yaml"));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
}

fn dataplane(folder: &Path, workers: u16) -> String {
    let folder = folder.display();
    let ports: String = [("wan", "203.0.113.30/24"), ("lan", "192.168.1.1/24")]
        .iter()
        .enumerate()
        .map(|(n, (interface, address))| {
            format!("  - {{ device: \"net_af_packet{n},iface={interface},qpairs={workers}\", address: {address} }}\n")
        })
        .collect();
    format!(
        "name: test\nworkers: {workers}\neal: {{ cores: [0, 1], huge_pages: off, memory_mib: 256 }}\nports:\n{ports}\
         p4runtime: {{ unix: {folder}/p4runtime, device_id: 1 }}\nstats_socket: {folder}/stats\nassociations: 64\n"
    )
}

fn gateway(folder: &Path, settings: &Settings) -> String {
    let folder = folder.display();
    let more = settings.more;
    let (via, at) = match settings.way {
        Way::Direct => (
            "direct: \"203.0.113.40:20202\"".to_owned(),
            "public: \"203.0.113.30:20202\"".to_owned(),
        ),
        Way::Director => (through("240.0.0.2"), session(0)),
    };
    format!(
        "dataplane: unix:{folder}/p4runtime\ncommunity: 1\nwan: 0\nlan: 1\nassociations: 64\nstatus_socket: {folder}/status\n{more}members:\n\
         - {{ name: alice.acme.example, address: 10.77.0.1, stand_in: {STAND_IN}, via: {{ {via} }} }}\n\
         devices:\n- name: printer.acme.example\n  address: {PRINTER}\n  local: 192.168.1.20\n  {at}\n  \
         peers: [ {{ member: alice.acme.example, psk: {SECRET} }} ]\n"
    )
}

fn alice(folder: &Path, way: Way) -> String {
    let folder = folder.display();
    let (location, via, at) = match way {
        Way::Direct => (
            "public: \"203.0.113.40:20202\"".to_owned(),
            "direct: \"203.0.113.30:20202\"".to_owned(),
            String::new(),
        ),
        Way::Director => (through("240.0.0.2"), through("240.0.0.1"), session(1)),
    };
    format!(
        "name: alice.acme.example\naddress: 10.77.0.1\npool: 10.77.0.0/24\nlocation: {{ {location} }}\n{at}\n\
         status_socket: {folder}/alice\npeers:\n- {{ name: printer.acme.example, address: {PRINTER}, via: {{ {via} }}, psk: {SECRET} }}\n"
    )
}

fn through(pseudo: &str) -> String {
    format!("director: \"{DIRECTOR}\", pseudo: {pseudo}")
}

/// One's own session at the director.
fn session(of: usize) -> String {
    format!(
        "director: {{ address: \"{DIRECTOR}\", key_id: {}, key: {} }}",
        of + 1,
        SESSIONS[of]
    )
}

/// The director's dataplane.
fn relay(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "name: relay\nworkers: 1\neal: {{ cores: [0, 1], huge_pages: off, memory_mib: 256 }}\n\
         ports:\n  - {{ device: \"net_af_packet0,iface=eth,qpairs=1\", address: 203.0.113.10/24 }}\n\
         sessions: {{ first: 240.0.0.1, count: 16 }}\n\
         p4runtime: {{ unix: {folder}/relay-p4runtime, device_id: 1 }}\nstats_socket: {folder}/relay-stats\n"
    )
}

/// What decides for it. Sessions are short: without keep-alives from both ends nothing passes for long.
fn director(folder: &Path) -> String {
    let folder = folder.display();
    let grants: String = ["printer", "alice"]
        .iter()
        .zip(SESSIONS)
        .zip(1..)
        .map(|((name, key), number)| {
            format!(
                "  - {{ name: {name}, key_id: {number}, key: {key}, pseudo: 240.0.0.{number}, community: {{ index: 1, name: acme.example }} }}\n"
            )
        })
        .collect();
    format!(
        "name: director\nstatus_socket: {folder}/director\nstate_dir: {folder}/state\ndirectors:\n- name: nrd1\n  \
         dataplane: {{ address: \"unix:{folder}/relay-p4runtime\" }}\n  address: 203.0.113.10\n  \
         pseudo_pool: {{ first: 240.0.0.1, count: 16 }}\n  session_lifetime: 3s\n  keep_alive: 1s\n  grants:\n{grants}"
    )
}
