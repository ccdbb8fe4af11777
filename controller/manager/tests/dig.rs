//! What other people's programs make of the answers: dig and delv of BIND, drill of ldns, over UDP and TCP on loopback.
//!
//! The socket is a plain one: the tunnel is no part of this.

use kith_manager::dns::{self, MemberId, Names, Query, Target, Transport, Unlocated};
use kith_protocol::facts;
use kith_protocol::member::{Location, Peer};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::Command;

const PRINTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);

struct Acme;

fn printer() -> Peer {
    Peer {
        fqdn: "printer.acme.example".into(),
        virtual_address: PRINTER.to_bits(),
        location: Some(Location {
            director: Ipv4Addr::new(203, 0, 113, 10).to_bits(),
            director_port: 20202,
            address: Ipv4Addr::new(240, 0, 0, 7).to_bits(),
            port: 0,
        }),
        joined_at_ms: 1_760_000_000_000,
        program: "kith-agent 0.1.0".into(),
        netbios_name: "PRINTER".into(),
        ticket: (0..=239).collect(),
        sealed_key: vec![7; 104],
    }
}

impl Names for Acme {
    fn ours(&self, _: MemberId, target: Target<'_>) -> bool {
        match target {
            Target::Name(name) => name.ends_with(".acme.example"),
            Target::Address(address) => address == PRINTER,
        }
    }

    fn locate(&mut self, _: u64, asker: MemberId, target: Target<'_>) -> Result<Peer, Unlocated> {
        match target {
            _ if !self.ours(asker, target) => Err(Unlocated::NotOurs),
            Target::Name("printer.acme.example") | Target::Address(_) => Ok(printer()),
            Target::Name(_) => Err(Unlocated::NotJoined),
        }
    }
}

fn answer(bytes: &[u8], transport: Transport) -> Vec<u8> {
    let mut out = Vec::new();
    let query = Query {
        bytes,
        asker: Some(MemberId(1)),
        transport,
        now_ms: 0,
    };
    dns::answer(&query, &mut Acme, &mut out);
    out
}

/// A name server on UDP and TCP, until the test ends. Gives its port.
fn serve() -> u16 {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            break (udp, tcp);
        }
    };
    let port = udp.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut octets = [0; 2048];
        while let Ok((len, from)) = udp.recv_from(&mut octets) {
            udp.send_to(&answer(&octets[..len], Transport::Udp), from)
                .unwrap();
        }
    });
    std::thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            let mut length = [0; 2];
            while stream.read_exact(&mut length).is_ok() {
                let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut query).unwrap();
                let answer = answer(&query, Transport::Tcp);
                stream
                    .write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes())
                    .unwrap();
                stream.write_all(&answer).unwrap();
            }
        }
    });
    port
}

/// What a program says, both channels, once it has ended well.
fn say(program: &str, arguments: &str) -> String {
    let mut command = Command::new(program);
    command.args(arguments.split_whitespace());
    let output = command.output().unwrap_or_else(|why| {
        panic!("{program}: {why}; run: make setup (or tests/setup interop)");
    });
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(output.status.success(), "{program} {arguments}\n{said}");
    for complaint in [
        "WARNING",
        "Warning",
        "malformed",
        "bad packet",
        "extra bytes",
        "mismatch",
        "parse error",
        "timed out",
        "FORMERR:",
    ] {
        assert!(
            !said.contains(complaint),
            "{program} {arguments} complains: {complaint}\n{said}"
        );
    }
    said
}

/// dig asks, without what BIND adds of itself; all of `expected` is in what it says.
fn dig(port: u16, arguments: &str, expected: &[&str]) -> String {
    let said = say(
        "dig",
        &format!("@127.0.0.1 -p {port} +norecurse +tries=1 +time=5 +nocookie {arguments}"),
    );
    for part in expected {
        assert!(
            said.contains(part),
            "dig {arguments} does not say {part:?}:\n{said}"
        );
    }
    said
}

const ADDRESS: &str = "\tIN\tA\t10.77.0.9";

