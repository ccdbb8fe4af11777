//! What is seen on the public side: outer header, our port, shim, ESP; and no octet of what members say to each other.
//!
//! A pattern is sent in pings and in an HTTP body. It must be in no packet of the public network, and, or the search itself would prove
//! nothing, it must be in what the receiver's adapter sees.

use super::capture::{Capture, Seen, judge};
use super::member::Member;
use super::tools::Running;
use super::{Check, Tour, files};
use crate::error::Error;
use crate::lab::plan::Kind;
use std::time::Duration;
use std::{fs, process};

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let Some((from, to)) = tour.pairs().into_iter().next() else {
        return Ok(Check::skip("there are no two members of one community"));
    };
    let mut check = Check::of(format!(
        "tcpdump of the public network while {} and {} exchange a known pattern",
        from.node, to.node
    ));
    // Of this run alone, printable, and 16 octets: the longest that ping takes.
    let marker = format!("KITH{:012}", process::id());
    let public = tour
        .record
        .of(Kind::Network)
        .map(|node| node.name.clone())
        .next()
        .unwrap_or_default();
    let outside = sniff(tour, &public, "any", "outside")?;
    let inside = sniff(tour, to.node.as_str(), &to.adapter, "inside")?;
    talk(tour, &mut check, &from, &to, &marker)?;
    // Let the last packets be written.
    tour.stop.sleep(Duration::from_millis(300))?;
    outside.finish();
    inside.finish();
    let (Some(outside), Some(inside)) = (read(tour, "outside"), read(tour, "inside")) else {
        check.expect(false, || {
            format!(
                "tcpdump wrote no capture\n{}\n{}",
                tour.log("outside.log"),
                tour.log("inside.log")
            )
        });
        return Ok(check);
    };
    let port = tour.topology.udp_port;
    let seen: Vec<Seen> = outside.packets().map(|packet| judge(packet, port)).collect();
    let count = |what| seen.iter().filter(|seen| **seen == what).count();
    let (esp, keying) = (count(Seen::Esp), count(Seen::Keying));
    let (clear, control) = (count(Seen::Clear), count(Seen::Control));
    let no_shim = count(Seen::NoShim);
    let (leaked, arrived) = (outside.count(marker.as_bytes()), inside.count(marker.as_bytes()));
    check.measure(format!(
        "outside: {esp} packets of outer IPv4 | UDP {port} | shim | IPv4 protocol 50 (ESP), {keying} of key agreement, {} for the director",
        control
    ));
    check.measure(format!(
        "the pattern `{marker}`: {arrived} times on {}'s adapter, {leaked} times outside",
        to.node
    ));
    check.expect(esp > 0, || "no ESP was seen outside".into());
    check.expect(clear == 0, || {
        format!("{clear} packets outside carry a virtual packet that is not ESP")
    });
    check.expect(no_shim == 0, || {
        format!("{no_shim} packets on port {port} outside have no shim")
    });
    check.expect(leaked == 0, || {
        format!("the pattern stands {leaked} times in what was seen outside")
    });
    check.expect(arrived >= 100, || {
        format!("the pattern stands only {arrived} times in what arrived: the search proves nothing")
    });
    Ok(check)
}

/// Pings with the pattern, and a file full of it.
fn talk(tour: &Tour, check: &mut Check, from: &Member, to: &Member, marker: &str) -> Result<(), Error> {
    let folder = tour.work.join("marked");
    let made =
        fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join("marked"), marker.repeat(2000)));
    made.map_err(|source| Error::Io {
        doing: "write",
        path: folder.clone(),
        source,
    })?;
    let pattern: String = marker.bytes().map(|octet| format!("{octet:02x}")).collect();
    let (a, b, address) = (from.node.as_str(), to.node.as_str(), to.virtual_ip.to_string());
    let pinged = tour.on(
        a,
        10,
        &[
            "ping", "-n", "-q", "-c", "5", "-i", "0.1", "-s", "400", "-p", &pattern, &address,
        ],
    )?;
    check.expect(pinged.ok, || {
        format!("{a} to {b}: pings with the pattern failed\n{}", pinged.said())
    });
    // The body travels from a to b: where the capture inside is.
    let _server = files::serve(tour, a, &from.virtual_ip.to_string(), &folder)?;
    let url = format!("http://{}:8080/marked", from.fqdn);
    let got = tour.on(
        b,
        15,
        &[
            "curl",
            "-sS",
            "--fail",
            "-o",
            "/dev/null",
            "-w",
            "%{size_download}",
            &url,
        ],
    )?;
    let size = (marker.len() * 2000).to_string();
    check.expect(got.out.trim() == size, || {
        format!("{a} to {b}: the file with the pattern failed\n{}", got.said())
    });
    Ok(())
}

/// tcpdump on an interface of a node, listening when this returns.
pub(super) fn sniff(tour: &Tour, node: &str, interface: &str, name: &str) -> Result<Running, Error> {
    let (file, log) = (
        tour.work.join(format!("{name}.pcap")).display().to_string(),
        format!("{name}.log"),
    );
    // Root all along: the folder is root's alone. Each packet at once: what waits in a ring when tcpdump is ended is lost.
    let argv = [
        "tcpdump",
        "--immediate-mode",
        "-Z",
        "root",
        "-U",
        "-n",
        "-B",
        "16384",
        "-s",
        "0",
        "-i",
        interface,
        "-w",
        &file,
    ];
    let running = tour.background(node, &log, &argv)?;
    let pause = Duration::from_millis(50);
    let listening = tour.stop.wait(pause * 100, pause, || {
        Ok(tour.log(&log).contains("listening on").then_some(()))
    })?;
    match listening {
        Some(()) => Ok(running),
        None => Err(Error::Command {
            command: argv.join(" "),
            stderr: tour.log(&log),
        }),
    }
}

/// What tcpdump wrote.
pub(super) fn read(tour: &Tour, name: &str) -> Option<Capture> {
    let path = tour.work.join(format!("{name}.pcap"));
    let capture = Capture::new(fs::read(&path).ok()?);
    let _left_for_down = fs::remove_file(path);
    capture
}
