//! Everybody pings everybody, by virtual address and by name.

use super::{Check, Tour};
use crate::error::Error;

const COUNT: u32 = 5;

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let pairs = tour.pairs();
    let mut check = Check::of(format!(
        "every member pings every other by address and by name, {} ordered pairs, from the first packet on",
        pairs.len()
    ));
    let (joined, all) = (tour.members.len(), tour.topology.members().count());
    check.expect(joined == all, || format!("{joined} of {all} members are joined"));
    for (from, to) in &pairs {
        let (a, b) = (from.node.as_str(), to.node.as_str());
        let address = to.virtual_ip.to_string();
        // The very first packet between the two, to an address that nobody was told about: it waits while the manager is asked.
        let first = tour.on(a, 5, &["ping", "-n", "-q", "-c", "1", "-W", "3", &address])?;
        check.expect(first.ok, || {
            format!("{a} to {b}: the very first packet was lost\n{}", first.said())
        });
        let named = tour.on(a, 5, &["ping", "-c", "1", "-W", "2", to.fqdn.as_str()])?;
        let resolved = named.out.contains(&format!("({address})"));
        check.expect(named.ok && resolved, || {
            format!("{a} to {}: no answer by name\n{}", to.fqdn, named.said())
        });
        let ran = tour.on(
            a,
            10,
            &[
                "ping",
                "-n",
                "-q",
                "-c",
                &COUNT.to_string(),
                "-i",
                "0.1",
                "-W",
                "2",
                &address,
            ],
        )?;
        let result = parse(&ran.out);
        let answered = result.map_or(0, |result| result.answered);
        check.expect(answered == COUNT, || {
            format!("{a} to {b}: {answered} of {COUNT} answered\n{}", ran.said())
        });
        let pair = tour.figures.pair(a, b);
        pair.reached = answered > 0;
        pair.rtt_ms = result.and_then(|result| result.rtt_ms);
    }
    let times: Vec<f64> = tour
        .figures
        .pairs
        .values()
        .flat_map(|row| row.values())
        .filter_map(|pair| pair.rtt_ms)
        .collect();
    if !times.is_empty() {
        let (least, most) = times.iter().fold((f64::MAX, 0f64), |(least, most), time| {
            (least.min(*time), most.max(*time))
        });
        check.measure(format!("mean round trips from {least:.2} to {most:.2} ms"));
    }
    Ok(check)
}

/// What ping sums up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pings {
    pub(super) sent: u32,
    pub(super) answered: u32,
    pub(super) rtt_ms: Option<f64>,
}

/// Reads the summary of iputils' ping.
pub(super) fn parse(text: &str) -> Option<Pings> {
    let counts = text.lines().find(|line| line.contains("packets transmitted"))?;
    let mut parts = counts.split(", ");
    let number = |part: Option<&str>| part?.split_whitespace().next()?.parse().ok();
    let (sent, answered) = (number(parts.next())?, number(parts.next())?);
    let times = text
        .lines()
        .find_map(|line| line.split("min/avg/max/mdev = ").nth(1));
    let rtt_ms = times.and_then(|times| times.split('/').nth(1)?.parse().ok());
    Some(Pings {
        sent,
        answered,
        rtt_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_ping_is_read() {
        let text = "--- 10.77.0.2 ping statistics ---\n5 packets transmitted, 4 received, +1 errors, 20% packet loss, time 4ms\n\
                    rtt min/avg/max/mdev = 0.021/0.024/0.030/0.003 ms\n";
        let expected = Pings {
            sent: 5,
            answered: 4,
            rtt_ms: Some(0.024),
        };
        assert_eq!(parse(text), Some(expected));
        let silent = "2 packets transmitted, 0 received, 100% packet loss, time 1001ms\n";
        assert_eq!(
            parse(silent).map(|result| (result.answered, result.rtt_ms)),
            Some((0, None))
        );
        assert_eq!(parse("ping: nobody: Name or service not known"), None);
    }
}
