//! Invited, changed, thrown out, deleted.

use super::*;
use kith_protocol::member::peer_gone::Why;
use kith_protocol::member::refusal::Code;

/// A director for devices behind NAT.
fn director() -> Command {
    Command::PutDirector(a::Director {
        name: "d1".into(),
        address: "203.0.113.9".into(),
        port: 4500,
        udp: true,
        ..a::Director::default()
    })
}

fn revoke(fqdn: &str) -> Command {
    Command::RevokeMember(a::RevokeRequest {
        fqdn: fqdn.into(),
        reason: "stolen".into(),
    })
}

#[test]
fn the_invitation_in_the_mail_lets_a_device_in_and_nothing_on_disk_does() {
    let mut world = world();
    let AdminReply::Invitations(answer) = done(&mut world, invitation(invitee("pc.acme.example"), 7)) else {
        panic!()
    };
    let [one] = answer.invitations.as_slice() else {
        panic!("one")
    };
    assert_eq!(
        (one.fqdn.as_str(), one.mailed_to.as_str()),
        ("pc.acme.example", "pc@mail.example")
    );
    assert_eq!(one.expires_ms, world.now.0 + 7 * 86_400_000);
    let read = kith_protocol::invitation::Invitation::parse(&one.text).unwrap();
    assert_eq!(
        (read.host.as_str(), read.port, read.fqdn.as_str()),
        ("manager.acme.example", 443, "pc.acme.example")
    );
    assert_eq!(*read.password, *password(7).password);
    let (_, mail) = world.mails.last().unwrap();
    assert_eq!(mail.to, "pc@mail.example");
    assert!(mail.body.contains(&one.text));
    assert!(!on_disk(&world, &*read.password) && !on_disk(&world, one.text.as_bytes()));

    let mut agent = Agent::new("pc.acme.example", MemberId(7));
    agent.id = world.manager.state().id_named("pc.acme.example").unwrap();
    agent.enroll(&mut world);
    agent.up(&mut world);
    assert_eq!(agent.address().to_string(), "10.77.0.2");
}

#[test]
fn a_name_is_invited_once_unless_it_is_said_again() {
    let mut world = world();
    let mut old = joined(&mut world, invitee("pc.acme.example"));
    let error = refused(&mut world, invitation(invitee("pc.acme.example"), 8));
    assert_eq!(
        error,
        "pc.acme.example is a member already; to invite again, so that the device that registered before is out, add --again"
    );
    assert_eq!(world.member(&old).state_word(), "joined");

    let bare = a::Invitee {
        fqdn: "pc.acme.example".into(),
        ..a::Invitee::default()
    };
    let asked = a::InviteRequest {
        invitees: vec![bare],
        again: true,
        ..a::InviteRequest::default()
    };
    done(&mut world, Command::Invite(asked, vec![password(8)]));
    let heard = world.heard(&old);
    assert!(matches!(changes(&heard)[..], [Change::Ended(refusal)] if refusal.code() == Code::Superseded));
    assert_eq!(old.try_up(&mut world).unwrap_err().code(), Code::NotRegistered);

    let mut new = Agent::new("pc.acme.example", MemberId(8));
    new.id = old.id;
    new.enroll(&mut world);
    new.up(&mut world);
    assert_eq!(new.address(), old.address());
    let dropped = world.call(old.from, Call::Init, old.init(3));
    assert!(matches!(dropped, Answer::Dropped(DropCause::NotAuthentic)));
}

#[test]
fn all_invitees_are_invited_or_none() {
    let mut world = world();
    let invitees = vec![
        invitee("a.acme.example"),
        a::Invitee {
            address: "10.77.0.1".into(),
            ..invitee("b.acme.example")
        },
    ];
    let asked = a::InviteRequest {
        invitees,
        ..a::InviteRequest::default()
    };
    let error = refused(&mut world, Command::Invite(asked, passwords(2)));
    assert_eq!(
        error,
        "member b.acme.example: 10.77.0.1 is the manager's own; choose another"
    );
    assert_eq!(world.manager.state().member_count(), 0);
    assert!(world.mails.is_empty());
}

#[test]
fn what_is_wrong_with_an_invitee_is_said_with_what_to_do() {
    let mut world = world();
    let with = |change: &dyn Fn(&mut a::Invitee)| {
        let mut one = invitee("pc.acme.example");
        change(&mut one);
        invitation(one, 1)
    };
    let cases: [(Command, &str); 7] = [
        (
            with(&|one| one.fqdn = "pc.globex.example".into()),
            "create it first: kith community create globex.example",
        ),
        (
            with(&|one| one.fqdn = "acme.example".into()),
            "there is no community example",
        ),
        (
            with(&|one| one.email.clear()),
            "it is needed, for the confirmation code goes there",
        ),
        (
            with(&|one| one.email = "pc@mail.example\r\nBcc: x@y".into()),
            "is no mail address",
        ),
        (
            with(&|one| one.address = "10.78.0.5".into()),
            "the pools are 10.77.0.0/24",
        ),
        (
            with(&|one| one.address = "10.77.0.255".into()),
            "is no address for members",
        ),
        (with(&|one| one.tags = vec!["two words".into()]), "is no tag"),
    ];
    for (command, words) in cases {
        let error = refused(&mut world, command);
        assert!(error.contains(words), "{error}");
    }
    joined(
        &mut world,
        a::Invitee {
            address: "10.77.0.9".into(),
            ..invitee("pc.acme.example")
        },
    );
    let error = refused(
        &mut world,
        invitation(
            a::Invitee {
                address: "10.77.0.9".into(),
                ..invitee("tv.acme.example")
            },
            2,
        ),
    );
    assert_eq!(
        error,
        "member tv.acme.example: 10.77.0.9 belongs to pc.acme.example; choose another"
    );
}

