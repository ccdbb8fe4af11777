//! Frames into a capture file that tcpdump and Wireshark read.
//!
//! ```text
//!  magic 0xa1b2c3d4, version 2.4, 0, 0, 65535, link type 1 (Ethernet) | (seconds, microseconds, captured, original, frame)*
//! ```

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// The longest frame that is kept whole.
const SNAP: usize = 65_535;

/// An open capture file.
#[derive(Debug)]
pub(super) struct Pcap<W = File>(W);

impl Pcap {
    /// A new file, for its owner's eyes only: it will hold what others sent.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = File::options();
        Self::begin(
            options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)?,
        )
    }
}

impl<W: Write> Pcap<W> {
    fn begin(mut out: W) -> io::Result<Self> {
        let mut header = Vec::with_capacity(24);
        header.extend(0xa1b2_c3d4_u32.to_le_bytes());
        header.extend([2, 0, 4, 0]);
        header.extend([0; 8]);
        header.extend((SNAP as u32).to_le_bytes());
        header.extend(1_u32.to_le_bytes());
        out.write_all(&header)?;
        Ok(Self(out))
    }

    /// Adds a frame, seen at this time since 1970.
    pub(super) fn add(&mut self, at: Duration, frame: &[u8]) -> io::Result<()> {
        let kept = &frame[..frame.len().min(SNAP)];
        let mut record = Vec::with_capacity(16 + kept.len());
        // The format's seconds end in 2106.
        record.extend(u32::try_from(at.as_secs()).unwrap_or(u32::MAX).to_le_bytes());
        record.extend(at.subsec_micros().to_le_bytes());
        record.extend((kept.len() as u32).to_le_bytes());
        record.extend(u32::try_from(frame.len()).unwrap_or(u32::MAX).to_le_bytes());
        record.extend(kept);
        // Whole records only: whoever is interrupted leaves a file that can be read.
        self.0.write_all(&record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_octets_are_those_of_the_format() {
        let mut out = Vec::new();
        let mut pcap = Pcap::begin(&mut out).unwrap();
        pcap.add(Duration::new(7, 9_000), &[0xab; 3]).unwrap();
        let (header, record) = out.split_at(24);
        assert_eq!(header[..8], [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(header[16..], [0xff, 0xff, 0, 0, 1, 0, 0, 0]);
        assert_eq!(record[..16], [7, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(record[16..], [0xab; 3]);
    }
}
