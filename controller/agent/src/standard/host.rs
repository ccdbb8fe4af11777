//! What the IKE endpoint asks: randomness, SPIs, and who may come.

use crate::entropy;
use kith_esp::Spi;
use kith_ike::codec::{Identity, Ticket};
use kith_ike::{Claim, Host, Moment, Path, Refused, Terms};
use std::collections::HashSet;
use std::sync::Arc;

/// SPIs in use at most.
const SPIS_MOST: usize = 65_536;

/// The endpoint's host.
pub(super) struct StandardHost {
    /// Who may come, and on which terms.
    peers: Vec<(Identity, Arc<Terms>)>,
    spis: HashSet<Spi>,
}

impl StandardHost {
    /// For these peers.
    pub(super) fn new(peers: Vec<(Identity, Arc<Terms>)>) -> Self {
        Self {
            peers,
            spis: HashSet::new(),
        }
    }
}

impl Host for StandardHost {
    fn entropy(&mut self, out: &mut [u8]) {
        entropy::fill(out);
    }

    fn take_spi(&mut self) -> Option<Spi> {
        if self.spis.len() >= SPIS_MOST {
            return None;
        }
        // The chance that one of these is free is overwhelming: reserved and used ones are a few in a hundred thousand.
        (0..16).find_map(|_| {
            let mut octets = [0; 4];
            entropy::fill(&mut octets);
            let spi = Spi::new(u32::from_be_bytes(octets)).ok()?;
            self.spis.insert(spi).then_some(spi)
        })
    }

    fn give_back_spi(&mut self, spi: Spi) {
        self.spis.remove(&spi);
    }

    fn screen(&mut self, _: Moment, _: Path, _: Option<&Ticket>) -> Result<(), Refused> {
        // Nothing is known yet of who it is, and any address may be a translator's.
        Ok(())
    }

    fn admit(&mut self, _: Moment, claim: &Claim<'_>) -> Result<Arc<Terms>, Refused> {
        let mut known = self.peers.iter();
        let (_, terms) = known
            .find(|(id, _)| id.same(claim.peer))
            .ok_or(Refused::Unknown)?;
        if claim.wanted.is_some_and(|wanted| !wanted.same(&terms.own)) {
            return Err(Refused::NotUs);
        }
        Ok(terms.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_spi_is_given_once_until_it_comes_back() {
        let mut host = StandardHost::new(Vec::new());
        let taken: Vec<Spi> = (0..1000).filter_map(|_| host.take_spi()).collect();
        assert_eq!(taken.iter().collect::<HashSet<_>>().len(), 1000);
        taken.into_iter().for_each(|spi| host.give_back_spi(spi));
        assert!(host.spis.is_empty());
    }
}
