//! What makes no dataplane although it is well written.

use super::{Checker, Config, Mistake, Port, is_host};

/// Ports and workers that fit the numbers used inside.
const MAX_PORTS: usize = 64;
const MAX_WORKERS: u16 = 64;
/// The most security associations of each direction: 128 MiB of room.
const MAX_ASSOCIATIONS: u32 = 1 << 20;
/// The most sessions: a /8.
const MAX_SESSIONS: u32 = 1 << 24;

pub(super) fn check(config: &Config) -> Vec<Mistake> {
    let mut checker = Checker::default();
    machine(config, &mut checker);
    ports(config, &mut checker);
    sessions(config, &mut checker);
    p4runtime(config, &mut checker);
    checker.mistakes()
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
    checker.unless(config.associations <= MAX_ASSOCIATIONS, "associations", || {
        format!("{} are more than {MAX_ASSOCIATIONS}", config.associations)
    });
    let idle = config.idle;
    let possible = idle.min_sleep_us >= 1 && idle.min_sleep_us <= idle.max_sleep_us;
    checker.unless(possible && idle.max_sleep_us <= 1_000_000, "idle", || {
        "min_sleep_us must be at least 1 and at most max_sleep_us, which is at most 1000000".into()
    });
    checker.socket(&config.stats_socket, "stats_socket");
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

fn sessions(config: &Config, checker: &mut Checker) {
    let sessions = config.sessions;
    let last = sessions
        .first
        .to_bits()
        .checked_add(sessions.count.saturating_sub(1));
    let possible = (1..=MAX_SESSIONS).contains(&sessions.count)
        && !sessions.first.is_unspecified()
        && last.is_some_and(|last| last < u32::MAX);
    checker.unless(possible, "sessions", || {
        format!("must be 1 to {MAX_SESSIONS} addresses between 0.0.0.1 and 255.255.255.254")
    });
}

fn p4runtime(config: &Config, checker: &mut Checker) {
    let p4runtime = &config.p4runtime;
    checker.socket(&p4runtime.unix, "p4runtime.unix");
    checker.unless(p4runtime.unix != config.stats_socket, "p4runtime.unix", || {
        "is stats_socket already; two services need two sockets".into()
    });
    checker.unless(p4runtime.device_id != 0, "p4runtime.device_id", || {
        "must not be 0, which stands for no device".into()
    });
    let Some(tcp) = &p4runtime.tcp else { return };
    checker.unless(tcp.listen.port() != 0, "p4runtime.tcp.listen", || {
        "name a port; 9559 is P4Runtime's own".into()
    });
    for (file, at) in [
        (&tcp.certificate, "certificate"),
        (&tcp.key, "key"),
        (&tcp.client_ca, "client_ca"),
    ] {
        checker.unless(
            !file.as_os_str().is_empty(),
            format!("p4runtime.tcp.{at}"),
            || "name a PEM file".into(),
        );
    }
}

/// The device without its arguments.
fn device_name(port: &Port) -> &str {
    port.device.split(',').next().unwrap_or_default()
}
