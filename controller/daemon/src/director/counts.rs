//! What a core counts.

/// How often what happened; all but `packets_out` of what was submitted only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came up: `answered + refused + ignored + overloaded`, and those about path MTUs.
    pub packets_in: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// Answers made; each is sent, held or dropped.
    pub answered: u64,
    /// Packets that no answer is due to.
    pub refused: u64,
    /// Packets for somebody else: of another kind, or while another controller decides.
    pub ignored: u64,
    /// Packets that came while too many answers waited.
    pub overloaded: u64,
    /// Answers whose writes were refused, came too late, or were lost with the connection.
    pub answers_dropped: u64,
    /// Members told that a packet of theirs was too big.
    pub reports: u64,
    /// Batches written.
    pub writes: u64,
    /// Updates in them.
    pub updates: u64,
    /// Updates refused.
    pub update_failures: u64,
    /// How often the dataplane's entries were compared with the sessions.
    pub reconciliations: u64,
}

impl Counts {
    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("packets_in", self.packets_in),
            ("packets_out", self.packets_out),
            ("answered", self.answered),
            ("refused", self.refused),
            ("ignored", self.ignored),
            ("overloaded", self.overloaded),
            ("answers_dropped", self.answers_dropped),
            ("reports", self.reports),
            ("writes", self.writes),
            ("updates", self.updates),
            ("update_failures", self.update_failures),
            ("reconciliations", self.reconciliations),
        ]
        .into_iter()
    }
}
