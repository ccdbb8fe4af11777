//! The manager's section, compiled.

use crate::config::{self, Config, ConfigError, STATE, Smtp, SmtpTls};
use kith_api::config::read_private;
use kith_manager::core::{self, Rate};
use kith_manager::mail::{self, MailSettings, SmtpSettings, Way};
use kith_manager::serve::limits::Limits;
use kith_manager::serve::{LocalUser, Public, Settings};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The store's name in the state folder.
const STORE: &str = "store.db";
/// The mail folder's.
const SPOOL: &str = "spool";

pub(super) fn state(config: &Config) -> PathBuf {
    config.state_dir.clone().unwrap_or_else(|| STATE.into())
}

/// What was checked, for the server.
pub(super) fn compile(wanted: &config::Manager, state: &Path) -> Result<Settings, ConfigError> {
    let mut public = Public::guess(wanted.public_host.clone(), wanted.listen, wanted.tunnel);
    if let Some(tunnel) = wanted.public_tunnel {
        public.tunnel = tunnel;
    }
    let users = wanted.local_users.iter().filter_map(|user| {
        // It was checked that these are roles.
        let role = user.role.parse().ok()?;
        Some(LocalUser {
            user: user.user.clone(),
            role,
        })
    });
    let asked = &wanted.limits;
    let limits = Limits {
        known: asked.connections,
        known_per_source: asked.connections_per_source,
        strangers: asked.strangers,
        strangers_per_source: asked.strangers_per_source,
        rate_per_source: asked.new_per_source,
        stranger: asked.stranger_time.0,
        ..Limits::default()
    };
    let source = Rate {
        per_second: asked.calls_per_source,
        burst: asked.calls_per_source.saturating_mul(10),
    };
    Ok(Settings {
        store: state.join(STORE),
        listen: wanted.listen,
        tunnel: wanted.tunnel,
        public,
        local_users: users.collect(),
        mail: mail(&wanted.mail, state)?,
        metrics: wanted.metrics,
        limits,
        core_limits: core::Limits {
            source,
            ..core::Limits::default()
        },
        times: core::Times::default(),
    })
}

fn mail(wanted: &config::Mail, state: &Path) -> Result<MailSettings, ConfigError> {
    let way = match (&wanted.smtp, &wanted.spool) {
        (Some(server), _) => Way::Smtp(smtp(server)?),
        (None, Some(folder)) => Way::Spool(folder.clone()),
        (None, None) => Way::Spool(state.join(SPOOL)),
    };
    Ok(MailSettings {
        from: wanted.from.clone(),
        way,
    })
}

fn smtp(server: &Smtp) -> Result<SmtpSettings, ConfigError> {
    let (tls, port) = match server.tls {
        SmtpTls::Implicit => (mail::SmtpTls::Implicit, 465),
        SmtpTls::StartTls => (mail::SmtpTls::StartTls, 587),
        SmtpTls::None => (mail::SmtpTls::None, 25),
    };
    let login = match (&server.user, &server.password_file) {
        (Some(user), Some(file)) => {
            let password = read_private(file)?;
            Some((
                user.clone(),
                Zeroizing::new(password.trim_end_matches(['\r', '\n']).to_owned()),
            ))
        }
        _ => None,
    };
    Ok(SmtpSettings {
        host: server.host.clone(),
        port: server.port.unwrap_or(port),
        tls,
        login,
    })
}
