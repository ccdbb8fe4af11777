//! The connection to the dataplane: P4Runtime and clocks around [`Core`].

use super::config::GatewayConfig;
use super::core::{Core, Found, Output};
use super::{desk, tables};
use crate::clock;
use crate::keying::{Entropy, Moment};
use kith_p4runtime::client::{Address, Client, ClientError, Event, Session};
use kith_p4runtime::entry::{Entry, Table};
use kith_p4runtime::proto::v1::{self, entity::Entity as Kind};
use kith_p4runtime::target::Atomicity;
use kith_p4runtime::update::Row;
use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often the dataplane is asked how far associations are.
const POLL: Duration = Duration::from_millis(250);
/// The first pause between two tries to connect, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// A connection that lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(2);

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum Over {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("another controller is its primary")]
    Backup,
    #[error("it has no port {0}; see wan in the configuration")]
    NoPort(u8),
}

/// Controls the dataplane until told to stop. Entries and associations stay: they work on, and whoever comes next finds them.
pub(super) async fn serve(
    config: GatewayConfig,
    listener: Option<std::os::unix::net::UnixListener>,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let (address, device_id, wan) = (config.dataplane.clone(), config.device_id, config.wan.0);
    let core = Core::new(config, moment(), &|| Box::new(crate::entropy::fill) as Entropy);
    let core = Rc::new(RefCell::new(core));
    let listener = match listener {
        Some(listener) => {
            listener.set_nonblocking(true)?;
            Some(UnixListener::from_std(listener)?)
        }
        None => None,
    };
    let answers = async {
        match listener {
            Some(listener) => desk::serve(listener, core.clone()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = answers => {}
        () = control((&address, device_id, wan), &core) => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    Ok(())
}

/// One connection after the other.
async fn control((address, device_id, wan): (&Address, u64, u8), core: &RefCell<Core>) {
    let mut pause = PAUSES.0;
    loop {
        let began = Instant::now();
        let connection = async {
            let mut client = Client::connect(address, device_id).await?;
            connection(&mut client, core, wan).await
        };
        let Err(why) = connection.await;
        core.borrow_mut().away();
        tracing::warn!(%why, "no connection to the dataplane; trying again");
        if began.elapsed() >= GOOD {
            pause = PAUSES.0;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

async fn connection(client: &mut Client, core: &RefCell<Core>, wan: u8) -> Result<Infallible, Over> {
    // A later process is to win over an earlier one whose connection lingers.
    let election = u128::from(clock::wall_nanos());
    let mut session = client.arbitrate(Some(election)).await?;
    if !session.is_primary().await? {
        return Err(Over::Backup);
    }
    let found = find(client, wan).await?;
    let (entries, associations) = (found.entries.len(), found.associations.len());
    tracing::info!(entries, associations, "connected to the dataplane");
    core.borrow_mut().connected(moment(), found);
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        carry_out(client, &mut session, core).await?;
        let due = core.borrow().deadline().map_or(POLL, |due| {
            Duration::from_millis(due.0.saturating_sub(clock::now().0))
        });
        tokio::select! {
            event = session.next() => match event? {
                Event::Packet(packet) => core.borrow_mut().packet_in(moment(), packet),
                Event::Arbitration { primary: false, .. } => return Err(Over::Backup),
                Event::Refused(error) => tracing::debug!(?error, "the dataplane did not send a packet"),
                Event::Arbitration { .. } | Event::Foreign(..) | Event::Other(_) => {}
            },
            _ = poll.tick() => {
                let states = client.associations().await?;
                core.borrow_mut().states(moment(), states);
            }
            () = sleep(due) => {}
        }
        core.borrow_mut().tick(moment());
    }
}

/// One after the other: what is submitted again needs the keys that were written before.
async fn carry_out(client: &mut Client, session: &mut Session, core: &RefCell<Core>) -> Result<(), Over> {
    loop {
        // Nobody holds it while something is waited for.
        let output = core.borrow_mut().output();
        match output {
            None => return Ok(()),
            Some(Output::Write(updates)) => client.write(&updates, Atomicity::Continue).await?,
            Some(Output::Packet(packet)) => session.packet_out(packet).await?,
        }
    }
}

async fn find(client: &mut Client, wan: u8) -> Result<Found, Over> {
    let asked = tables::TABLES.into_iter().chain([Table::IngressPort]);
    let asked = asked.map(|table| v1::Entity {
        entity: Some(Kind::TableEntry(v1::TableEntry {
            table_id: table.id(),
            ..Default::default()
        })),
    });
    let read = client.read_all(asked.collect()).await?;
    let rows = read.iter().filter_map(|entity| match &entity.entity {
        Some(Kind::TableEntry(entry)) => Row::decode(entry)
            .inspect_err(|error| tracing::warn!(%error, "the dataplane has an entry that makes no sense"))
            .ok(),
        _ => None,
    });
    let (mut entries, mut address): (Vec<Entry>, Option<Ipv4Addr>) = (Vec::new(), None);
    for row in rows {
        match row.entry {
            Entry::IngressPort(key, accept) if key.port.0 == wan => address = Some(accept.address),
            Entry::IngressPort(..) => {}
            entry => entries.push(entry),
        }
    }
    Ok(Found {
        address: address.ok_or(Over::NoPort(wan))?,
        entries,
        associations: client.associations().await?,
    })
}

pub(super) fn moment() -> Moment {
    Moment {
        micros: clock::micros(),
        wall_nanos: clock::wall_nanos(),
    }
}
