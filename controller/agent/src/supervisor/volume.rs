//! What passed an adapter, by the kernel's own count: for the manager's accounting.

use std::fs;

/// Octets that applications have sent and received through this adapter; `None` if there is no such adapter.
#[must_use]
pub fn of(adapter: &str) -> Option<(u64, u64)> {
    // Of the network namespace that we are in, unlike /sys.
    parse(&fs::read_to_string("/proc/self/net/dev").ok()?, adapter)
}

fn parse(text: &str, adapter: &str) -> Option<(u64, u64)> {
    let numbers = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(adapter)?.strip_prefix(':'))?;
    let mut numbers = numbers.split_whitespace().map(str::parse::<u64>);
    // What the kernel transmits into a TUN is what applications sent.
    let received = numbers.next()?.ok()?;
    let sent = numbers.nth(7)?.ok()?;
    Some((sent, received))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1111       3    0    0    0     0          0         0    2222       4    0    0    0     0       0          0
kith0: 3333       5    0    0    0     0          0         0    4444       6    0    0    0     0       0          0
kith01:7777       5    0    0    0     0          0         0    8888       6    0    0    0     0       0          0
";

    #[test]
    fn an_adapter_is_found_by_its_whole_name() {
        assert_eq!(parse(TEXT, "kith0"), Some((4444, 3333)));
        assert_eq!(parse(TEXT, "kith01"), Some((8888, 7777)));
        assert_eq!(parse(TEXT, "kith"), None);
        assert!(of("lo").is_some());
    }
}
