//! Virtual addresses that are kept for members: in a pool, not the manager's, and kept for one only.

use super::refer::Refs;
use crate::{Code, Fqdn, Prefix, diagnostic::Sink, written::Topology};
use std::{collections::HashMap, net::Ipv4Addr};

pub(crate) fn check(w: &Topology, refs: &Refs, sink: &mut Sink<'_>) {
    let mut kept: HashMap<(usize, Ipv4Addr), &Fqdn> = HashMap::new();
    for (device, refs) in w.devices.iter().zip(&refs.devices) {
        let Some(device) = device.get() else { continue };
        for (member, community) in device.members.iter().zip(&refs.communities) {
            let address = member
                .get()
                .and_then(|member| Some((member, member.address.as_ref()?.at()?)));
            let (Some((member, (address, span))), Some(community)) = (address, *community) else {
                continue;
            };
            let Some(pools) = pools(w, community) else {
                continue;
            };
            if !pools.iter().any(|pool| pool.is_host(*address)) {
                let list: Vec<_> = pools.iter().map(ToString::to_string).collect();
                let message = format!("{address} is no member's address in {}", list.join(", "));
                let help = "choose one of the community's pools, neither the first nor the last address";
                sink.error(span, Code::AddressOutside, message, help);
                continue;
            }
            let first = pools[0].network().to_bits().saturating_add(1);
            if address.to_bits() == first {
                let message = format!("{address} is the manager's own: it has the first of the first pool");
                sink.error(span, Code::DuplicateAddress, message, "choose another");
                continue;
            }
            let Some(name) = member.name.get() else { continue };
            if let Some(other) = kept.insert((community, *address), name) {
                let message = format!("{address} is kept for `{other}` already");
                sink.error(span, Code::DuplicateAddress, message, "choose another");
            }
        }
    }
}

/// The community's pools, if all could be read and there is one.
fn pools(w: &Topology, community: usize) -> Option<Vec<Prefix>> {
    let pools = &w.communities[community].get()?.pools;
    let pools: Vec<Prefix> = pools
        .iter()
        .map(|pool| pool.get().copied())
        .collect::<Option<_>>()?;
    (!pools.is_empty()).then_some(pools)
}
