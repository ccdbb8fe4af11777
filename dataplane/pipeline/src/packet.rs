//! What the pipeline needs of a packet buffer, and a buffer of our own for hosts and tests.

/// A contiguous packet with room in front and behind.
///
/// All methods take constant time. A size change that does not fit is refused and changes nothing.
pub trait Packet {
    /// The packet.
    fn bytes(&self) -> &[u8];
    /// The packet, to change.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Prepends `n` octets of unspecified content.
    #[must_use]
    fn grow_front(&mut self, n: usize) -> bool;
    /// Cuts `n` octets off the front.
    #[must_use]
    fn shrink_front(&mut self, n: usize) -> bool;
    /// Appends `n` octets of unspecified content.
    #[must_use]
    fn grow_back(&mut self, n: usize) -> bool;
    /// Cuts `n` octets off the end.
    #[must_use]
    fn shrink_back(&mut self, n: usize) -> bool;
    /// Does [`Packet::bytes`] show all of it? Stages drop what lies in several segments.
    #[inline]
    fn is_contiguous(&self) -> bool {
        true
    }
    /// Has the NIC found the outer IPv4 and UDP checksums good?
    #[inline]
    fn checksums_verified(&self) -> bool {
        false
    }
}

/// A packet in part of a buffer, with what lies around it as room.
#[derive(Debug, Clone)]
pub struct Slot<B> {
    buffer: B,
    start: usize,
    end: usize,
}

/// A packet in memory of its own.
pub type HostPacket = Slot<Box<[u8]>>;

impl<B: AsRef<[u8]>> Slot<B> {
    /// The packet `buffer[start..end]`; cut to the buffer.
    #[inline]
    #[must_use]
    pub fn within(buffer: B, start: usize, end: usize) -> Self {
        let end = end.min(buffer.as_ref().len());
        Self {
            start: start.min(end),
            end,
            buffer,
        }
    }

    /// Where the packet lies in the buffer.
    #[inline]
    #[must_use]
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start..self.end
    }
}

impl HostPacket {
    /// An empty packet of `capacity` octets that begins behind `headroom` of them.
    #[must_use]
    pub fn new(capacity: usize, headroom: usize) -> Self {
        Self::within(vec![0; capacity].into_boxed_slice(), headroom, headroom)
    }

    /// A packet with this content, and 128 octets of room on both sides.
    #[must_use]
    pub fn from_bytes(content: &[u8]) -> Self {
        let mut packet = Self::new(content.len() + 256, 128);
        packet.end += content.len();
        packet.bytes_mut().copy_from_slice(content);
        packet
    }

    /// Empties it, to begin behind `headroom` octets, and shows all the room there is for content; then say
    /// [`HostPacket::set_len`].
    #[must_use]
    pub fn refill(&mut self, headroom: usize) -> &mut [u8] {
        self.start = headroom.min(self.buffer.len());
        self.end = self.start;
        &mut self.buffer[self.start..]
    }

    /// The packet is `len` octets long; cut to the room there is.
    pub fn set_len(&mut self, len: usize) {
        self.end = self.start.saturating_add(len).min(self.buffer.len());
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Packet for Slot<B> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.buffer.as_ref()[self.start..self.end]
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer.as_mut()[self.start..self.end]
    }

    #[inline]
    fn grow_front(&mut self, n: usize) -> bool {
        let fits = n <= self.start;
        self.start -= if fits { n } else { 0 };
        fits
    }

    #[inline]
    fn shrink_front(&mut self, n: usize) -> bool {
        let fits = n <= self.end - self.start;
        self.start += if fits { n } else { 0 };
        fits
    }

    #[inline]
    fn grow_back(&mut self, n: usize) -> bool {
        let fits = n <= self.buffer.as_ref().len() - self.end;
        self.end += if fits { n } else { 0 };
        fits
    }

    #[inline]
    fn shrink_back(&mut self, n: usize) -> bool {
        let fits = n <= self.end - self.start;
        self.end -= if fits { n } else { 0 };
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_change_within_the_room_and_never_beyond() {
        let mut packet = HostPacket::new(100, 40);
        packet.set_len(20);
        assert!(packet.grow_front(40) && !packet.grow_front(1));
        assert_eq!(packet.bytes().len(), 60);
        assert!(packet.grow_back(40) && !packet.grow_back(1));
        assert!(packet.shrink_front(99) && packet.shrink_back(1) && !packet.shrink_back(1));
        assert!(packet.bytes().is_empty());
        packet.set_len(usize::MAX);
        assert_eq!(packet.bytes().len(), 1);
    }

    #[test]
    fn a_slot_grows_into_somebody_elses_buffer_and_no_further() {
        let mut buffer = [0u8; 100];
        let mut slot = Slot::within(buffer.as_mut_slice(), 40, 60);
        assert!(slot.grow_front(40) && !slot.grow_front(1));
        assert!(slot.grow_back(40) && !slot.grow_back(1));
        assert_eq!(Slot::within(buffer.as_mut_slice(), 200, 300).range(), 100..100);
    }
}
