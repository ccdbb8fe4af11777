//! What makes no manager although it is well written.

use super::manager::{LocalUser, Manager, Smtp, SmtpTls};
use super::{Config, RemoteManager};
use kith_api::config::Checker;
use kith_manager::core::Role;
use std::net::IpAddr;
use std::time::Duration;

pub(super) fn check(manager: &Manager, checker: &mut Checker) {
    checker.unless(manager.listen.port() != 0, "manager.listen", || {
        "the port must not be 0".into()
    });
    checker.unless(manager.tunnel.port() != 0, "manager.tunnel", || {
        "the port must not be 0".into()
    });
    checker.socket(&manager.admin_socket, "manager.admin_socket");
    if let Some(host) = &manager.public_host {
        checker.unless(
            kith_protocol::invitation::check_host(host),
            "manager.public_host",
            || format!("{host:?} is neither a host name nor an address"),
        );
    }
    if let Some(tunnel) = manager.public_tunnel {
        let possible = !tunnel.ip().is_unspecified() && tunnel.port() != 0;
        checker.unless(possible, "manager.public_tunnel", || {
            format!("{tunnel} cannot be reached")
        });
    }
    for (at, LocalUser { user, role }) in manager.local_users.iter().enumerate() {
        checker.unless(
            !user.is_empty(),
            format!("manager.local_users[{at}].user"),
            || "must not be empty".into(),
        );
        let known = role.parse::<Role>();
        checker.unless(known.is_ok(), format!("manager.local_users[{at}].role"), || {
            known.err().map_or_else(String::new, |why| why.to_string())
        });
    }
    let mail = &manager.mail;
    checker.unless(
        kith_manager::mail::check_address(&mail.from).is_ok(),
        "manager.mail.from",
        || {
            format!(
                "{:?} is not a mail address; write it as: Kith <kith@acme.example>",
                mail.from
            )
        },
    );
    checker.unless(
        mail.spool.is_none() || mail.smtp.is_none(),
        "manager.mail",
        || "either spool or smtp, not both".into(),
    );
    if let Some(server) = &mail.smtp {
        smtp(server, checker);
    }
    limits(manager, checker);
}

/// A manager elsewhere.
pub(super) fn remote(remote: &RemoteManager, config: &Config, checker: &mut Checker) {
    checker.unless(config.manager.is_none(), "remote_manager", || {
        "this controller has a section manager too; its directors have one manager: leave one of the two sections out".into()
    });
    checker.unless(remote.place().is_some(), "remote_manager.address", || {
        format!(
            "{:?} is not a host name or address and a port; write it as: manager.acme.example:443",
            remote.address
        )
    });
    checker.unless(remote.key().is_some(), "remote_manager.fingerprint", || {
        kith_protocol::tls::BadFingerprint.to_string()
    });
    let one = remote.token_file.is_none() || config.directors.len() == 1;
    checker.unless(one, "remote_manager.token_file", || {
        "a token is for one director; with several, each has its own under directors[…].token_file".into()
    });
}

fn smtp(server: &Smtp, checker: &mut Checker) {
    checker.unless(!server.host.trim().is_empty(), "manager.mail.smtp.host", || {
        "must not be empty".into()
    });
    checker.unless(server.port != Some(0), "manager.mail.smtp.port", || {
        "must not be 0".into()
    });
    let here = server.host == "localhost" || server.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    checker.unless(here || server.tls != SmtpTls::None, "manager.mail.smtp.tls", || {
        "letters hold codes: without TLS they only go to a server on this computer; use implicit or starttls".into()
    });
    let both = server.user.is_some() == server.password_file.is_some();
    checker.unless(both, "manager.mail.smtp", || {
        "user and password_file go together".into()
    });
}

fn limits(manager: &Manager, checker: &mut Checker) {
    let limits = &manager.limits;
    for (value, name) in [
        (limits.connections, "connections"),
        (limits.connections_per_source, "connections_per_source"),
        (limits.strangers, "strangers"),
        (limits.strangers_per_source, "strangers_per_source"),
        (limits.new_per_source as usize, "new_per_source"),
        (limits.calls_per_source as usize, "calls_per_source"),
    ] {
        checker.unless(
            (1..=1_000_000).contains(&value),
            format!("manager.limits.{name}"),
            || format!("{value} is not between 1 and 1000000"),
        );
    }
    let time = limits.stranger_time;
    let possible = (Duration::from_secs(1)..=Duration::from_secs(600)).contains(&time.0);
    checker.unless(possible, "manager.limits.stranger_time", || {
        format!("{time} is not between 1s and 10m")
    });
}
