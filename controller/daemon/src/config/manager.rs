//! The manager's section, as written. Everything has a default: without a configuration file a manager runs on these.

use super::Span;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

/// Where a manager keeps its state if the file says nothing.
pub const STATE: &str = "/var/lib/kith-controller";

/// The manager.
///
/// ```yaml
/// manager:
///   public_host: manager.acme.example        # what invitations name; without it, this computer's address
///   mail:
///     from: "Kith <kith@acme.example>"
///     smtp: { host: mail.acme.example, port: 465, tls: implicit, user: kith, password_file: smtp.password }
///   local_users: [{ user: alice, role: operator }]
///   metrics: 127.0.0.1:9464
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Manager {
    /// Where members and remote operators connect: TLS over TCP.
    pub listen: SocketAddrV4,
    /// Where packets of the tunnel are taken: UDP.
    pub tunnel: SocketAddrV4,
    /// Name or address under which members reach it, for invitations. It counts the first time; later: `kith manager set`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_host: Option<String>,
    /// Address under which members reach the tunnel, if a NAT is between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_tunnel: Option<SocketAddrV4>,
    /// Where local operators ask.
    pub admin_socket: PathBuf,
    /// Who beside root and the controller's own user may ask there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub local_users: Vec<LocalUser>,
    /// How letters go.
    pub mail: Mail,
    /// Where metrics are served, for Prometheus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
    /// How much of it one may take.
    pub limits: ManagerLimits,
}

/// A user of this computer, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalUser {
    /// Its name, or its number.
    pub user: String,
    /// `viewer`, `operator` or `admin`.
    pub role: String,
}

/// How letters go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mail {
    /// Who they are from.
    pub from: String,
    /// A folder of `.eml` files; without it, and without `smtp`, the folder `spool` of `state_dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spool: Option<PathBuf>,
    /// A mail server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp: Option<Smtp>,
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// Its name, which its certificate is for.
    pub host: String,
    /// Its port; without it, 465, 587 or 25 as `tls` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How the way there is protected.
    #[serde(default)]
    pub tls: SmtpTls,
    /// Its user, if it wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A file with the user's password, readable by its owner only. A relative path begins at the folder of this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// How the way to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// TLS from the first octet.
    #[default]
    Implicit,
    /// STARTTLS, which it must offer.
    StartTls,
    /// None: only on this computer.
    None,
}

/// How much of the manager one may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ManagerLimits {
    /// Connections of members and operators who have proved who they are.
    pub connections: usize,
    /// Of those, from one source address: as many as members behind one NAT.
    pub connections_per_source: usize,
    /// Connections of those who have not proved anything yet.
    pub strangers: usize,
    /// Of those, from one source address.
    pub strangers_per_source: usize,
    /// New connections a second from one source address; ten times as many at once.
    pub new_per_source: u32,
    /// Members' calls a second from one source address; ten times as many at once.
    pub calls_per_source: u32,
    /// How long somebody stays connected who proves nothing.
    pub stranger_time: Span,
}

impl Default for Manager {
    fn default() -> Self {
        Self {
            listen: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 443),
            tunnel: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, kith_wire::shim::DEFAULT_PORT),
            public_host: None,
            public_tunnel: None,
            admin_socket: kith_protocol::tls::ADMIN_SOCKET.into(),
            local_users: Vec::new(),
            mail: Mail::default(),
            metrics: None,
            limits: ManagerLimits::default(),
        }
    }
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            from: "Kith <kith@localhost>".into(),
            spool: None,
            smtp: None,
        }
    }
}

impl Default for ManagerLimits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_source: 1_024,
            strangers: 2_048,
            strangers_per_source: 256,
            new_per_source: 100,
            calls_per_source: 200,
            stranger_time: Span::from_secs(15),
        }
    }
}
