//! Two-rate three-colour meters (RFC 2698).

/// Rates and bursts in the meter's unit (the program says what one packet counts: its octets, or one), rates per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rates {
    /// Committed rate. At least 1.
    pub cir: u64,
    /// Committed burst. At least 1.
    pub cbs: u64,
    /// Peak rate. At least the committed one.
    pub pir: u64,
    /// Peak burst. At least 1.
    pub pbs: u64,
}
