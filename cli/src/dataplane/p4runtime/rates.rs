//! What counters stand at, and how meters are set.

use kith_p4runtime::proto::v1;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Two rates and their bursts, in packets or octets as the meter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rates {
    pub(super) cir: i64,
    pub(super) cburst: i64,
    pub(super) pir: i64,
    pub(super) pburst: i64,
}

/// What a counter stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Count {
    pub(super) packets: i64,
    pub(super) bytes: i64,
}

impl Rates {
    pub(super) fn encode(self) -> v1::MeterConfig {
        let Self {
            cir,
            cburst,
            pir,
            pburst,
        } = self;
        v1::MeterConfig {
            cir,
            cburst,
            pir,
            pburst,
            eburst: 0,
        }
    }

    pub(super) fn decode(given: &v1::MeterConfig) -> Self {
        let &v1::MeterConfig {
            cir,
            cburst,
            pir,
            pburst,
            ..
        } = given;
        Self {
            cir,
            cburst,
            pir,
            pburst,
        }
    }

    /// `PIR:PBURST`, which says the same for both rates, or `CIR:CBURST:PIR:PBURST`.
    pub(super) fn parse(word: &str) -> Option<Self> {
        let parts: Option<Vec<i64>> = word
            .split(':')
            .map(|part| part.parse().ok().filter(|n| *n >= 0))
            .collect();
        match *parts? {
            [pir, pburst] => Some(Self {
                cir: pir,
                cburst: pburst,
                pir,
                pburst,
            }),
            [cir, cburst, pir, pburst] if cir <= pir => Some(Self {
                cir,
                cburst,
                pir,
                pburst,
            }),
            _ => None,
        }
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cir,
            cburst,
            pir,
            pburst,
        } = self;
        if (cir, cburst) == (pir, pburst) {
            write!(f, "{pir}:{pburst}")
        } else {
            write!(f, "{cir}:{cburst}:{pir}:{pburst}")
        }
    }
}

impl Count {
    pub(super) fn decode(given: &v1::CounterData) -> Self {
        Self {
            packets: given.packet_count,
            bytes: given.byte_count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_two_or_four_numbers() {
        assert_eq!(Rates::parse("100:10").unwrap().to_string(), "100:10");
        assert_eq!(Rates::parse("5:1:100:10").unwrap().to_string(), "5:1:100:10");
        for wrong in ["", "1", "1:2:3", "9:1:1:1", "-1:1", "a:b"] {
            assert_eq!(Rates::parse(wrong), None, "{wrong}");
        }
    }
}
