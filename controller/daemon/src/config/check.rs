//! What makes no controller although it is well written.

use super::{Address, Config, Director, Grant, Rate, check_manager};
use kith_api::config::{Checker, Mistake, is_host};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Directors of one controller.
const MAX_DIRECTORS: usize = 256;
/// The largest pool: a /8.
const MAX_POOL: u32 = 1 << 24;

pub(super) fn check(config: &Config) -> Vec<Mistake> {
    let mut checker = Checker::default();
    checker.unless(!config.name.trim().is_empty(), "name", || {
        "must not be empty".into()
    });
    checker.unless(config.election_id != Some(0), "election_id", || {
        "0 is never primary; choose a positive number, or leave it out".into()
    });
    checker.socket(&config.status_socket, "status_socket");
    let directors = &config.directors;
    checker.unless(
        !directors.is_empty() || config.manager.is_some(),
        "directors",
        || "there must be at least one, or a section: manager".into(),
    );
    if let Some(manager) = &config.manager {
        check_manager::check(manager, &mut checker);
    }
    if let Some(remote) = &config.remote_manager {
        check_manager::remote(remote, config, &mut checker);
    }
    checker.unless(directors.len() <= MAX_DIRECTORS, "directors", || {
        format!("{} directors are more than {MAX_DIRECTORS}", directors.len())
    });
    for (i, director) in directors.iter().enumerate() {
        alone(director, &format!("directors[{i}]"), &mut checker);
        let remote = config.remote_manager.is_some();
        let token = format!("directors[{i}].token_file");
        checker.unless(remote || director.token_file.is_none(), &*token, || {
            "a token is for a manager elsewhere; add a section: remote_manager".into()
        });
        checker.unless(!remote || director.token_file.is_some(), token, || {
            "the remote manager needs a token of this director; make one with: kith director add NAME … --token, or: kith credential create \
             NAME --role director --director NAME"
                .into()
        });
        for (j, other) in directors[..i].iter().enumerate() {
            checker.unless(
                director.name != other.name,
                format!("directors[{i}].name"),
                || format!("{:?} is the name of directors[{j}] already", director.name),
            );
            let (mine, theirs) = (&director.dataplane, &other.dataplane);
            let same = mine.address == theirs.address && mine.device_id == theirs.device_id;
            checker.unless(!same, format!("directors[{i}].dataplane"), || {
                format!(
                    "{} device {} is that of directors[{j}] already",
                    mine.address, mine.device_id
                )
            });
        }
    }
    checker.mistakes()
}

fn alone(director: &Director, at: &str, checker: &mut Checker) {
    let letters = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = &director.name;
    let named = (1..=64).contains(&name.len()) && name.chars().all(letters) && !name.starts_with('.');
    checker.unless(named, format!("{at}.name"), || {
        "a name has 1 to 64 letters, digits, '-', '_' or '.', and begins with no dot".into()
    });
    dataplane(director, at, checker);
    let address = director.address;
    checker.unless(is_host(address), format!("{at}.address"), || {
        format!("{address} is no address that a host can have")
    });
    checker.unless(director.udp_port != 0, format!("{at}.udp_port"), || {
        "must not be 0".into()
    });
    checker.unless((576..=9000).contains(&director.mtu), format!("{at}.mtu"), || {
        format!("{} is not between 576 and 9000", director.mtu)
    });
    let pool = director.pseudo_pool;
    let last = pool.first.to_bits().checked_add(pool.count.saturating_sub(1));
    let possible = (1..=MAX_POOL).contains(&pool.count)
        && !pool.first.is_unspecified()
        && last.is_some_and(|last| last < u32::MAX);
    checker.unless(possible, format!("{at}.pseudo_pool"), || {
        format!("must hold 1 to {MAX_POOL} addresses between 0.0.0.1 and 255.255.255.254")
    });
    let (keep_alive, lifetime) = (director.keep_alive, director.session_lifetime);
    checker.unless(
        keep_alive.0 >= Duration::from_millis(200),
        format!("{at}.keep_alive"),
        || format!("{keep_alive} is shorter than 200ms"),
    );
    checker.unless(
        keep_alive.0.saturating_mul(3) <= lifetime.0,
        format!("{at}.keep_alive"),
        || {
            format!(
                "{keep_alive} must be at most a third of session_lifetime ({lifetime}), \
                 or a lost keep-alive ends the session"
            )
        },
    );
    checker.unless(
        lifetime.0 <= Duration::from_secs(86_400),
        format!("{at}.session_lifetime"),
        || format!("{lifetime} is longer than 24h"),
    );
    let limits = director.limits;
    for (limit, name) in [
        (Some(limits.member), "limits.member"),
        (Some(limits.strangers), "limits.strangers"),
        (Some(limits.source), "limits.source"),
        (Some(limits.pings), "limits.pings"),
        (director.sender_rate, "sender_rate"),
    ] {
        if let Some(limit) = limit {
            rate(limit, format!("{at}.{name}"), checker);
        }
    }
    grants(director, at, checker);
}

fn dataplane(director: &Director, at: &str, checker: &mut Checker) {
    let dataplane = &director.dataplane;
    match &dataplane.address {
        Address::Unix(path) => {
            checker.socket(path, format!("{at}.dataplane.address"));
            checker.unless(dataplane.tls.is_none(), format!("{at}.dataplane.tls"), || {
                "a Unix socket has no TLS: its file's permissions say who may connect".into()
            });
        }
        Address::Https { .. } => {
            checker.unless(dataplane.tls.is_some(), format!("{at}.dataplane.tls"), || {
                "https needs ca, certificate and key".into()
            });
        }
    }
}

fn grants(director: &Director, place: &str, checker: &mut Checker) {
    let pool = director.pseudo_pool;
    let mut keys: HashMap<u64, &Grant> = HashMap::new();
    let mut pseudos: HashMap<Ipv4Addr, &Grant> = HashMap::new();
    let mut communities: HashMap<u16, &Grant> = HashMap::new();
    for grant in &director.grants {
        let at = |field: &str| format!("{place}, grant of {:?}, {field}", grant.name);
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
        let index = pseudo.to_bits().checked_sub(pool.first.to_bits());
        let inside = index.is_some_and(|index| index < pool.count);
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

fn rate(rate: Rate, at: String, checker: &mut Checker) {
    let possible = rate.per_second > 0 && (1..=u32::MAX / 1000).contains(&rate.burst);
    checker.unless(possible, at, || {
        let most = u32::MAX / 1000;
        format!("per_second and burst must be positive, and burst at most {most}")
    });
}
