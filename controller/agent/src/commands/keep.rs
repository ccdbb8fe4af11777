//! `kith-agent status`, `list`, `leave` and `forget`: what there is, and how to be rid of it.

use super::Terminal;
use crate::state::{State, StateError};
use crate::supervisor::control::{Answer, AskError, Membership, Request, ask};
use kith_protocol::names::{Fqdn, NameError};
use std::path::Path;
use std::time::{Duration, Instant};

/// Why it is not done.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The running agent.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The name.
    #[error("{0:?} is no member's name: {1}")]
    Name(String, NameError),
    /// It is in use.
    #[error("the agent is joined as {0}, and does not leave in time; try again")]
    InUse(String),
    /// An answer of another kind.
    #[error("the agent's answer cannot be understood; is it of another version?")]
    Kind,
    /// The answer cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] serde_json::Error),
}

/// A membership that leaves is over within this time.
const LEAVING: Duration = Duration::from_secs(5);

/// Shows all memberships of the running agent; as JSON, if wanted.
pub fn status(socket: &Path, json: bool, user: &mut dyn Terminal) -> Result<(), KeepError> {
    let memberships = memberships(socket)?;
    if json {
        user.say(&serde_json::to_string_pretty(&memberships)?);
        return Ok(());
    }
    for membership in memberships {
        let at = membership
            .address
            .map_or_else(String::new, |address| format!("  {address}"));
        let Membership {
            fqdn,
            phase,
            adapter,
            udp_port,
            ..
        } = &membership;
        user.say(&format!("{fqdn}  {phase}{at}  {adapter}, UDP port {udp_port}"));
        if let Some(manager) = &membership.manager {
            user.say(&format!("    manager {manager}"));
        }
        if let Some(trouble) = &membership.trouble {
            user.say(&format!("    {trouble}"));
        }
        if let Ok(Answer::Status(status)) = ask(
            socket,
            &Request::Status {
                fqdn: Some(fqdn.clone()),
            },
        ) {
            if let Some(director) = &status.director {
                let state = format!("{:?}", director.state).to_lowercase();
                user.say(&format!("    route director {}  {state}", director.address));
            }
            for peer in &status.peers {
                let keys = format!("{:?}", peer.keys).to_lowercase();
                user.say(&format!("    {}  {}  keys: {keys}", peer.name, peer.address));
            }
        }
    }
    Ok(())
}

/// Shows under which names this device is enrolled.
pub fn list(state: &State, user: &mut dyn Terminal) -> Result<(), KeepError> {
    let names = state.names()?;
    if names.is_empty() {
        user.say("This device is enrolled nowhere. `kith-agent enroll INVITATION` does that.");
    }
    for name in names {
        match state.load(&name) {
            Ok(registration) => {
                let managers = registration.file.managers.iter();
                let managers: Vec<String> = managers
                    .map(|manager| format!("{}:{}", manager.host, manager.port))
                    .collect();
                user.say(&format!("{name}  manager {}", managers.join(", ")));
            }
            Err(error) => user.say(&format!("{name}  {error}")),
        }
    }
    Ok(())
}

/// Has the running agent leave a community, or all.
pub fn leave(socket: &Path, fqdn: Option<String>, user: &mut dyn Terminal) -> Result<(), KeepError> {
    let fqdn = fqdn.map(|fqdn| name(&fqdn)).transpose()?;
    let what = fqdn
        .as_ref()
        .map_or_else(|| "everywhere".into(), |fqdn| format!("as {fqdn}"));
    let request = Request::Leave {
        fqdn: fqdn.map(|fqdn| fqdn.as_str().into()),
    };
    match ask(socket, &request)? {
        Answer::Done => {
            user.say(&format!(
                "Leaving {what}, until `kith-agent up` is started again."
            ));
            Ok(())
        }
        _ => Err(KeepError::Kind),
    }
}

/// Forgets a registration of this device.
pub fn forget(state: &State, socket: &Path, fqdn: &str, user: &mut dyn Terminal) -> Result<(), KeepError> {
    let name = name(fqdn)?;
    // What is not there is not to be left for it.
    state.load(&name).map(drop).or_else(|error| match error {
        StateError::Unknown(_) => Err(error),
        _ => Ok(()),
    })?;
    if is_in_use(socket, &name) {
        leave(socket, Some(name.as_str().into()), user)?;
        let asked = Instant::now();
        while is_in_use(socket, &name) {
            if asked.elapsed() > LEAVING {
                return Err(KeepError::InUse(name.as_str().into()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    state.forget(&name)?;
    user.say(&format!(
        "This device has forgotten that it was {name}. To be so again it takes a new invitation."
    ));
    Ok(())
}

/// If no agent runs, none uses it.
fn is_in_use(socket: &Path, name: &Fqdn) -> bool {
    let running = memberships(socket).unwrap_or_default();
    running
        .iter()
        .any(|membership| membership.fqdn == name.as_str() && membership.phase != "over")
}

fn memberships(socket: &Path) -> Result<Vec<Membership>, KeepError> {
    match ask(socket, &Request::Memberships)? {
        Answer::Memberships { memberships } => Ok(memberships),
        _ => Err(KeepError::Kind),
    }
}

fn name(text: &str) -> Result<Fqdn, KeepError> {
    Fqdn::normalise(text).map_err(|error| KeepError::Name(text.into(), error))
}

#[cfg(test)]
mod tests {
    use super::super::Terminal;
    use super::*;
    use kith_protocol::member::{ManagerAddress, RegistrationFile};

    #[derive(Default)]
    struct Listener(String);

    impl Terminal for Listener {
        fn say(&mut self, line: &str) {
            self.0.push_str(line);
            self.0.push('\n');
        }

        fn ask(&mut self, _: &str) -> Option<String> {
            None
        }
    }

    #[test]
    fn a_device_lists_its_names_and_forgets_them_by_whatever_case() {
        let folder = tempfile::tempdir().unwrap();
        let (state, socket) = (State::at(folder.path()), folder.path().join("none.sock"));
        let mut user = Listener::default();
        list(&state, &mut user).unwrap();
        assert!(user.0.contains("enroll INVITATION"));
        let alice = Fqdn::parse("alice.acme.example").unwrap();
        state.identity(&alice, &mut |out| out.fill(9)).unwrap();
        let manager = ManagerAddress {
            host: "m.example".into(),
            port: 443,
            fingerprint: vec![1; 32],
        };
        let file = RegistrationFile {
            fqdn: "alice.acme.example".into(),
            managers: vec![manager],
            ..RegistrationFile::default()
        };
        state.keep(&alice, &file).unwrap();
        let mut user = Listener::default();
        list(&state, &mut user).unwrap();
        assert_eq!(user.0, "alice.acme.example  manager m.example:443\n");
        forget(&state, &socket, "Alice.ACME.example.", &mut user).unwrap();
        assert!(state.names().unwrap().is_empty());
        let gone = forget(&state, &socket, "alice.acme.example", &mut user).unwrap_err();
        assert!(gone.to_string().contains("kith-agent list"), "{gone}");
    }

    #[test]
    fn without_an_agent_people_are_told_how_to_start_one() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("none.sock");
        let error = status(&socket, false, &mut Listener::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("kith-agent up"), "{error}");
        assert!(matches!(
            leave(&socket, Some("no name!".into()), &mut Listener::default()),
            Err(KeepError::Name(..))
        ));
    }
}
