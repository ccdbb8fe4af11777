//! What makes no dataplane although it is well written.

use super::{Config, Grant, Port, Rate};
use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

/// A value that cannot be used, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where: `ports[1].mtu`.
    pub at: String,
    /// What is wrong and what would be right.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

/// Mistakes are collected, not returned at the first.
struct Checker(Vec<Mistake>);

impl Checker {
    fn unless(&mut self, good: bool, at: impl Into<String>, what: impl FnOnce() -> String) {
        if !good {
            self.0.push(Mistake {
                at: at.into(),
                what: what(),
            });
        }
    }

    fn rate(&mut self, rate: Rate, at: &str) {
        let possible = rate.per_second > 0 && (1..=u32::MAX / 1000).contains(&rate.burst);
        self.unless(possible, at, || {
            format!(
                "per_second and burst must be positive, and burst at most {}",
                u32::MAX / 1000
            )
        });
    }
}

/// Ports and workers that fit the numbers used inside.
const MAX_PORTS: usize = 64;
const MAX_WORKERS: u16 = 64;
/// The largest pool: a /8.
const MAX_POOL: u32 = 1 << 24;

pub(super) fn check(config: &Config) -> Vec<Mistake> {
    let mut checker = Checker(Vec::new());
    machine(config, &mut checker);
    ports(config, &mut checker);
    director(config, &mut checker);
    grants(config, &mut checker);
    checker.0
}

fn machine(config: &Config, checker: &mut Checker) {
    checker.unless(!config.name.trim().is_empty(), "name", || {
        "must not be empty".into()
    });
    checker.unless((1..=MAX_WORKERS).contains(&config.workers), "workers", || {
        format!(
            "{} workers are not possible; choose 1 to {MAX_WORKERS}",
            config.workers
        )
    });
    let memory = config.eal.memory_mib;
    checker.unless((64..=1 << 20).contains(&memory), "eal.memory_mib", || {
        format!("{memory} MiB is not between 64 and 1048576")
    });
    for (i, core) in config.eal.cores.iter().enumerate() {
        let at = format!("eal.cores[{i}]");
        checker.unless(*core < 1024, &at, || format!("there is no CPU {core}"));
        checker.unless(!config.eal.cores[..i].contains(core), &at, || {
            format!("CPU {core} is listed twice")
        });
    }
    let idle = config.idle;
    let possible = idle.min_sleep_us >= 1 && idle.min_sleep_us <= idle.max_sleep_us;
    checker.unless(possible && idle.max_sleep_us <= 1_000_000, "idle", || {
        "min_sleep_us must be at least 1 and at most max_sleep_us, which is at most 1000000".into()
    });
    if let Some(rate) = config.sender_rate {
        checker.rate(rate, "sender_rate");
    }
    let socket = config.stats_socket.as_os_str().len();
    checker.unless((1..=107).contains(&socket), "stats_socket", || {
        format!("the path of a Unix socket has 1 to 107 octets, this one {socket}")
    });
}

fn ports(config: &Config, checker: &mut Checker) {
    let ports = &config.ports;
    checker.unless(!ports.is_empty(), "ports", || "there must be at least one".into());
    checker.unless(ports.len() <= MAX_PORTS, "ports", || {
        format!("{} ports are more than {MAX_PORTS}", ports.len())
    });
    for (i, port) in ports.iter().enumerate() {
        port_alone(port, &format!("ports[{i}]"), checker);
        for (j, other) in ports[..i].iter().enumerate() {
            checker.unless(
                device_name(port) != device_name(other),
                format!("ports[{i}].device"),
                || {
                    format!(
                        "{} is the device of ports[{j}] already; give it another number",
                        device_name(port)
                    )
                },
            );
            let (mine, theirs) = (port.address, other.address);
            checker.unless(!mine.overlaps(&theirs), format!("ports[{i}].address"), || {
                format!("{mine} overlaps with {theirs} of ports[{j}]: which one leads there would be chance")
            });
        }
    }
}

