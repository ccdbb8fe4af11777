//! Numbers that must not be mistaken for each other.

/// Monotonic time in nanoseconds since an instant the caller chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Nanos(pub u64);

/// Which port of the dataplane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortIndex(pub u8);

/// A community's number at one director or gateway. 0 is never a community, so that nothing unset can match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommunityIndex(core::num::NonZeroU16);

impl CommunityIndex {
    /// The community with this number; `None` for 0.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        core::num::NonZeroU16::new(number).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

/// Which worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerIndex(pub u16);

/// Which security association of a worker: a place in its array of inbound, or of outbound ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SaIndex(pub u32);
