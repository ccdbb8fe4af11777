//! Directors of this process: the manager lists them without being told by an operator.

use super::StartError;
use super::host::Host;
use super::outlets::{Outlets, Take};
use crate::core::{Actor, AdminReply, Command, GrantOp, Input, Place, Role};
use kith_protocol::admin;
use std::net::SocketAddrV4;
use std::sync::Arc;
use tracing::info;

/// A director that runs beside the manager.
pub struct InProcess {
    /// Its name.
    pub name: String,
    /// As members reach it.
    pub address: SocketAddrV4,
    /// Sessions that it has room for.
    pub capacity: u32,
    /// Takes grants; must not wait.
    pub grants: Take<GrantOp>,
}

impl InProcess {
    /// Connects its grants, and gives what the manager lists.
    pub(super) fn connect(self, outlets: &mut Outlets) -> admin::Director {
        outlets.director(&self.name, self.grants);
        admin::Director {
            name: self.name,
            address: self.address.ip().to_string(),
            port: self.address.port().into(),
            udp: true,
            capacity: self.capacity,
            ..admin::Director::default()
        }
    }
}

/// Enters a director in the manager's list. What an operator has said of it there stays: sites, draining.
pub(super) async fn enter(host: &Arc<Host>, mine: admin::Director) -> Result<(), StartError> {
    let name = mine.name.clone();
    let failed = |why: String| StartError::Director {
        name: name.clone(),
        why,
    };
    let actor = Actor {
        name: "this controller".into(),
        role: Role::Admin,
    };
    let listed = host.command(actor.clone(), Command::ListDirectors).await;
    let AdminReply::Directors(listed) = listed.map_err(|error| failed(error.to_string()))? else {
        return Err(failed("the manager answers another question".into()));
    };
    let known = listed.directors.into_iter().find(|known| known.name == name);
    let wanted = match &known {
        None => mine,
        Some(known) => admin::Director {
            address: mine.address,
            port: mine.port,
            capacity: mine.capacity,
            udp: true,
            ..known.clone()
        },
    };
    if known.as_ref() != Some(&wanted) {
        let put = host.command(actor, Command::PutDirector(wanted)).await;
        put.map_err(|error| failed(error.to_string()))?;
        info!(director = %name, "listed with the manager");
    }
    Ok(())
}

impl Host {
    /// How a director does. To be told when it changes, and now and then.
    pub fn director(self: &Arc<Self>, name: &str, healthy: bool, sessions: u64) {
        self.metrics.director(name, healthy, sessions);
        let name = name.to_owned();
        // Said again every time: a core that was loaded anew knows nothing of it.
        self.tell(Input::DirectorPlace {
            name: name.clone(),
            place: Place::InProcess,
            room: 0,
        });
        self.tell(Input::DirectorHealth {
            name,
            healthy,
            sessions,
            udp: healthy,
            tcp: false,
        });
    }
}
