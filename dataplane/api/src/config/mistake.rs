//! Values that cannot be used.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;

/// A value that cannot be used, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where: `ports[1].mtu`.
    pub at: String,
    /// What is wrong and what would be right.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

/// Mistakes are collected, not returned at the first.
#[derive(Debug, Default)]
pub struct Checker(Vec<Mistake>);

impl Checker {
    /// It is a mistake there unless it is good.
    pub fn unless(&mut self, good: bool, at: impl Into<String>, what: impl FnOnce() -> String) {
        if !good {
            self.0.push(Mistake {
                at: at.into(),
                what: what(),
            });
        }
    }

    /// A path must fit a Unix socket's address.
    pub fn socket(&mut self, path: &Path, at: impl Into<String>) {
        let len = path.as_os_str().len();
        self.unless((1..=107).contains(&len), at, || {
            format!("the path of a Unix socket has 1 to 107 octets, this one {len}")
        });
    }

    /// All that were found.
    #[must_use]
    pub fn mistakes(self) -> Vec<Mistake> {
        self.0
    }
}

/// Can a host have this address? (RFC 1122 section 3.2.1.3)
#[must_use]
pub fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    (1..224).contains(&first) && first != 127
}
