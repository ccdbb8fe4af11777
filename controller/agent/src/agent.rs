//! Puts the parts together: adapter, socket, threads; and takes them apart again.

use crate::config::Validated;
use crate::control::ControlThread;
use crate::datapath::inbound::InboundThread;
use crate::datapath::outbound::OutboundThread;
use crate::datapath::shared::{self, NOTES, Note, Shared};
use crate::datapath::tun::Tun;
use crate::datapath::udp::Udp;
use crate::directory::Directory;
use crate::members::Members;
use crate::server;
use caps::CapSet;
use kith_pipeline::table::snapshot::Publisher;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Inbound keys at most: eight a member, and as many under way.
const KEYS_A_MEMBER: u32 = 16;

/// A running agent.
pub struct Agent {
    notes: SyncSender<Note>,
    control: JoinHandle<()>,
    datapath: Vec<JoinHandle<()>>,
    socket: PathBuf,
}

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The adapter.
    #[error(
        "cannot make the virtual adapter {name}: {source}; it takes CAP_NET_ADMIN and /dev/net/tun, and a free name"
    )]
    Tun {
        /// Its name.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// The UDP socket.
    #[error("cannot open UDP port {port}: {source}; is another agent running?")]
    Udp {
        /// Its port.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// The status socket.
    #[error("cannot serve status at {path}: {source}")]
    Status {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something that every process needs.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

impl Agent {
    /// Starts all threads. From then on the process holds no capability any more.
    pub fn start(config: Validated, directory: &dyn Directory) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let tun = Arc::new(Tun::open(&config).map_err(|source| StartError::Tun {
            name: config.tun.clone(),
            source,
        })?);
        let udp = Arc::new(Udp::open(config.udp).map_err(|source| StartError::Udp {
            port: config.udp.port,
            source,
        })?);
        let socket = config.status_socket.clone();
        let listener = server::bind(&socket).map_err(|source| StartError::Status {
            path: socket.clone(),
            source,
        })?;
        drop_capabilities();

        let records = directory.records();
        let shared = Shared::new(records.len());
        let director = config.director.as_ref().map(|director| director.address);
        let members = Members::new(config.address, config.path_mtu, director, &records);
        let publisher = Publisher::new(members.tables());
        let capacity = (records.len() as u32)
            .saturating_mul(KEYS_A_MEMBER)
            .clamp(64, 1 << 20)
            .next_power_of_two();
        let (notes, received) = sync_channel(NOTES);
        let (to_outbound, outbound_commands, outbound_waker) = shared::commands()?;
        let (to_inbound, inbound_commands, inbound_waker) = shared::commands()?;
        let outbound = OutboundThread {
            tun: tun.clone(),
            udp: udp.clone(),
            shared: shared.clone(),
            tables: publisher.reader(),
            commands: outbound_commands,
            notes: notes.clone(),
            waker: outbound_waker.clone(),
        };
        let inbound = InboundThread {
            tun,
            udp: udp.clone(),
            shared: shared.clone(),
            tables: publisher.reader(),
            commands: inbound_commands,
            notes: notes.clone(),
            waker: inbound_waker.clone(),
            capacity,
        };
        let control = ControlThread {
            config,
            records,
            members,
            publisher,
            shared,
            udp,
            notes: received,
            outbound: (to_outbound, outbound_waker),
            inbound: (to_inbound, inbound_waker),
            capacity,
        };
        let datapath = vec![
            spawn("kith-out", notes.clone(), move || outbound.run())?,
            spawn("kith-in", notes.clone(), move || inbound.run())?,
        ];
        let asking = notes.clone();
        thread::Builder::new()
            .name("kith-status".into())
            .spawn(move || server::serve(&listener, &asking))?;
        let control = thread::Builder::new()
            .name("kith-control".into())
            .spawn(move || control.run())?;
        Ok(Self {
            notes,
            control,
            datapath,
            socket,
        })
    }

    /// Something that asks this agent to stop, from any thread.
    #[must_use]
    pub fn stopper(&self) -> impl Fn() + Send + 'static {
        let notes = self.notes.clone();
        move || {
            let _already_gone = notes.send(Note::Stop);
        }
    }

    /// Waits for the end: asked for, or because a thread failed. False: one failed.
    #[must_use]
    pub fn join(self) -> bool {
        let mut well = self.control.join().is_ok();
        for thread in self.datapath {
            well &= thread.join().is_ok();
        }
        // Gone already is as good.
        let _gone = std::fs::remove_file(&self.socket);
        well
    }
}

/// A datapath thread. If it ends by itself, so does the agent.
fn spawn(
    name: &'static str,
    notes: SyncSender<Note>,
    run: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(move || {
        if let Err(error) = run() {
            tracing::error!(%error, thread = name, "the datapath stopped");
            let _ending = notes.send(Note::Stop);
        }
    })
}

/// Everything that needs rights is open: nothing needs them any more.
fn drop_capabilities() {
    for set in [
        CapSet::Ambient,
        CapSet::Inheritable,
        CapSet::Effective,
        CapSet::Permitted,
    ] {
        if let Err(error) = caps::clear(None, set) {
            tracing::warn!(%error, ?set, "cannot give up capabilities");
        }
    }
}
