//! How much one member, and all of them, may ask.

use super::*;

fn tight() -> Settings {
    Settings {
        members: 2,
        member_rate: Rate {
            burst: 3,
            per_second: 1,
        },
        total_rate: Rate {
            burst: 5,
            per_second: 2,
        },
        ..Settings::default()
    }
}

#[test]
fn a_member_that_asks_too_much_is_not_heard_and_others_are() {
    let mut world = World::new(tight());
    let (mut flooder, mut other) = (world.join(1), world.join(2));
    let answered = (0..100).filter(|_| !world.ping(&mut flooder).is_empty()).count();
    assert_eq!(answered, 3);
    assert_eq!(world.refused(Refused::MemberLimited), 97);
    assert_eq!(world.ping(&mut other).len(), 1);
}

#[test]
fn all_together_are_limited_too() {
    let mut world = World::new(tight());
    let (mut one, mut two) = (world.join(1), world.join(2));
    let answered: usize = (0..3)
        .map(|_| world.ping(&mut one).len() + world.ping(&mut two).len())
        .sum();
    assert_eq!((answered, world.refused(Refused::TotalLimited)), (5, 1));
}

#[test]
fn what_is_not_authentic_uses_up_nothing() {
    let mut world = World::new(tight());
    let mut member = world.join(1);
    let mut forged = member.sealed_echo(world.now);
    *forged.last_mut().unwrap() ^= 1;
    for _ in 0..100 {
        world.give(member.at, &forged);
    }
    assert_eq!(world.ping(&mut member).len(), 1);
}

#[test]
fn there_are_no_more_channels_than_there_may_be() {
    let mut world = World::new(tight());
    world.join(1);
    world.join(2);
    let third = Member::new(3, world.now);
    assert_eq!(
        world.hub.install(third.install(world.now), world.now),
        Err(Uninstalled::Full(2))
    );
    world.hub.remove(MemberId(1));
    assert_eq!(world.hub.install(third.install(world.now), world.now), Ok(()));
}
