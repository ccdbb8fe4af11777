//! Path MTU: what is too big is answered, what just fits passes, TCP never sends too big.
//!
//! ```text
//!  alice ── 1500 ── director ── 1500 ── NAT ── 1400 ── bob      outer packets carry DF
//!    ping too big ──► NAT: ICMP too-big ──► director: session's MTU is 1400
//!    ping too big ──► director: ICMP too-big ──► alice's agent: path MTU is 1400 ──► ping: "Frag needed, mtu = …"
//! ```

use super::member::Member;
use super::{Check, Tour, files};
use crate::error::Error;
use kith_pipeline::host::virtual_mtu;
use std::fs;

/// IPv4 and ICMP headers around ping's data.
const PING_HEADERS: u16 = 28;
/// ESP carries a fragment whole, behind a second virtual header; the MTU leaves room for that. A packet that is no fragment passes
/// with so many octets more.
const FRAGMENT_ROOM: u16 = 20;
/// IPv4 and TCP headers without options around a segment.
const TCP_HEADERS: u16 = 40;
/// Too-big requests in a row.
const PROBES: u32 = 6;
/// Of those, how many may vanish: the one that meets the narrow link tells the director, the next one the member.
const SILENT: u32 = 2;

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let mut check = Check::of(
        "pings with DF, too big and exactly fitting, on every path; MSS of TCP SYNs on the narrow ones",
    );
    for (from, to) in tour.pairs() {
        probe(tour, &mut check, &from, &to)?;
    }
    let narrow = |member: &Member| path(tour, member, member) < tour.topology.public.mtu;
    let pair = tour
        .pairs()
        .into_iter()
        .find(|(from, to)| narrow(to) && !narrow(from));
    match pair {
        Some((from, to)) => clamped(tour, &mut check, &from, &to)?,
        None => check.measure("no site is narrower than the public network, so no MSS is clamped"),
    }
    Ok(check)
}

/// The largest outer packet between two members.
fn path(tour: &Tour, from: &Member, to: &Member) -> u16 {
    let of = |member: &Member| {
        let site = tour
            .topology
            .sites
            .iter()
            .find(|site| Some(&site.name) == member.location.site());
        site.map_or(tour.topology.public.mtu, |site| site.wan_mtu)
    };
    of(from).min(of(to))
}

fn probe(tour: &Tour, check: &mut Check, from: &Member, to: &Member) -> Result<(), Error> {
    let (a, b) = (from.node.as_str(), to.node.as_str());
    let fits = virtual_mtu(path(tour, from, to));
    let address = to.virtual_ip.to_string();
    // Nothing that was learnt before counts.
    tour.on(a, 5, &["ip", "route", "flush", "cache"])?;
    let size = (fits + FRAGMENT_ROOM + 1 - PING_HEADERS).to_string();
    let count = PROBES.to_string();
    let big = tour.on(
        a,
        15,
        &[
            "ping", "-n", "-M", "do", "-s", &size, "-c", &count, "-i", "0.3", "-W", "1", &address,
        ],
    )?;
    let said = format!("{}{}", big.out, big.err);
    let told = told(&said, fits);
    check.expect(told > 0, || {
        format!(
            "{a} to {b}: a packet of {} octets is not answered with an MTU of {fits}\n{}",
            fits + FRAGMENT_ROOM + 1,
            big.said()
        )
    });
    let silent = PROBES.saturating_sub(told);
    check.expect(silent <= SILENT, || {
        format!(
            "{a} to {b}: {silent} of {PROBES} packets too big vanished in silence\n{}",
            big.said()
        )
    });
    let size = (fits - PING_HEADERS).to_string();
    let fitting = tour.on(
        a,
        10,
        &[
            "ping", "-n", "-q", "-M", "do", "-s", &size, "-c", "3", "-i", "0.1", "-W", "2", &address,
        ],
    )?;
    let answered = super::ping::parse(&fitting.out).map_or(0, |result| result.answered);
    check.expect(answered == 3, || {
        format!(
            "{a} to {b}: of 3 packets of exactly {fits} octets {answered} were answered\n{}",
            fitting.said()
        )
    });
    check.measure(format!("{a} to {b}: {fits} octets pass, {} are answered with \"MTU {fits}\" ({silent} of {PROBES} spent on finding out)", fits + FRAGMENT_ROOM + 1));
    Ok(())
}

