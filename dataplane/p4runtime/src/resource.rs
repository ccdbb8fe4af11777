//! Counters and meters, and their cells, as Rust types ⇄ messages (specification 1.4, sections 9.3 and 9.4).

use crate::entry::EntryError;
use crate::ids;
use crate::proto::v1;

/// What a counter stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub bytes: u64,
}

/// A meter's two rates, in packets and packets a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MeterConfig {
    /// Committed rate: what is above is yellow.
    pub cir: u32,
    /// Committed burst.
    pub cburst: u32,
    /// Peak rate: what is above is red.
    pub pir: u32,
    /// Peak burst.
    pub pburst: u32,
}

/// An array of counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CounterArray {
    /// One cell a drop reason.
    Drops,
    /// One cell a punt reason.
    Punts,
}

impl CounterArray {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Drops, Self::Punts];

    /// Its id.
    #[must_use]
    pub fn id(self) -> u32 {
        match self {
            Self::Drops => ids::counter::DROPS,
            Self::Punts => ids::counter::PUNTS,
        }
    }

    /// How many cells it has.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Drops => ids::size::DROPS,
            Self::Punts => ids::size::PUNTS,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Drops => "drops",
            Self::Punts => "punts",
        }
    }

    /// The array with this id.
    ///
    /// # Errors
    /// If there is none.
    pub fn from_id(id: u32) -> Result<Self, EntryError> {
        let found = Self::ALL.into_iter().find(|array| array.id() == id);
        found.ok_or(EntryError::UnknownObject { what: "counter", id })
    }
}

impl Count {
    /// As a message. Counters wrap at 2^63, for the message is signed.
    #[must_use]
    pub fn encode(self) -> v1::CounterData {
        let signed = |number: u64| i64::try_from(number & (u64::MAX >> 1)).unwrap_or(i64::MAX);
        v1::CounterData {
            byte_count: signed(self.bytes),
            packet_count: signed(self.packets),
        }
    }

    /// From a message.
    ///
    /// # Errors
    /// If a count is negative.
    pub fn decode(place: &'static str, given: &v1::CounterData) -> Result<Self, EntryError> {
        let count = |number: i64| {
            let what = "a counter cannot be negative; send 0 or more";
            u64::try_from(number).map_err(|_| EntryError::Invalid { place, what })
        };
        Ok(Self {
            packets: count(given.packet_count)?,
            bytes: count(given.byte_count)?,
        })
    }
}

impl MeterConfig {
    /// As a message.
    #[must_use]
    pub fn encode(self) -> v1::MeterConfig {
        let Self {
            cir,
            cburst,
            pir,
            pburst,
        } = self;
        v1::MeterConfig {
            cir: cir.into(),
            cburst: cburst.into(),
            pir: pir.into(),
            pburst: pburst.into(),
            eburst: 0,
        }
    }

    /// From a message.
    ///
    /// # Errors
    /// If a number is negative or above 2^32 - 1, the committed rate is above the peak rate (RFC 2698 section 2), or there is an
    /// excess burst, which a two-rate meter has not (specification 1.4, section 9.4).
    pub fn decode(place: &'static str, given: &v1::MeterConfig) -> Result<Self, EntryError> {
        let invalid = |what| EntryError::Invalid { place, what };
        let number = |number: i64| {
            u32::try_from(number)
                .map_err(|_| invalid("a meter's rates and bursts go from 0 to 2^32 - 1; send such ones"))
        };
        if given.eburst != 0 {
            return Err(invalid(
                "the meter has two rates and no excess burst; leave eburst 0",
            ));
        }
        let config = Self {
            cir: number(given.cir)?,
            cburst: number(given.cburst)?,
            pir: number(given.pir)?,
            pburst: number(given.pburst)?,
        };
        if config.cir > config.pir {
            return Err(invalid(
                "cir is above pir; the committed rate is part of the peak rate",
            ));
        }
        Ok(config)
    }
}

/// Sections 9.3.2 and 9.4.2: no index means every cell.
pub(crate) fn index(
    place: &'static str,
    size: usize,
    given: Option<&v1::Index>,
) -> Result<Option<usize>, EntryError> {
    let Some(given) = given else { return Ok(None) };
    let found = usize::try_from(given.index).ok().filter(|&index| index < size);
    found.map(Some).ok_or(EntryError::Index {
        place,
        index: given.index,
        size,
    })
}

pub(crate) fn index_message(index: usize) -> v1::Index {
    v1::Index {
        index: i64::try_from(index).unwrap_or(i64::MAX),
    }
}

pub(crate) fn meter_id(id: u32) -> Result<(), EntryError> {
    let known = id == ids::meter::PUNT_METER;
    known
        .then_some(())
        .ok_or(EntryError::UnknownObject { what: "meter", id })
}

/// Section 9.4: a target without counters by colour says so.
pub(crate) fn no_colours(_: &'static str, given: Option<&v1::MeterCounterData>) -> Result<(), EntryError> {
    match given {
        None => Ok(()),
        Some(_) => Err(EntryError::Unimplemented {
            what: "meters' counters by colour",
        }),
    }
}
