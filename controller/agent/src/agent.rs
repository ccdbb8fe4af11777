//! Puts the parts together: adapter, socket, threads; and takes them apart again.

use crate::config::{Location, Validated};
use crate::control::{ControlThread, Management, Parts};
use crate::datapath::inbound::InboundThread;
use crate::datapath::outbound::OutboundThread;
use crate::datapath::shared::{self, NOTES, Note, Shared};
use crate::datapath::tun::Tun;
use crate::datapath::udp::Udp;
use crate::directory::{Directory, Record};
use crate::keying::{Known, PairSecret};
use crate::managed::{self, Adapter, Settings};
use crate::members::Members;
use crate::orders::{Order, Report};
use crate::server;
use crate::status::Status;
use caps::CapSet;
use kith_pipeline::host::virtual_mtu;
use kith_pipeline::table::snapshot::Publisher;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Inbound keys at most: eight a member, and as many under way.
const KEYS_A_MEMBER: u32 = 16;

/// A running agent.
pub struct Agent {
    notes: SyncSender<Note>,
    control: JoinHandle<()>,
    datapath: Vec<JoinHandle<()>>,
    socket: Option<PathBuf>,
    port: u16,
}

/// To ask a running agent things, and to stop it, from any thread.
#[derive(Clone)]
pub struct Handle(SyncSender<Note>);

/// What is open before threads start.
struct Opened {
    tun: Arc<Tun>,
    udp: Arc<Udp>,
    status: Option<(PathBuf, UnixListener)>,
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
    /// Starts all threads of a member whose configuration says everything. From then on the process holds no capability any more.
    pub fn start(config: Validated, directory: &dyn Directory) -> Result<Self, StartError> {
        let tun = Tun::open(&config).map_err(|source| StartError::Tun {
            name: config.tun.clone(),
            source,
        })?;
        let udp = Udp::open(config.udp).map_err(|source| StartError::Udp {
            port: config.udp.port,
            source,
        })?;
        let opened = Opened::new(tun, udp, Some(&config.status_socket))?;
        drop_capabilities();
        let records = directory.records();
        let director = config.director.as_ref().map(|director| director.address);
        let keys = (records.len() as u32).saturating_mul(KEYS_A_MEMBER);
        let known = |record: &Record| Known {
            address: record.address,
            name: record.name.clone(),
            secret: Arc::new(PairSecret::new(record.psk.clone())),
            ticket: Vec::new(),
        };
        let parts = Parts {
            name: config.name.clone(),
            adapter: (config.tun.clone(), config.adapter_mtu()),
            cipher: config.cipher,
            keying: config.keying,
            public: match config.location {
                Location::Public { public } => Some(public),
                Location::Director { .. } => None,
            },
            director: config.director.clone(),
            peers: records.iter().map(known).collect(),
            places: records.len(),
            members: Members::new(config.address, config.path_mtu, director, &records),
            capacity: keys.clamp(64, 1 << 20).next_power_of_two(),
            management: None,
        };
        Self::launch(opened, parts, sync_channel(NOTES))
    }

    /// Starts all threads of a member whose manager says everything, by orders. Nothing passes until they come. The calling thread
    /// keeps its capabilities, for further members; of those made here only the one that sets up the adapter keeps CAP_NET_ADMIN. When the
    /// sender of orders is dropped the agent ends.
    pub fn start_managed(
        settings: Settings,
        orders: Receiver<Order>,
        reports: SyncSender<Report>,
    ) -> Result<Self, StartError> {
        let tun = Tun::open_bare(&settings.tun, settings.path_mtu).map_err(|source| StartError::Tun {
            name: settings.tun.clone(),
            source,
        })?;
        let udp = managed::bind(settings.udp).map_err(|source| StartError::Udp {
            port: settings.udp.port,
            source,
        })?;
        let opened = Opened::new(tun, udp, settings.status_socket.as_deref())?;
        let adapter = Adapter::new(&opened.tun);
        let (notes, received) = sync_channel(NOTES);
        let ordering = notes.clone();
        // Before any packet can come: without it nothing can be ordered.
        thread::Builder::new()
            .name("kith-adapter".into())
            .spawn(move || adapter.run(&orders, &ordering))?;
        let parts = Parts {
            name: String::new(),
            adapter: (settings.tun, virtual_mtu(settings.path_mtu)),
            cipher: settings.cipher,
            keying: settings.keying,
            public: None,
            director: None,
            peers: Vec::new(),
            places: managed::PLACES,
            members: Members::managed(managed::PLACES, settings.path_mtu),
            capacity: managed::KEYS,
            management: Some(Management::new(reports)),
        };
        Self::launch(opened, parts, (notes, received))
    }

