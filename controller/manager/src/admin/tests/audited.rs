//! Who did what, and who was not allowed to.

use super::*;

#[test]
fn every_act_is_recorded_with_who_did_it() {
    let mut world = world();
    invited(&mut world, invitee("pc.acme.example"));
    let asked = a::RevokeRequest {
        fqdn: "pc.acme.example".into(),
        reason: "left the company".into(),
    };
    by(&mut world, Role::Operator, Command::RevokeMember(asked))
        .ok()
        .unwrap();
    let record = audit(&world).pop().unwrap();
    assert_eq!(
        (record.actor.as_str(), record.role.as_str()),
        ("token operator", "operator")
    );
    assert_eq!(
        (record.action.as_str(), record.subject.as_str()),
        ("member.revoke", "pc.acme.example")
    );
    assert_eq!(
        (record.detail.as_str(), record.allowed, record.at_ms),
        ("left the company", true, world.now.0)
    );
}

/// Of all that is kept, but for the audit log.
fn keys(world: &World) -> Vec<String> {
    let keys = world.disk.entries.keys();
    keys.filter(|key| !key.starts_with("audit/")).cloned().collect()
}

#[test]
fn a_backup_is_recorded_although_it_changes_nothing() {
    let mut world = world();
    let operated = world.manager.state().operated();
    done(&mut world, Command::Backup);
    let record = audit(&world).pop().unwrap();
    assert_eq!(
        (record.action.as_str(), record.actor.as_str(), record.allowed),
        ("manager.backup", "token admin", true)
    );
    assert_eq!(world.manager.state().operated(), operated, "plans still hold");
    assert!(by(&mut world, Role::Operator, Command::Backup).is_err());
    assert!(!audit(&world).pop().unwrap().allowed);
}

#[test]
fn what_was_refused_is_recorded_too_and_changed_nothing() {
    let mut world = world();
    invited(&mut world, invitee("pc.acme.example"));
    let before = keys(&world);
    let Err(error) = by(
        &mut world,
        Role::Viewer,
        Command::DeleteMember(name("pc.acme.example")),
    ) else {
        panic!("granted")
    };
    assert_eq!(
        error.to_string(),
        "member.delete needs the role operator; token viewer has viewer"
    );
    let record = audit(&world).pop().unwrap();
    assert_eq!(
        (record.action.as_str(), record.allowed, record.detail),
        ("member.delete", false, error.to_string())
    );
    assert!(by(&mut world, Role::Operator, Command::DeleteCommunity(name(DOMAIN))).is_err());
    assert!(!audit(&world).pop().unwrap().allowed);
    refused(&mut world, Command::DeleteMember(name("nobody.acme.example")));
    assert!(!audit(&world).pop().unwrap().allowed);
    let after = keys(&world);
    assert_eq!(before, after);
}

#[test]
fn looking_is_not_recorded() {
    let mut world = world();
    let (records, commits) = (audit(&world).len(), world.disk.revision);
    for command in [
        Command::Status,
        Command::ListCommunities,
        Command::ListDirectors,
        Command::Export(a::ExportRequest::default()),
    ] {
        by(&mut world, Role::Viewer, command).ok().unwrap();
    }
    assert_eq!((audit(&world).len(), world.disk.revision), (records, commits));
    assert!(by(&mut world, Role::Viewer, Command::ListCredentials).is_err());
    assert_eq!(audit(&world).len(), records + 1);
}

#[test]
fn nobody_is_answered_before_the_record_is_on_disk() {
    let mut world = world();
    world.quick_disk = false;
    let token = world.token();
    let actor = Actor {
        name: "token ci".into(),
        role: Role::Admin,
    };
    let command = Command::CreateCommunity(community("globex.example", &["10.78.0.0/24"]));
    world.input(Input::Admin {
        token,
        actor,
        command,
    });
    assert!(world.admin_answers.is_empty() && world.events.is_empty());
    assert_eq!(world.commits.len(), 1);
    world.commit();
    world.settle();
    assert!(world.admin_answers.remove(&token).unwrap().is_ok());
    assert_eq!(world.events.len(), 1);
    assert_eq!(audit(&world).len(), 1);
}
