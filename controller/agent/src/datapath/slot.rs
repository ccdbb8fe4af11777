//! A packet inside a larger buffer.

use kith_pipeline::packet::Packet;

/// A packet in part of somebody's buffer, with what lies around it as room.
pub struct Slot<'a> {
    buffer: &'a mut [u8],
    start: usize,
    end: usize,
}

impl<'a> Slot<'a> {
    /// The packet `buffer[start..end]`; cut to the buffer.
    #[must_use]
    pub fn new(buffer: &'a mut [u8], start: usize, end: usize) -> Self {
        let end = end.min(buffer.len());
        Self {
            start: start.min(end),
            end,
            buffer,
        }
    }

    /// Where the packet lies in the buffer.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start..self.end
    }
}

impl Packet for Slot<'_> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.end]
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
        let fits = n <= self.buffer.len() - self.end;
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
    fn it_grows_into_the_buffer_and_no_further() {
        let mut buffer = [0; 100];
        let mut slot = Slot::new(&mut buffer, 40, 60);
        assert!(slot.grow_front(40) && !slot.grow_front(1));
        assert!(slot.grow_back(40) && !slot.grow_back(1));
        assert!(slot.shrink_front(99) && slot.shrink_back(1) && !slot.shrink_back(1));
        assert!(slot.bytes().is_empty());
        assert_eq!(Slot::new(&mut buffer, 200, 300).range(), 100..100);
    }
}
