//! Members as people read them.

use crate::manager::pages;
use crate::manager::span::{ago, since};
use crate::manager::view::Member;
use crate::manager::words::{facts, or_dash};
use crate::output;

pub(super) fn describe(now: u64, member: &Member) -> String {
    let behind = if member.behind_nat { ", behind a NAT" } else { "" };
    let state = match member.reason.as_str() {
        "" => member.state.clone(),
        reason => format!("{}: {reason}", member.state),
    };
    let address = match member.address_reserved {
        true => format!("{}, always", member.virtual_address),
        false => member.virtual_address.clone(),
    };
    let observed = match member.observed_address.as_str() {
        "" => String::new(),
        address => format!("{address}{behind}"),
    };
    facts(&[
        ("member", member.fqdn.clone()),
        ("community", member.community.clone()),
        ("state", state),
        ("user", member.user.clone()),
        ("email", member.email.clone()),
        ("platform", member.platform.clone()),
        ("tags", member.tags.join(", ")),
        ("virtual address", address),
        ("director", member.director.clone()),
        ("reached at", member.location.clone()),
        ("own address", member.local_address.clone()),
        ("seen as", observed),
        ("program", member.program.clone()),
        (
            "heard",
            if member.heard_ms == 0 {
                String::new()
            } else {
                ago(now, member.heard_ms)
            },
        ),
        ("joined", since(now, member.joined_ms)),
        ("registered", since(now, member.registered_ms)),
        ("invited", since(now, member.created_ms)),
        ("identity", member.identity.clone()),
    ])
}

pub(super) fn table(now: u64, members: &[Member], more: bool) -> String {
    if members.is_empty() {
        return "no member\n".into();
    }
    let rows: Vec<Vec<String>> = members
        .iter()
        .map(|member| {
            vec![
                member.fqdn.clone(),
                member.state.clone(),
                or_dash(&member.virtual_address),
                or_dash(&member.user),
                or_dash(&member.platform),
                or_dash(&member.director),
                or_dash(&member.location),
                ago(now, member.heard_ms),
            ]
        })
        .collect();
    let headers = [
        "member",
        "state",
        "address",
        "user",
        "platform",
        "director",
        "reached at",
        ">heard",
    ];
    output::table(&headers, &rows) + pages::more(more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_protocol::admin;

    const NOON: u64 = 1_772_366_407_000;

    fn laptop() -> Member {
        admin::Member {
            fqdn: "laptop.acme.example".into(),
            community: "acme.example".into(),
            user: "alice".into(),
            email: "alice@acme.example".into(),
            platform: "linux".into(),
            state: "joined".into(),
            virtual_address: "10.77.0.2".into(),
            registered_ms: NOON - 90_000_000,
            joined_ms: NOON - 3_660_000,
            director: "nrd1".into(),
            location: "240.0.0.7 at 203.0.113.10:20202".into(),
            local_address: "192.168.1.10".into(),
            observed_address: "198.51.100.1".into(),
            behind_nat: true,
            program: "kith-agent 0.1.0".into(),
            heard_ms: NOON - 4_200,
            address_reserved: true,
            tags: vec!["staff".into(), "printers".into()],
            created_ms: NOON - 180_000_000,
            identity: "ed25519:00".into(),
            ..admin::Member::default()
        }
        .into()
    }

    #[test]
    fn a_member_reads_like_this() {
        let mut revoked = laptop();
        revoked.state = "revoked".into();
        revoked.reason = "stolen".into();
        (revoked.director, revoked.location, revoked.heard_ms) = (String::new(), String::new(), 0);
        insta::assert_snapshot!(
            [
                describe(NOON, &laptop()),
                describe(NOON, &revoked),
                table(NOON, &[laptop(), revoked], true)
            ]
            .join("\n")
        );
    }
}
