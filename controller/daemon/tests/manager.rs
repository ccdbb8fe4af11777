//! The program as a manager, alone and beside a director whose dataplane is a P4Runtime service with tables in memory.

mod common;

use common::member::{ADA, Member, admin, invite, listed, manager, runtime, until_async};
use common::{Dataplane, Running, standing, status, until, write};
use kith_controller::status::{Client, Part, Standing};
use kith_protocol::admin::Empty;
use kith_protocol::member::Location;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn director(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "directors:\n- name: nrd1\n  dataplane: {{ address: \"unix:{folder}/p4runtime\" }}\n  address: 203.0.113.10\n  \
         pseudo_pool: {{ first: 240.0.0.1, count: 100 }}\n"
    )
}

#[test]
fn a_manager_alone_invites_enrols_and_keeps_all_over_kills_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, &manager(folder));
    let mut running = Running::start(folder);
    until("it answers", || status(folder));
    let socket = fs::metadata(folder.join("admin.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let runtime = runtime();
    let ada = runtime.block_on(async {
        let invitation = invite(folder).await;
        Member::enrol(folder, &invitation).await
    });
    assert_eq!(ada.file.community, "acme.example");
    for stop in ["-KILL", "-TERM", "-KILL"] {
        let code = running.signal(stop);
        assert_eq!(code, (stop == "-TERM").then_some(0));
        running = Running::start(folder);
        until("it answers again", || status(folder));
        let status = runtime.block_on(async {
            admin(folder)
                .await
                .get_status(Empty {})
                .await
                .unwrap()
                .into_inner()
        });
        assert_eq!((status.communities, status.members), (1, 1));
        let kept = ada.file.managers[0]
            .fingerprint
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect::<String>();
        assert_eq!(status.fingerprint, format!("sha256:{kept}"));
    }
    running.signal("-TERM");
    assert!(!folder.join("admin.sock").exists() && !folder.join("socket").exists());
}

#[test]
fn a_director_beside_the_manager_is_listed_gets_grants_and_brings_its_sessions_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, &(manager(folder) + &director(folder)));
    let mut running = Running::start(folder);
    standing(folder, Standing::Away);
    let dataplane = Dataplane::start(folder);
    standing(folder, Standing::Serving);
    let runtime = runtime();
    let known = runtime.block_on(async {
        until_async("the manager hears that it serves", async || {
            listed(folder).await.health == "healthy"
        })
        .await;
        listed(folder).await
    });
    assert_eq!(
        (known.name.as_str(), known.address.as_str(), known.capacity),
        ("nrd1", "203.0.113.10", 100)
    );

    let offer = runtime.block_on(async {
        let invitation = invite(folder).await;
        let mut ada = Member::enrol(folder, &invitation).await;
        let (mut join, offer) = ada.init().await;
        let pseudo = dataplane.session(offer.key_id, offer.key.clone().try_into().unwrap());
        join.location = Some(Location {
            director: offer.address,
            director_port: offer.port,
            address: pseudo.into(),
            port: 0,
        });
        ada.join(join).await;
        offer
    });
    let grants = Client::connect(folder.join("socket"))
        .unwrap()
        .grants(Part::default())
        .unwrap()
        .grants;
    assert_eq!((grants[0].name.as_str(), grants[0].key_id), (ADA, offer.key_id));
    assert_eq!(grants[0].community, "acme.example");

    // Sessions come back because grants are there before the journal is read.
    running.signal("-KILL");
    let _running = Running::start(folder);
    let status = standing(folder, Standing::Serving);
    assert_eq!(
        (status.directors[0].restored, status.directors[0].sessions),
        (1, 1)
    );

    // Out is out, at the director too.
    runtime.block_on(async {
        let asked = kith_protocol::admin::RevokeRequest {
            fqdn: ADA.into(),
            reason: "lost".into(),
        };
        admin(folder).await.revoke_member(asked).await.unwrap();
    });
    until("its session is over", || {
        (standing(folder, Standing::Serving).directors[0].sessions == 0).then_some(())
    });
}