fn port_alone(port: &Port, at: &str, checker: &mut Checker) {
    let device = &port.device;
    let named = !device_name(port).is_empty() && !device.contains('\0');
    checker.unless(named, format!("{at}.device"), || {
        "name a virtual device, such as net_af_packet0,iface=eth0, or a PCI address".into()
    });
    let address = port.address.address;
    checker.unless(is_host(address), format!("{at}.address"), || {
        format!("{address} is no address that a host can have")
    });
    // A network of one or two addresses has no name and no broadcast (RFC 3021).
    let is_edge = |bits: u32| {
        let host_bits = u32::MAX
            .checked_shr(u32::from(port.address.prefix_len))
            .unwrap_or(0);
        host_bits > 1 && [0, host_bits].contains(&(bits & host_bits))
    };
    checker.unless(!is_edge(address.to_bits()), format!("{at}.address"), || {
        format!(
            "{} is the name or the broadcast address of its network",
            port.address
        )
    });
    if let Some(gateway) = port.gateway {
        let reachable = port.address.contains(gateway) && gateway != address;
        checker.unless(reachable, format!("{at}.gateway"), || {
            format!("{gateway} is not another host on {}", port.address)
        });
    }
    checker.unless((576..=9000).contains(&port.mtu), format!("{at}.mtu"), || {
        format!("{} is not between 576 and 9000", port.mtu)
    });
}

fn director(config: &Config, checker: &mut Checker) {
    let director = &config.director;
    let address = config.director_address();
    checker.unless(is_host(address), "director.address", || {
        format!("{address} is no address that a host can have")
    });
    checker.unless(director.udp_port != 0, "director.udp_port", || {
        "must not be 0".into()
    });
    let pool = director.pseudo_pool;
    let last = pool.first.to_bits().checked_add(pool.count.saturating_sub(1));
    let possible = (1..=MAX_POOL).contains(&pool.count)
        && !pool.first.is_unspecified()
        && last.is_some_and(|l| l < u32::MAX);
    checker.unless(possible, "director.pseudo_pool", || {
        format!("must hold 1 to {MAX_POOL} addresses between 0.0.0.1 and 255.255.255.254")
    });
    let (keep_alive, lifetime) = (director.keep_alive, director.session_lifetime);
    checker.unless(
        keep_alive.0 >= Duration::from_millis(200),
        "director.keep_alive",
        || format!("{keep_alive} is shorter than 200ms"),
    );
    checker.unless(
        keep_alive.0.saturating_mul(3) <= lifetime.0,
        "director.keep_alive",
        || {
            format!(
                "{keep_alive} must be at most a third of session_lifetime ({lifetime}), \
                 or a lost keep-alive ends the session"
            )
        },
    );
    checker.unless(
        lifetime.0 <= Duration::from_secs(86_400),
        "director.session_lifetime",
        || format!("{lifetime} is longer than 24h"),
    );
    let limits = director.limits;
    for (rate, name) in [
        (limits.member, "member"),
        (limits.strangers, "strangers"),
        (limits.source, "source"),
        (limits.pings, "pings"),
    ] {
        checker.rate(rate, &format!("director.limits.{name}"));
    }
}

fn grants(config: &Config, checker: &mut Checker) {
    let pool = config.director.pseudo_pool;
    let mut keys: HashMap<u64, &Grant> = HashMap::new();
    let mut pseudos: HashMap<Ipv4Addr, &Grant> = HashMap::new();
    let mut communities: HashMap<u16, &Grant> = HashMap::new();
    for grant in &config.director.grants {
        let at = |field: &str| format!("grant of {:?}, {field}", grant.name);
        checker.unless((1..=255).contains(&grant.name.len()), at("name"), || {
            "a name has 1 to 255 octets".into()
        });
        checker.unless(!grant.key.is_zero(), at("key"), || {
            "all zero; make one with: openssl rand -hex 32".into()
        });
        if let Some(other) = keys.insert(grant.key_id, grant) {
            checker.unless(false, at("key_id"), || {
                format!("{} is the key id of {:?} already", grant.key_id, other.name)
            });
        }
        checker.unless(grant.community.index != 0, at("community.index"), || {
            "must not be 0".into()
        });
        let known = *communities.entry(grant.community.index).or_insert(grant);
        checker.unless(known.community == grant.community, at("community"), || {
            format!(
                "index {} is {:?} for {:?} and {:?} here; one index is one community",
                grant.community.index, known.community.name, known.name, grant.community.name
            )
        });
        let Some(pseudo) = grant.pseudo else { continue };
        let inside = pseudo
            .to_bits()
            .checked_sub(pool.first.to_bits())
            .is_some_and(|index| index < pool.count);
        checker.unless(inside, at("pseudo"), || {
            format!(
                "{pseudo} is not among the {} addresses from {} on",
                pool.count, pool.first
            )
        });
        if let Some(other) = pseudos.insert(pseudo, grant) {
            checker.unless(false, at("pseudo"), || {
                format!("{pseudo} is reserved for {:?} already", other.name)
            });
        }
    }
}

/// The device without its arguments.
fn device_name(port: &Port) -> &str {
    port.device.split(',').next().unwrap_or_default()
}

/// Can a host have this address? (RFC 1122 section 3.2.1.3)
fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    (1..224).contains(&first) && first != 127
}
