//! Two programs: a manager alone, and a private director of a site whose dataplane is a P4Runtime service with tables in memory.
//!
//! ```text
//!   manager ◄── TLS, token ── director prd1 ── P4Runtime ── tables
//!      ▲ Init, Join                               ▲ address request, through the tables' packets
//!      └───────────────── ada, behind the site's NAT
//! ```

mod common;

use common::member::{ADA, INSIDE, Member, admin, invite, listed, manager, runtime, until_async};
use common::{Dataplane, Running, standing, status, until, write};
use kith_controller::status::{Client, ManagerStanding, Part, Standing};
use kith_protocol::admin::{CredentialRequest, Director, Name, RevokeRequest};
use kith_protocol::member::{Director as Offer, Location};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const NAME: &str = "prd1";

/// Enters the director and makes its token.
async fn entered(folder: &Path) -> String {
    let mut admin = admin(folder).await;
    let director = Director {
        name: NAME.into(),
        private: true,
        address: "127.0.0.1".into(),
        private_address: "203.0.113.10".into(),
        port: 20202,
        udp: true,
        nat_addresses: vec!["127.0.0.1".into()],
        ..Director::default()
    };
    admin.put_director(director).await.unwrap();
    let wanted = CredentialRequest {
        name: "prd1-token".into(),
        role: "director".into(),
        director: NAME.into(),
        ..CredentialRequest::default()
    };
    admin.create_credential(wanted).await.unwrap().into_inner().token
}

/// A director's process: its configuration and its token, in a folder of its own.
fn director(folder: &Path, manager: &str, fingerprint: &str, token: &str) {
    fs::write(folder.join("token"), format!("{token}\n")).unwrap();
    fs::set_permissions(folder.join("token"), fs::Permissions::from_mode(0o600)).unwrap();
    let folder_ = folder.display();
    let text = format!(
        "name: site\nstate_dir: {folder_}/state\nstatus_socket: {folder_}/socket\nremote_manager:\n  address: {manager}\n  \
         fingerprint: \"{fingerprint}\"\n  token_file: token\ndirectors:\n- name: {NAME}\n  dataplane: {{ address: \
         \"unix:{folder_}/p4runtime\" }}\n  address: 203.0.113.10\n  pseudo_pool: {{ first: 240.0.0.1, count: 100 }}\n"
    );
    write(folder, &text);
}

fn attends(folder: &Path, wanted: ManagerStanding) -> kith_controller::status::ManagerLink {
    until(&format!("the manager is {wanted:?}"), || {
        let link = status(folder)?.directors.remove(0).manager?;
        (link.standing == wanted).then_some(link)
    })
}

/// A member takes the director that it is offered, and joins through it.
async fn joins(ada: &mut Member, dataplane: &Dataplane) -> Offer {
    let (mut join, offer) = ada.init().await;
    dataplane.session(offer.key_id, offer.key.clone().try_into().unwrap());
    join.location = Some(Location {
        director: offer.address,
        director_port: offer.port,
        // Behind a private director a member is named by its address there (figure 21).
        address: INSIDE.into(),
        port: 0,
    });
    ada.join(join).await;
    offer
}

#[test]
fn a_private_director_elsewhere_serves_members_and_lives_through_kills_of_either_side() {
    let (office, site) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (office, site) = (office.path(), site.path());
    write(office, &manager(office));
    let mut manager = Running::start(office);
    until("the manager answers", || status(office));
    let runtime = runtime();
    let (token, at, mut ada) = runtime.block_on(async {
        let token = entered(office).await;
        assert_eq!(listed(office).await.place, "never");
        let invitation = invite(office).await;
        let at = (
            format!("{}:{}", invitation.host, invitation.port),
            invitation.fingerprint.to_string(),
        );
        (token, at, Member::enrol(office, &invitation).await)
    });
    director(site, &at.0, &at.1, &token);
    let dataplane = Dataplane::start(site);
    let mut prd = Running::start(site);
    attends(site, ManagerStanding::Attended);
    standing(site, Standing::Serving);
    let offer = runtime.block_on(async {
        until_async("the manager hears that it serves", async || {
            listed(office).await.health == "healthy"
        })
        .await;
        let known = listed(office).await;
        assert_eq!(known.place, "attended");
        assert!(known.attended_from.starts_with("127.0.0.1:") && known.since_ms > 0);
        joins(&mut ada, &dataplane).await
    });
    assert!(offer.private && offer.name == NAME);
    let tables = dataplane.tables();
    assert!(!tables.1.is_empty(), "what relays is written");
    runtime.block_on(until_async("its session is reported", async || {
        listed(office).await.sessions == 1
    }));

    // The manager is killed: what relays stays as it is, and a member that is known gets a session.
    manager.kill();
    let away = attends(site, ManagerStanding::Away);
    assert!(away.why.is_some());
    dataplane.session(offer.key_id, offer.key.clone().try_into().unwrap());
    let tables = dataplane.tables();

    // The director too: it waits for the manager, and its dataplane goes on alone.
    prd.kill();
    prd = Running::start(site);
    attends(site, ManagerStanding::Away);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(status(site).unwrap().directors[0].standing, Standing::Away);
    assert_eq!(dataplane.tables(), tables);

    // Both are there again: the session comes back, and nothing was written.
    manager = Running::start(office);
    attends(site, ManagerStanding::Attended);
    let again = standing(site, Standing::Serving);
    assert_eq!((again.directors[0].restored, again.directors[0].sessions), (1, 1));
    assert_eq!(dataplane.tables(), tables);
    let grants = Client::connect(site.join("socket"))
        .unwrap()
        .grants(Part::default())
        .unwrap()
        .grants;
    assert_eq!((grants[0].name.as_str(), grants[0].key_id), (ADA, offer.key_id));

    // The manager alone is killed: the same grants, told again, end nothing.
    manager.kill();
    attends(site, ManagerStanding::Away);
    manager = Running::start(office);
    let link = attends(site, ManagerStanding::Attended);
    assert_eq!(link.streams, 2);
    assert_eq!(dataplane.tables(), tables);

    // Out is out, at the director too.
    runtime.block_on(async {
        let asked = RevokeRequest {
            fqdn: ADA.into(),
            reason: "lost".into(),
        };
        admin(office).await.revoke_member(asked).await.unwrap();
    });
    until("its session is over", || {
        let status = status(site)?;
        (status.directors[0].sessions == 0 && status.directors[0].grants == 0).then_some(())
    });
    until("nothing relays any more", || {
        let (_, senders, sessions) = dataplane.tables();
        (senders.is_empty() && sessions.is_empty()).then_some(())
    });

    // A token that was taken back ends the stream.
    runtime.block_on(async {
        let name = Name {
            name: "prd1-token".into(),
        };
        admin(office).await.delete_credential(name).await.unwrap();
    });
    let away = attends(site, ManagerStanding::Away);
    assert!(away.why.is_some(), "{away:?}");
    runtime.block_on(until_async("nobody new is sent there", async || {
        let known = listed(office).await;
        known.place == "lost" && known.health == "down"
    }));
    assert_eq!((manager.signal("-TERM"), prd.signal("-TERM")), (Some(0), Some(0)));
    let key: String = offer.key.iter().map(|octet| format!("{octet:02x}")).collect();
    let list = format!("{:?}", &offer.key[..8]);
    for folder in [office, site] {
        let log = fs::read_to_string(folder.join("log")).unwrap();
        let secrets = [&token[5..], &key[..16], list.trim_matches(['[', ']'])];
        assert!(
            secrets.iter().all(|secret| !log.contains(secret)),
            "a secret is in the log"
        );
    }
}