    fn launch(
        opened: Opened,
        parts: Parts,
        (notes, received): (SyncSender<Note>, Receiver<Note>),
    ) -> Result<Self, StartError> {
        let Opened { tun, udp, status } = opened;
        let port = udp.local()?.port();
        let shared = Shared::new(parts.places);
        let publisher = Publisher::new(parts.members.tables());
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
            capacity: parts.capacity,
        };
        let control = ControlThread {
            parts,
            publisher,
            shared,
            udp,
            notes: received,
            outbound: (to_outbound, outbound_waker),
            inbound: (to_inbound, inbound_waker),
        };
        let datapath = vec![
            spawn("kith-out", notes.clone(), move || outbound.run())?,
            spawn("kith-in", notes.clone(), move || inbound.run())?,
        ];
        let mut socket = None;
        if let Some((path, listener)) = status {
            let asking = notes.clone();
            socket = Some(path);
            bare("kith-status", move || server::serve(&listener, &asking))?;
        }
        let control = bare("kith-control", move || control.run())?;
        Ok(Self {
            notes,
            control,
            datapath,
            socket,
            port,
        })
    }

    /// Something that asks this agent to stop, from any thread.
    pub fn stopper(&self) -> impl Fn() + Send + 'static {
        let handle = self.handle();
        move || handle.stop()
    }

    /// Something to ask this agent with, from any thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(self.notes.clone())
    }

    /// The UDP port that it listens on.
    #[must_use]
    pub fn udp_port(&self) -> u16 {
        self.port
    }

    /// Waits for the end: asked for, or because a thread failed. False: one failed.
    #[must_use]
    pub fn join(self) -> bool {
        let mut well = self.control.join().is_ok();
        for thread in self.datapath {
            well &= thread.join().is_ok();
        }
        if let Some(socket) = self.socket {
            // Gone already is as good.
            let _gone = std::fs::remove_file(socket);
        }
        well
    }
}

impl Handle {
    /// How it is; `None` if it is busy or has ended.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        server::ask(&self.0)
    }

    /// Has keys replaced.
    ///
    /// # Errors
    /// Why that cannot be, for people.
    pub fn rekey(&self, what: crate::status::Rekey) -> Result<(), String> {
        server::rekey(&self.0, what)
    }

    /// Asks it to stop.
    pub fn stop(&self) {
        let _already_gone = self.0.send(Note::Stop);
    }
}

impl Opened {
    fn new(tun: Tun, udp: Udp, socket: Option<&Path>) -> Result<Self, StartError> {
        let bind = |path: &Path| match server::bind(path) {
            Ok(listener) => Ok((path.to_path_buf(), listener)),
            Err(source) => Err(StartError::Status {
                path: path.into(),
                source,
            }),
        };
        Ok(Self {
            tun: Arc::new(tun),
            udp: Arc::new(udp),
            status: socket.map(bind).transpose()?,
        })
    }
}

/// A datapath thread. If it ends by itself, so does the agent.
fn spawn(
    name: &'static str,
    notes: SyncSender<Note>,
    run: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    bare(name, move || {
        if let Err(error) = run() {
            tracing::error!(%error, thread = name, "the datapath stopped");
            let _ending = notes.send(Note::Stop);
        }
    })
}

/// A thread without any capability.
fn bare(name: &'static str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(move || {
        drop_capabilities();
        run();
    })
}

/// The calling thread, and those it makes, do without any rights from now on.
pub fn drop_capabilities() {
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
