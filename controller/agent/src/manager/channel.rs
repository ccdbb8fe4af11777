//! The channel to the manager inside the tunnel: our half of an exchange, and the keys that come of both halves.
//!
//! Keys never survive: each join and each refresh is an exchange of its own, so that no counter is ever continued by somebody
//! who does not know how far it was.

use super::{Credentials, Entropy, convert};
use crate::config::Secret;
use crate::keying::Moment;
use crate::orders::Channel;
use kith_esp::{Inbound, Key, Limits, Outbound, SaKeys, Salt, Spi};
use kith_protocol::join::{ChannelKeys, ChannelSecret, DirectionKeys, Exchange, join_secret, refresh_secret};
use kith_protocol::member::{JoinAck, RefreshAck};
use kith_protocol::share::KeyShare;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Our half of an exchange with the manager.
pub struct Half {
    share: KeyShare,
    /// Under which we will take the manager's packets.
    pub spi: Spi,
    /// Random, where the exchange has one of its own.
    pub seed: [u8; 32],
}

/// Key agreement between members takes its SPIs from below.
const CHANNEL_SPIS: u32 = 1 << 31;

impl Half {
    /// A new one.
    pub fn make(entropy: &mut Entropy) -> Self {
        let (mut spi, mut seed) = ([0; 4], [0; 32]);
        entropy(&mut spi);
        entropy(&mut seed);
        let spi = Spi::new(u32::from_le_bytes(spi) | CHANNEL_SPIS);
        let Ok(spi) = spi else {
            unreachable!("reserved SPIs are below 256")
        };
        Self {
            share: KeyShare::generate(&mut **entropy),
            spi,
            seed,
        }
    }

    /// What the manager is sent of it.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.share.public()
    }

    /// The channel of a join; the seeds are those of Init, the member's first.
    pub fn join(
        &self,
        now: Moment,
        me: &Credentials,
        run_id: [u8; 16],
        seeds: (&[u8], &[u8]),
        ack: &JoinAck,
    ) -> Result<Channel, &'static str> {
        let endpoint =
            convert::socket(ack.manager_address, ack.manager_port).ok_or("the manager's address")?;
        let address = Ipv4Addr::from_bits(ack.manager_virtual_address);
        let exchange = exchange(me, &run_id, seeds);
        let secret = join_secret(&self.share, &ack.key_share, exchange).map_err(|_| "its key share")?;
        self.channel(now, me, &secret, ack.manager_spi, (address, endpoint))
    }

    /// The channel after a refresh.
    pub fn refresh(
        &self,
        now: Moment,
        me: &Credentials,
        run_id: [u8; 16],
        manager: (Ipv4Addr, SocketAddrV4),
        ack: &RefreshAck,
    ) -> Result<Channel, &'static str> {
        let exchange = exchange(me, &run_id, (&self.seed, &ack.seed));
        let secret = refresh_secret(&self.share, &ack.key_share, exchange).map_err(|_| "its key share")?;
        self.channel(now, me, &secret, ack.manager_spi, manager)
    }

    fn channel(
        &self,
        now: Moment,
        me: &Credentials,
        secret: &ChannelSecret,
        manager_spi: u32,
        (address, endpoint): (Ipv4Addr, SocketAddrV4),
    ) -> Result<Channel, &'static str> {
        let ChannelKeys {
            to_manager,
            to_member,
        } = secret.keys();
        let theirs = Spi::new(manager_spi).map_err(|_| "its SPI")?;
        let limits = Limits::default();
        Ok(Channel {
            address,
            endpoint,
            inbound: Inbound::new(self.spi, keys(&to_member), limits, now.millis()),
            outbound: Outbound::new(theirs, keys(&to_manager), limits, now.millis()),
            ticket_key: Secret::new(*me.ticket_key().secret().expose()),
        })
    }
}

fn exchange<'a>(me: &'a Credentials, run_id: &'a [u8], seeds: (&'a [u8], &'a [u8])) -> Exchange<'a> {
    Exchange {
        member_seed: seeds.0,
        manager_seed: seeds.1,
        fqdn: me.fqdn(),
        run_id,
    }
}

fn keys(direction: &DirectionKeys) -> SaKeys {
    SaKeys::new(Key::aes256(direction.key.expose()), Salt::new(&direction.salt))
}