#[test]
fn who_is_revoked_is_out_at_once_and_everybody_concerned_knows() {
    let mut world = world();
    done(&mut world, director());
    let pc = joined(
        &mut world,
        a::Invitee {
            user: "alice".into(),
            ..invitee("pc.acme.example")
        },
    );
    let mut thief = invited(
        &mut world,
        a::Invitee {
            tags: vec!["mobile".into()],
            ..invitee("thief.acme.example")
        },
    );
    thief.behind_nat("192.168.1.5");
    thief.enroll(&mut world);
    thief.up(&mut world);
    let stranger = joined(&mut world, invitee("stranger.acme.example"));
    done(
        &mut world,
        policy("p", false, "user:alice", "tag:mobile", "tcp/22"),
    );
    pc.meet(&mut world, &thief);
    let address = thief.address();
    for agent in [&pc, &thief, &stranger] {
        world.heard(agent);
    }
    world.channels.clear();
    world.grants.clear();
    world.ends.clear();
    world.events.clear();

    done(&mut world, revoke("thief.acme.example"));
    let heard = world.heard(&thief);
    assert!(matches!(changes(&heard)[..], [Change::Ended(refusal)]
        if refusal.code() == Code::Revoked && refusal.reason == "an operator has revoked this member: stolen"));
    assert_eq!(world.ends, [(thief.stream.unwrap(), StreamEnd::Told)]);
    assert!(matches!(world.channels[..], [ChannelOp::Remove { member }] if member == thief.id));
    assert!(matches!(&world.grants[..], [GrantOp::Remove { director, .. }] if &**director == "d1"));
    let heard = world.heard(&pc);
    let [Change::Gone(gone), Change::Policy(policy)] = changes(&heard)[..] else {
        panic!("{heard:?}")
    };
    assert_eq!((gone.why(), gone.virtual_address), (Why::Revoked, address.into()));
    let names_it =
        |rule: &kith_protocol::member::Rule| [rule.source, rule.destination].contains(&address.into());
    assert!(!policy.rules.iter().any(names_it));
    assert!(world.heard(&stranger).is_empty());
    let kinds: Vec<&str> = world.events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["member.out", "member.revoked"]);

    assert_eq!(thief.try_up(&mut world).unwrap_err().code(), Code::Revoked);
    world.restart();
    assert_eq!(thief.try_up(&mut world).unwrap_err().code(), Code::Revoked);
    let error = refused(&mut world, revoke("thief.acme.example"));
    assert!(
        error.starts_with(
            "thief.acme.example is revoked already (stolen); to let it in again: kith member invite --again"
        ),
        "{error}"
    );
    // Until it is deleted, nobody else is taken for it.
    let other = joined(&mut world, invitee("other.acme.example"));
    assert_ne!(other.address(), address);
}

