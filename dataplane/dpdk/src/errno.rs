//! The reason DPDK gives for a refusal.

use std::fmt;
use std::io;

/// An errno value, as DPDK returns it (negated) or leaves it in `rte_errno`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// From a return code: DPDK returns `-errno`.
    pub(crate) fn from_return(code: i32) -> Self {
        Self(code.saturating_abs())
    }

    /// What the last failing call on this thread left behind.
    pub(crate) fn last() -> Self {
        // SAFETY: reads a thread-local integer.
        Self(unsafe { dpdk_sys::dpdk_sys_errno() })
    }

    /// `Ok` for zero and above.
    pub(crate) fn check(code: i32) -> Result<(), Self> {
        if code < 0 {
            Err(Self::from_return(code))
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({}: {self})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_return_code_is_an_errno() {
        assert_eq!(Errno::check(-22), Err(Errno(22)));
        assert_eq!(Errno::check(0), Ok(()));
        assert!(Errno(22).to_string().contains("Invalid argument"));
    }
}
