//! The manager as a part of this process: from the configuration to a server on threads of its own.
//!
//! Its threads are not the directors': a director answers in microseconds whatever the manager is doing.

mod settings;

use crate::config::Config;
use crate::host::Grants;
use kith_api::config::ConfigError;
use kith_api::socket::{PRIVATE, Setting, Socket, SocketError};
use kith_manager::serve::{Host, InProcess, Operators, Server, StartError};
use kith_store::{StoreError, sqlite};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// What names the local socket's place.
const SETTING: Setting = Setting::new("controller", "manager.admin_socket");
/// A socket that everybody may connect to: who may do what is decided by who connects.
const OPEN: u32 = 0o666;

/// Why there is no manager.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// The local socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The folder of its state.
    #[error("cannot make the folder {path} for the manager's state: {error}; choose another state_dir")]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file that the configuration names.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Threads, or a descriptor.
    #[error("the system gives no threads or descriptors: {0}")]
    System(#[from] io::Error),
}

/// The local socket, taken: nobody is answered yet.
pub struct Place(Socket);

impl Place {
    /// Takes the local socket's place, if there is to be a manager. To be called while there is one thread.
    pub fn take(config: &Config) -> Result<Option<Self>, SocketError> {
        let Some(manager) = &config.manager else {
            return Ok(None);
        };
        let mode = if manager.local_users.is_empty() {
            PRIVATE
        } else {
            OPEN
        };
        Socket::bind(&manager.admin_socket, mode, SETTING)
            .map(Self)
            .map(Some)
    }
}

/// A running manager.
pub struct Manager {
    runtime: Runtime,
    server: Server,
    _place: Place,
}

impl Manager {
    /// Starts it, if there is to be one. Afterwards every director of `grants` has been given its grants.
    pub fn start(
        config: &Config,
        place: Option<Place>,
        grants: &mut Grants,
    ) -> Result<Option<Self>, ManagerError> {
        let (Some(wanted), Some(place)) = (&config.manager, place) else {
            return Ok(None);
        };
        let state = settings::state(config);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&state);
        made.map_err(|error| ManagerError::Folder {
            path: state.clone(),
            error,
        })?;
        let settings = settings::compile(wanted, &state)?;
        let store = sqlite::Sqlite::open(&settings.store, kith_store::Options::default())?;
        let directors = config.directors.iter().map(|director| InProcess {
            name: director.name.clone(),
            address: std::net::SocketAddrV4::new(director.address, director.udp_port),
            capacity: director.pseudo_pool.count,
            grants: grants.open(&director.name),
        });
        let runtime = Builder::new_multi_thread()
            .thread_name("kith-manager")
            .enable_all()
            .build()?;
        let local = place.0.listener().try_clone()?;
        let server = runtime.block_on(Server::start(
            settings,
            Arc::new(store),
            local,
            OPERATORS,
            directors.collect(),
        ))?;
        Ok(Some(Self {
            runtime,
            server,
            _place: place,
        }))
    }

    /// For directors that report.
    #[must_use]
    pub fn host(&self) -> Arc<Host> {
        self.server.host().clone()
    }

    /// Has something ended that should not have?
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.server.is_broken()
    }

    /// Stops in order.
    pub fn stop(self) {
        self.runtime.block_on(self.server.stop());
        self.runtime.shutdown_background();
    }
}

/// What operators' commands do.
const OPERATORS: Operators = Operators {
    compile_policy: kith_manager::policy::compile,
    command: kith_manager::admin::run,
    cost: kith_protocol::authenticator::Argon2Cost::DEFAULT,
};
