//! Operators who write without a pause, each its own things, over the Unix socket.

use super::ledger::Ledger;
use kith_protocol::admin::admin_client::AdminClient;
use kith_protocol::admin::{ApplyRequest, Community, Invitee, Network, Policy};
use kith_protocol::tls::unix;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// After a connection is lost.
const PAUSE: Duration = Duration::from_millis(5);
/// Policies that one application changes together.
pub const POLICIES: u64 = 4;
/// Members that one application brings, in place of those of the application before.
pub const MEMBERS: u64 = 2;

/// What every writer needs.
#[derive(Clone)]
pub struct Desk {
    pub socket: PathBuf,
    pub spool: PathBuf,
    pub ledger: Arc<Ledger>,
    pub stop: Arc<AtomicBool>,
}

impl Desk {
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// An operator's connection, as soon as there is a manager.
    pub async fn admin(&self) -> Option<AdminClient<Channel>> {
        while !self.stopped() {
            if let Ok(channel) = unix(&self.socket).await {
                return Some(AdminClient::new(channel));
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    /// Is this what a killed manager leaves behind? Anything else is a manager that lives and refuses what it should not.
    pub fn is_cut(&self, what: &str, status: &Status) -> bool {
        let cut = matches!(
            status.code(),
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
        );
        if !cut {
            self.ledger
                .wrong(format!("{what}: {:?}, {}", status.code(), status.message()));
        }
        cut
    }
}

pub fn community(domain: &str, second: u8, number: u64) -> Community {
    Community {
        domain: domain.to_owned(),
        pools: vec![format!("10.{second}.0.0/16")],
        description: number.to_string(),
        ..Community::default()
    }
}

fn policy(domain: &str, id: u64, number: u64) -> Policy {
    Policy {
        id: format!("p{id}"),
        community: domain.to_owned(),
        level: "domain".into(),
        allow: true,
        from: "any".into(),
        to: "any".into(),
        services: vec![format!("tcp/{}", 1000 + id)],
        comment: number.to_string(),
        ..Policy::default()
    }
}

/// Changes a community's description, again and again.
pub async fn describes(desk: Desk, domain: String, second: u8) {
    let mut number = 0;
    while let Some(mut admin) = desk.admin().await {
        loop {
            if desk.stopped() {
                return;
            }
            number += 1;
            let what = format!("community/{domain}");
            desk.ledger.try_for(&what, number);
            match admin.update_community(community(&domain, second, number)).await {
                Ok(_) => desk.ledger.kept(&what, number),
                Err(status) => {
                    desk.is_cut(&what, &status);
                    break;
                }
            }
        }
    }
}

/// Changes eight policies, one after the other.
pub async fn decides(desk: Desk, domain: String) {
    let mut number = 0;
    while let Some(mut admin) = desk.admin().await {
        loop {
            if desk.stopped() {
                return;
            }
            number += 1;
            let policy = policy(&domain, number % 8, number);
            let what = format!("policy/{domain}/{}", policy.id);
            desk.ledger.try_for(&what, number);
            match admin.put_policy(policy).await {
                Ok(_) => desk.ledger.kept(&what, number),
                Err(status) => {
                    desk.is_cut(&what, &status);
                    break;
                }
            }
        }
    }
}

/// Applies a whole network, again and again: its community, its policies and, if `members`, its members, all with the same number.
pub async fn applies(desk: Desk, domain: String, second: u8, members: bool) {
    let what = format!("apply/{domain}");
    let mut number = 0;
    while let Some(mut admin) = desk.admin().await {
        loop {
            if desk.stopped() {
                return;
            }
            number += 1;
            let invitee = |place: u64| Invitee {
                fqdn: format!("g{number}-{place}.{domain}"),
                email: format!("g{number}@{domain}"),
                ..Invitee::default()
            };
            let network = Network {
                communities: vec![community(&domain, second, number)],
                policies: (0..POLICIES).map(|id| policy(&domain, id, number)).collect(),
                members: (0..if members { MEMBERS } else { 0 }).map(invitee).collect(),
                ..Network::default()
            };
            let request = ApplyRequest {
                network: Some(network),
                prune: true,
                no_mail: true,
                ..ApplyRequest::default()
            };
            desk.ledger.try_for(&what, number);
            match admin.apply(request).await {
                Ok(answer) => {
                    assert!(answer.into_inner().applied);
                    desk.ledger.kept(&what, number);
                }
                Err(status) => {
                    desk.is_cut(&what, &status);
                    break;
                }
            }
        }
    }
}