/// How many requests were answered with this MTU: by an ICMP message, or by the kernel that remembers one or knows its adapter's.
fn told(said: &str, mtu: u16) -> u32 {
    let forms = ["mtu = ", "mtu=", "mtu: "].map(|form| format!("{form}{mtu}"));
    let ends = |line: &str, text: &str| {
        let after = line.split(text).nth(1)?;
        Some(!after.starts_with(|c: char| c.is_ascii_digit()))
    };
    let answers = said
        .lines()
        .filter(|line| forms.iter().find_map(|form| ends(line, form)) == Some(true));
    answers.count() as u32
}

/// The SYN of a connection into the narrow site, as sent and as it arrives.
fn clamped(tour: &Tour, check: &mut Check, from: &Member, to: &Member) -> Result<(), Error> {
    let (a, b) = (from.node.as_str(), to.node.as_str());
    let fits = virtual_mtu(path(tour, from, to));
    let folder = tour.work.join("mss");
    let made = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join("some"), vec![b'x'; 300_000]));
    made.map_err(|source| Error::Io {
        doing: "write",
        path: folder.clone(),
        source,
    })?;
    let _server = files::serve(tour, b, &to.virtual_ip.to_string(), &folder)?;
    let argv = [
        "tcpdump",
        "--immediate-mode",
        "-lnn",
        "-i",
        "kith0",
        "-c",
        "1",
        "tcp[13] & 18 = 2",
    ];
    let sniffers = [
        (a, tour.background(a, "syn-sent", &argv)?),
        (b, tour.background(b, "syn-arrived", &argv)?),
    ];
    for name in ["syn-sent", "syn-arrived"] {
        let pause = std::time::Duration::from_millis(50);
        tour.stop.wait(pause * 60, pause, || {
            Ok(tour.log(name).contains("listening on").then_some(()))
        })?;
    }
    // The kernel's own knowledge of the path would make the SYN small by itself.
    tour.on(a, 5, &["ip", "route", "flush", "cache"])?;
    let url = format!("http://{}:8080/some", to.fqdn);
    let got = tour.on(
        a,
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
    check.expect(got.out.trim() == "300000", || {
        format!(
            "{a} to {b}: TCP through the narrow site does not work\n{}",
            got.said()
        )
    });
    for (_, sniffer) in sniffers {
        sniffer.finish();
    }
    let (sent, arrived) = (mss(&tour.log("syn-sent")), mss(&tour.log("syn-arrived")));
    let most = fits - TCP_HEADERS;
    check.expect(arrived.is_some_and(|mss| mss <= most), || {
        format!(
            "{a} to {b}: a SYN with MSS {arrived:?} arrived; at most {most} fits\n{}",
            tour.log("syn-arrived")
        )
    });
    let shown = |mss: Option<u16>| mss.map_or_else(|| "none".into(), |mss| mss.to_string());
    check.measure(format!(
        "{a} to {b}: TCP SYN sent with MSS {}, arrived with MSS {} (at most {most} fits)",
        shown(sent),
        shown(arrived)
    ));
    Ok(())
}

fn mss(tcpdump: &str) -> Option<u16> {
    let after = tcpdump.split("mss ").nth(1)?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_with_the_right_mtu_are_told_from_others() {
        let said = "From 10.77.0.1 icmp_seq=2 Frag needed and DF set (mtu = 1298)\n                    ping: local error: message too long, mtu=1298\nping: local error: message too long, mtu: 1298\n                    From 10.77.0.1 icmp_seq=3 Frag needed and DF set (mtu = 12980)\n1307 bytes from 10.77.0.2: icmp_seq=4 ttl=64\n";
        assert_eq!(told(said, 1298), 3);
        assert_eq!(told(said, 1398), 0);
    }

    #[test]
    fn the_mss_of_a_syn_is_read() {
        let line = "IP 10.77.0.1.40000 > 10.77.0.2.8080: Flags [S], seq 1, win 64240, options [mss 1258,sackOK], length 0";
        assert_eq!(mss(line), Some(1258));
        assert_eq!(mss("listening on kith0"), None);
    }
}