#[test]
fn who_is_deleted_leaves_no_trace_but_in_the_audit_log() {
    let mut world = world();
    let mut pc = joined(&mut world, invitee("pc.acme.example"));
    let address = pc.address();
    done(&mut world, Command::DeleteMember(name("PC.acme.example.")));
    let heard = world.heard(&pc);
    assert!(matches!(changes(&heard)[..], [Change::Ended(_)]));
    let left: Vec<&String> = world
        .disk
        .entries
        .keys()
        .filter(|key| key.contains("pc") || key.starts_with("address/"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let dropped = world.call(pc.from, Call::Init, pc.init(1));
    assert!(matches!(dropped, Answer::Dropped(DropCause::Unknown)));
    pc = joined(&mut world, invitee("tv.acme.example"));
    assert_eq!(pc.address(), address);
    assert!(
        refused(&mut world, Command::DeleteMember(name("pc.acme.example")))
            .contains("kith member list --community acme.example")
    );
}

#[test]
fn another_address_is_had_by_joining_again() {
    let mut world = world();
    let mut pc = joined(&mut world, invitee("pc.acme.example"));
    let tv = joined(&mut world, invitee("tv.acme.example"));
    tv.meet(&mut world, &pc);
    world.heard(&tv);
    let wish = |address: &str| {
        let email = "pc@mail.example".into();
        Command::UpdateMember(Box::new(a::Member {
            fqdn: "pc.acme.example".into(),
            email,
            virtual_address: address.into(),
            ..a::Member::default()
        }))
    };
    let error = refused(&mut world, wish(&tv.address().to_string()));
    assert_eq!(
        error,
        "member pc.acme.example: 10.77.0.3 belongs to tv.acme.example; choose another"
    );
    assert!(world.heard(&pc).is_empty());

    let AdminReply::Member(shown) = done(&mut world, wish("10.77.0.50")) else {
        panic!()
    };
    assert!(shown.address_reserved && shown.virtual_address == "10.77.0.50");
    let heard = world.heard(&pc);
    assert!(matches!(changes(&heard)[..], [Change::Ended(refusal)] if refusal.code() == Code::NotJoined));
    let heard = world.heard(&tv);
    assert!(matches!(changes(&heard)[..], [Change::Gone(gone)] if gone.why() == Why::Left));
    pc.new_run();
    pc.up(&mut world);
    assert_eq!(pc.address().to_string(), "10.77.0.50");
}

#[test]
fn what_was_read_can_be_written_back_and_changes_nothing() {
    let mut world = world();
    let pc = joined(
        &mut world,
        a::Invitee {
            tags: vec!["b".into(), "a".into()],
            ..invitee("pc.acme.example")
        },
    );
    let AdminReply::Members(listed) = done(&mut world, Command::ListMembers(a::MemberQuery::default()))
    else {
        panic!()
    };
    let read = listed.members[0].clone();
    assert_eq!(
        (
            read.state.as_str(),
            read.virtual_address.as_str(),
            read.address_reserved
        ),
        ("joined", "10.77.0.2", false)
    );
    let AdminReply::Member(written) = done(&mut world, Command::UpdateMember(Box::new(read.clone()))) else {
        panic!()
    };
    assert_eq!(*written, read);
    assert!(world.heard(&pc).is_empty());
}

#[test]
fn pages_hold_every_member_once() {
    let mut world = world();
    done(
        &mut world,
        Command::CreateCommunity(community("aardvark.example", &["10.78.0.0/24"])),
    );
    let names: Vec<String> = (0..7)
        .map(|at| format!("m{at}.{}", ["acme.example", "aardvark.example"][at % 2]))
        .collect();
    for fqdn in &names {
        invited(&mut world, invitee(fqdn));
    }
    let mut found = Vec::new();
    let mut query = a::MemberQuery {
        limit: 2,
        ..a::MemberQuery::default()
    };
    loop {
        let AdminReply::Members(page) = done(&mut world, Command::ListMembers(query.clone())) else {
            panic!()
        };
        found.extend(page.members.iter().map(|member| member.fqdn.clone()));
        query.after = found.last().unwrap().clone();
        if !page.more {
            break;
        }
    }
    let mut expected = names;
    expected.sort_by_key(|fqdn| (fqdn.split_once('.').unwrap().1.to_owned(), fqdn.clone()));
    assert_eq!(found, expected);
    let query = a::MemberQuery {
        pattern: "M?.acme.*".into(),
        states: vec!["not-registered".into()],
        ..a::MemberQuery::default()
    };
    let AdminReply::Members(page) = done(&mut world, Command::ListMembers(query)) else {
        panic!()
    };
    assert_eq!(page.members.len(), 4);
    let query = a::MemberQuery {
        states: vec!["online".into()],
        ..a::MemberQuery::default()
    };
    assert!(
        refused(&mut world, Command::ListMembers(query)).contains("there are not-registered, registering")
    );
}

#[test]
fn pages_of_accounting_are_full_although_most_members_never_joined() {
    let mut world = world();
    for number in 0..10 {
        invited(&mut world, invitee(&format!("a{number}.acme.example")));
    }
    for name in ["m.acme.example", "n.acme.example", "z.acme.example"] {
        joined(&mut world, invitee(name));
    }
    let mut query = a::MemberQuery {
        limit: 2,
        ..a::MemberQuery::default()
    };
    let mut pages = Vec::new();
    loop {
        let AdminReply::Accounting(list) = done(&mut world, Command::ListAccounting(query.clone())) else {
            panic!("not accounting")
        };
        let names: Vec<String> = list.records.into_iter().map(|record| record.fqdn).collect();
        query.after = names.last().cloned().unwrap_or_default();
        pages.push(names);
        if !list.more {
            break;
        }
    }
    assert_eq!(
        pages,
        [vec!["m.acme.example", "n.acme.example"], vec!["z.acme.example"]]
    );
}

#[test]
fn accounting_tells_what_a_session_under_way_has_used() {
    let mut world = world();
    let pc = joined(&mut world, invitee("pc.acme.example"));
    invited(&mut world, invitee("never.acme.example"));
    world.pass(10_000);
    pc.heartbeat(&mut world, 1000, 2000);
    let AdminReply::Accounting(list) = done(&mut world, Command::ListAccounting(a::MemberQuery::default()))
    else {
        panic!()
    };
    let [used] = list.records.as_slice() else {
        panic!("one")
    };
    assert_eq!(
        (used.fqdn.as_str(), used.joined, used.sessions),
        ("pc.acme.example", true, 1)
    );
    assert_eq!(
        (used.joined_ms, used.octets_sent, used.octets_received),
        (10_000, 1000, 2000)
    );
}
