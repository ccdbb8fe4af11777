//! Captures in the old pcap format: a header of 24 octets, and 16 before each frame. Either byte order is read.

/// Why a file is no capture of Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PcapError {
    /// The first four octets are others.
    #[error("not a pcap file (of pcapng, `editcap -F pcap` makes one)")]
    Magic,
    /// The link is not Ethernet.
    #[error("its link type is {0}, not 1, Ethernet")]
    Link(u32),
    /// It ends in a frame.
    #[error("it ends within frame {0}")]
    Truncated(usize),
}

const MAGIC: u32 = 0xa1b2_c3d4;
/// The same with nanoseconds.
const MAGIC_NANO: u32 = 0xa1b2_3c4d;

/// The frames of a capture.
pub fn read(file: &[u8]) -> Result<Vec<&[u8]>, PcapError> {
    let (header, mut rest) = file.split_first_chunk::<24>().ok_or(PcapError::Magic)?;
    let word = |octets: &[u8], big: bool| {
        let octets = [octets[0], octets[1], octets[2], octets[3]];
        if big {
            u32::from_be_bytes(octets)
        } else {
            u32::from_le_bytes(octets)
        }
    };
    let big = [false, true]
        .into_iter()
        .find(|&big| matches!(word(&header[..4], big), MAGIC | MAGIC_NANO));
    let big = big.ok_or(PcapError::Magic)?;
    let link = word(&header[20..], big);
    if link != 1 {
        return Err(PcapError::Link(link));
    }
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let truncated = PcapError::Truncated(frames.len() + 1);
        let (before, after) = rest.split_first_chunk::<16>().ok_or(truncated)?;
        let length = word(&before[8..12], big) as usize;
        let (frame, after) = after.split_at_checked(length).ok_or(truncated)?;
        frames.push(frame);
        rest = after;
    }
    Ok(frames)
}

/// A capture that is being written.
pub struct Writer(Vec<u8>, u32);

impl Writer {
    /// No frames.
    pub fn new() -> Self {
        let mut file = Vec::new();
        file.extend(MAGIC.to_le_bytes());
        file.extend([2, 0, 4, 0]);
        for word in [0, 0, 0xffff, 1_u32] {
            file.extend(word.to_le_bytes());
        }
        Self(file, 0)
    }

    /// One more, a microsecond later.
    pub fn frame(&mut self, frame: &[u8]) {
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        for word in [self.1 / 1_000_000, self.1 % 1_000_000, length, length] {
            self.0.extend(word.to_le_bytes());
        }
        self.0.extend(frame);
        self.1 += 1;
    }

    /// The file.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::new();
        writer.frame(&[1; 60]);
        writer.frame(&[2; 14]);
        let file = writer.finish();
        assert_eq!(read(&file), Ok(vec![&[1; 60][..], &[2; 14]]));
        assert_eq!(read(&file[..file.len() - 1]), Err(PcapError::Truncated(2)));
        assert_eq!(read(&file[..23]), Err(PcapError::Magic));
    }
}
