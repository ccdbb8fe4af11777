//! `kith dataplane associations`: the security associations of a gateway, without keys, which no dataplane gives.

use super::link::Link;
use crate::error::Error;
use crate::output::{self, Format, age, table as rows_of};
use kith_p4runtime::association::AssociationState;
use serde::Serialize;

/// All of one dataplane's.
#[derive(Debug, Serialize)]
struct Associations {
    target: String,
    associations: Vec<One>,
}

#[derive(Debug, Serialize)]
struct One {
    direction: String,
    index: u32,
    spi: u32,
    cipher: String,
    worker: u16,
    packets: u64,
    octets: u64,
    /// Packets received that were dummies.
    dummies: u64,
    age_ms: u64,
    /// `fresh`, `rekey_due`, `expired`.
    state: &'static str,
    /// Until a successor is due.
    until_soft: Left,
    /// Until nothing goes any more.
    until_hard: Left,
}

#[derive(Debug, Serialize)]
struct Left {
    milliseconds: u64,
    packets: u64,
    blocks: u64,
}

/// `kith dataplane associations`.
pub(super) fn run(link: &mut Link, format: Format) -> Result<u8, Error> {
    let associations = link.associations()?;
    let all = Associations {
        target: link.place(),
        associations: associations.iter().map(One::of).collect(),
    };
    output::show(format, &all, render)?;
    Ok(0)
}

impl One {
    fn of(state: &AssociationState) -> Self {
        let left = |bounds: kith_esp::Bounds| Left {
            milliseconds: bounds.age.0.saturating_sub(state.age.0),
            packets: bounds.packets.saturating_sub(state.packets),
            blocks: bounds.blocks.saturating_sub(state.blocks),
        };
        Self {
            direction: state.key.direction.to_string(),
            index: state.key.index.0,
            spi: state.spi.get(),
            cipher: state.cipher.to_string(),
            worker: state.worker,
            packets: state.packets,
            octets: state.octets,
            dummies: state.dummies,
            age_ms: state.age.0,
            state: match (state.soft, state.hard) {
                (_, true) => "expired",
                (true, false) => "rekey_due",
                (false, false) => "fresh",
            },
            until_soft: left(state.limits.soft()),
            until_hard: left(state.limits.hard()),
        }
    }
}

fn render(all: &Associations) -> String {
    if all.associations.is_empty() {
        return format!("{} has no security association\n", all.target);
    }
    let rows: Vec<Vec<String>> = all
        .associations
        .iter()
        .map(|one| {
            vec![
                one.direction.clone(),
                one.index.to_string(),
                format!("{:#010x}", one.spi),
                one.cipher.clone(),
                one.worker.to_string(),
                one.packets.to_string(),
                one.octets.to_string(),
                age(one.age_ms),
                one.state.to_owned(),
                age(one.until_soft.milliseconds),
                age(one.until_hard.milliseconds),
            ]
        })
        .collect();
    let headers = [
        "direction",
        ">index",
        "spi",
        "cipher",
        ">worker",
        ">packets",
        ">octets",
        ">age",
        "state",
        ">rekey in",
        ">ends in",
    ];
    rows_of(&headers, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_esp::{Limits, Millis, Spi};
    use kith_p4runtime::association::{AssociationKey, Cipher, Direction};
    use kith_pipeline::units::SaIndex;

    #[test]
    fn what_is_left_is_the_limit_less_what_was_used() {
        let mut state = AssociationState {
            key: AssociationKey {
                direction: Direction::Outbound,
                index: SaIndex(3),
            },
            spi: Spi::new(0x1234).unwrap(),
            cipher: Cipher::Aes256Gcm16,
            limits: Limits::default(),
            packets: 10,
            octets: 1_000,
            blocks: 90,
            dummies: 0,
            age: Millis(150_000),
            soft: true,
            hard: false,
            worker: 1,
        };
        let one = One::of(&state);
        assert_eq!(
            (one.until_soft.milliseconds, one.until_hard.milliseconds),
            (0, 30_000)
        );
        assert_eq!(one.until_hard.packets, Limits::default().hard().packets - 10);
        assert_eq!(one.state, "rekey_due");
        let shown = render(&Associations {
            target: "unix:/x".into(),
            associations: vec![one],
        });
        assert!(
            shown.contains("0x00001234") && shown.contains("rekey_due"),
            "{shown}"
        );
        state.hard = true;
        assert_eq!(One::of(&state).state, "expired");
    }
}
