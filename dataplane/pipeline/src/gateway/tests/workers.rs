//! Several workers do what one does: whoever gets a packet of another's association hands it over, and has done nothing to it.

use super::inbound::sealed_as;
use super::world::*;
use crate::Verdict;
use crate::reason::DropReason;
use crate::units::{PortIndex, SaIndex, WorkerIndex};
use kith_esp::{Inbound, Limits, Millis, NO_NEXT_HEADER};
use kith_wire::ipv4::PROTOCOL_UDP;
use proptest::prelude::*;

/// Associations 3 and 5 of three workers are those of the first and of the last.
const WORKERS: u16 = 3;

/// All that a worker has counted.
fn counted(side: &Side) -> (u64, u64, (u64, u64), (u64, u64)) {
    (
        side.counters.all_drops(),
        side.counters.all_punts(),
        side.direct.association.get(0),
        side.direct.member.get(0),
    )
}

/// Gives a frame to a worker, and to whom it is handed over; who decided, and what.
fn run(workers: &mut [Side], at: usize, ingress: PortIndex, frame: &[u8]) -> (usize, Verdict, Vec<u8>) {
    let before = counted(&workers[at]);
    let (verdict, after) = workers[at].run(ingress, frame);
    let Verdict::HandOver(WorkerIndex(owner)) = verdict else {
        return (at, verdict, after);
    };
    assert_eq!(after, frame, "handed over as it came");
    assert_eq!(counted(&workers[at]), before, "and not counted");
    let owner = usize::from(owner);
    assert_ne!(owner, at);
    let (verdict, after) = workers[owner].run(ingress, frame);
    (owner, verdict, after)
}

#[derive(Debug, Clone)]
enum Step {
    /// Its device sends so many octets.
    Lan(usize),
    /// The tunnel brings a packet of alpha's.
    Tunnel(usize),
    /// It brings one of the last ones again.
    Replay(usize),
    /// It brings a dummy.
    Dummy,
    /// It brings the last one with an octet changed.
    Bent(usize, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..300).prop_map(Step::Lan),
        4 => (0usize..300).prop_map(Step::Tunnel),
        1 => (0usize..8).prop_map(Step::Replay),
        1 => Just(Step::Dummy),
        1 => (0usize..150, 1u8..).prop_map(|(at, bits)| Step::Bent(at, bits)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn many_workers_do_what_one_does(steps in proptest::collection::vec((step(), 0usize..3), 1..60)) {
        let mut one = Side::beta();
        let mut many = Side::workers(BETA, ALPHA, WORKERS);
        let mut alpha = Side::alpha();
        let mut seen = Vec::new();
        for (step, at) in steps {
            let (ingress, frame) = match step {
                Step::Lan(len) => {
                    let data = datagram(DEVICE, ALPHA.seen_as, (1, 2), &vec![7; len]);
                    (LAN, frame_between(DEVICE, ALPHA.seen_as, PROTOCOL_UDP, &data))
                }
                Step::Tunnel(len) => {
                    let data = datagram(DEVICE, BETA.seen_as, (1, 2), &vec![7; len]);
                    let sealed = alpha.sealed(&lan_frame(PROTOCOL_UDP, &data));
                    seen.push(sealed.clone());
                    (WAN, sealed)
                }
                Step::Replay(back) if !seen.is_empty() => (WAN, seen[seen.len() - 1 - back % seen.len()].clone()),
                Step::Bent(place, bits) if !seen.is_empty() => {
                    let mut frame = seen[seen.len() - 1].clone();
                    let place = place % frame.len();
                    frame[place] ^= bits;
                    (WAN, frame)
                }
                // The first of its sender's numbers, which may be seen by now.
                Step::Dummy => (WAN, sealed_as(NO_NEXT_HEADER, &[])),
                _ => continue,
            };
            let alone = one.run(ingress, &frame);
            let (_, verdict, after) = run(&mut many, at, ingress, &frame);
            prop_assert_eq!((verdict, after), alone);
        }
        // Together they have counted what the one has, under the same names.
        for reason in DropReason::ALL {
            let all: u64 = many.iter().map(|side| side.counters.dropped(*reason).get()).sum();
            prop_assert_eq!(all, one.counters.dropped(*reason).get(), "{}", reason);
        }
        let of = |sides: &[Side], which: fn(&Side) -> (u64, u64)| {
            sides.iter().map(which).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        };
        let alone = std::slice::from_ref(&one);
        for which in [|side: &Side| side.direct.member.get(0), |side: &Side| side.direct.association.get(0)] {
            prop_assert_eq!(of(&many, which), of(alone, which));
        }
        let used = |side: &Side| {
            let (out, into) = (side.seen.outbound(SaIndex(3)).unwrap(), side.seen.inbound(SaIndex(5)).unwrap());
            [&out.packets, &out.octets, &out.blocks, &into.packets, &into.octets, &into.dummies].map(|it| it.get())
        };
        prop_assert_eq!(used(&many[0]), used(&one));
    }
}

#[test]
fn a_packet_is_counted_once_when_it_comes_again_after_its_neighbour_answered() {
    let mut alpha = Side::alpha();
    let neighbors = std::mem::take(&mut alpha.tables.neighbor);
    let frame = lan_frame(PROTOCOL_UDP, &datagram(DEVICE, BETA.seen_as, (1, 2), &[7; 40]));
    alpha.punted(
        "no neighbour",
        LAN,
        &frame,
        crate::reason::PuntReason::NeighborMiss,
    );
    let counted = alpha.direct.member.get(0);
    assert_eq!(counted.0, 1);
    alpha.tables.neighbor = neighbors;
    let mut burst = [crate::packet::HostPacket::from_bytes(&frame)];
    let mut verdicts = [Verdict::Drop(DropReason::Segmented); crate::BURST];
    alpha
        .path
        .process_again(&alpha.tables, LAN, NOW, &mut burst, &mut verdicts);
    assert_eq!(verdicts[0], Verdict::Transmit(WAN));
    assert_eq!(alpha.direct.member.get(0), counted);
    assert_eq!(alpha.seen.outbound(SaIndex(3)).unwrap().packets.get(), 1);
}

#[test]
fn what_is_installed_anew_begins_at_nothing() {
    let mut beta = Side::beta();
    let frame = Side::alpha().sealed(&lan_frame(
        PROTOCOL_UDP,
        &datagram(DEVICE, BETA.seen_as, (1, 2), &[7; 40]),
    ));
    beta.opened(&frame);
    let used = |beta: &Side| {
        let seen = beta.seen.inbound(SaIndex(5)).unwrap();
        (seen.packets.get(), seen.octets.get())
    };
    assert_eq!(used(&beta).0, 1);
    let anew = Inbound::new(spi(BETA), keys(BETA), Limits::default(), Millis(0));
    let old = beta
        .path
        .gateway()
        .install_inbound(SaIndex(5), Box::new(anew))
        .unwrap();
    assert!(old.is_some());
    assert_eq!(used(&beta), (0, 0));
}
