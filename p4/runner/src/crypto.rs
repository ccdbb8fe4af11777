//! The accelerator between two of the pipeline's ports.

/// Seals and opens what the pipeline sends to it.
pub trait CryptoBlock: Send {
    /// Replaces a packet by what comes out of the accelerator, or says why nothing does.
    ///
    /// The packet begins with Ethernet and bridge header; `sa` is the security association that the program chose. The bridge
    /// header's first octet says what is to be done.
    fn process(&mut self, sa: u32, packet: &mut Vec<u8>) -> Result<(), CryptoDrop>;
}

/// Nothing comes out: the number of a drop reason, which is counted among the program's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CryptoDrop(pub u16);