#[test]
fn dig_reads_addresses() {
    let port = serve();
    let whole = "status: NOERROR";
    let with_facts = "flags: qr aa; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 2";
    dig(
        port,
        "printer.acme.example A",
        &[
            whole,
            with_facts,
            ADDRESS,
            "EDNS: version: 0, flags:; udp: 1232",
            "\"v=1\"",
        ],
    );
    dig(
        port,
        "+edns=0 +bufsize=512 printer.acme.example",
        &[whole, "ADDITIONAL: 1", ADDRESS],
    );
    dig(
        port,
        "+edns=0 +bufsize=4096 +dnssec printer.acme.example",
        &[whole, with_facts, ADDRESS, "flags: do;"],
    );
    dig(
        port,
        "+noedns printer.acme.example",
        &[whole, "ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0", ADDRESS],
    );
    dig(
        port,
        "+noedns +tcp printer.acme.example",
        &[whole, "ADDITIONAL: 1", ADDRESS, "\"v=1\"", "(TCP)"],
    );
    dig(
        port,
        "+cookie +nsid +subnet=0/0 +padding=128 printer.acme.example",
        &[whole, ADDRESS],
    );
    dig(
        port,
        "pRiNtEr.AcMe.eXaMpLe",
        &[
            whole,
            ";pRiNtEr.AcMe.eXaMpLe.",
            "pRiNtEr.AcMe.eXaMpLe.\t30\tIN\tA",
        ],
    );
    dig(
        port,
        "+noall +answer +tcp +keepopen printer.acme.example",
        &[ADDRESS],
    );
}

#[test]
fn the_facts_survive_the_way_through_dig() {
    let port = serve();
    let said = dig(port, "+noall +additional printer.acme.example", &["\tIN\tTXT\t"]);
    let line = said.lines().find(|line| line.contains("\tTXT\t")).unwrap();
    let strings: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
    assert_eq!(facts::parse(&strings).unwrap(), printer());
}

#[test]
fn dig_reads_names_and_refusals() {
    let port = serve();
    dig(
        port,
        "-x 10.77.0.9",
        &[
            "status: NOERROR",
            "flags: qr aa;",
            "9.0.77.10.in-addr.arpa.\t30\tIN\tPTR\tprinter.acme.example.",
        ],
    );
    dig(port, "-x 10.77.0.8", &["status: SERVFAIL", "flags: qr;"]);
    dig(
        port,
        "scanner.acme.example",
        &["status: NXDOMAIN", "flags: qr aa;", "AUTHORITY: 0"],
    );
    dig(port, "www.example.org", &["status: SERVFAIL", "ANSWER: 0"]);
    dig(
        port,
        "printer.acme.example AAAA",
        &["status: NOTIMP", "ANSWER: 0"],
    );
    dig(port, "printer.acme.example ANY", &["status: NOTIMP"]);
    dig(port, "version.bind TXT CHAOS", &["status: NOTIMP"]);
    dig(
        port,
        "+opcode=STATUS printer.acme.example",
        &["status: NOTIMP", "opcode: STATUS"],
    );
    dig(port, "+opcode=IQUERY printer.acme.example", &["status: NOTIMP"]);
    dig(port, "+opcode=15 printer.acme.example", &["status: NOTIMP"]);
    dig(
        port,
        "+edns=1 +noednsneg printer.acme.example",
        &["status: BADVERS", "EDNS: version: 0"],
    );
    dig(port, "+header-only", &["status: FORMERR", "QUERY: 0"]);
}

#[test]
fn dig_falls_back_from_a_later_edns_by_itself() {
    let port = serve();
    dig(
        port,
        "+edns=5 +ednsneg printer.acme.example",
        &["status: NOERROR", ADDRESS],
    );
}

#[test]
fn delv_reads_answers() {
    let port = serve();
    for way in ["", "+tcp"] {
        let said = say(
            "delv",
            &format!("@127.0.0.1 -p {port} -i {way} printer.acme.example A"),
        );
        assert!(
            said.contains("printer.acme.example.") && said.contains("10.77.0.9"),
            "{said}"
        );
        let said = say("delv", &format!("@127.0.0.1 -p {port} -i {way} -x 10.77.0.9"));
        assert!(said.contains("PTR\tprinter.acme.example."), "{said}");
    }
}

#[test]
fn drill_reads_answers() {
    let port = serve();
    for way in ["", "-t", "-b 4096", "-D"] {
        let said = say(
            "drill",
            &format!("-p {port} {way} printer.acme.example @127.0.0.1 A"),
        );
        assert!(
            said.contains("rcode: NOERROR") && said.contains(ADDRESS),
            "{said}"
        );
    }
    let said = say("drill", &format!("-p {port} -x 10.77.0.9 @127.0.0.1"));
    assert!(said.contains("PTR\tprinter.acme.example."), "{said}");
    let said = say("drill", &format!("-p {port} scanner.acme.example @127.0.0.1 A"));
    assert!(said.contains("rcode: NXDOMAIN"), "{said}");
}
