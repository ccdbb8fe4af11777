//! `kith-agent enroll`: from an invitation to a registration, with the user's help.

use super::Terminal;
use crate::clock;
use crate::keying::Moment;
use crate::link::Link;
use crate::manager::enrolment::{Candidate, Enrolment, Hindrance, Input, Output};
use crate::manager::request::Manager;
use crate::state::{State, StateError};
use crate::supervisor::control::{AskError, Request, ask};
use crate::supervisor::platform;
use kith_protocol::authenticator::{Argon2Cost, CostError};
use kith_protocol::invitation::{Invitation, InvitationError};
use kith_protocol::member::RegistrationFile;
use kith_protocol::names::Fqdn;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// Why there is no registration.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The invitation cannot be read.
    #[error("cannot read the invitation from {0}: {1}")]
    Read(String, io::Error),
    /// It is none.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// It has been used here already.
    #[error(
        "this device is enrolled as {0} already; `kith-agent up` joins it. \
         To enrol anew: `kith-agent forget {0}`, then this again"
    )]
    Enrolled(String),
    /// The folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The password.
    #[error("cannot make the invitation's key: {0}")]
    Cost(#[from] CostError),
    /// The manager.
    #[error("{0}")]
    Hindrance(Hindrance),
    /// The user.
    #[error("no code was typed. When you have it, run this again: a new code will be sent")]
    NoCode,
    /// Something that every process needs.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// No invitation is longer, nor a mail with one.
const LONGEST: u64 = 1 << 20;

/// The invitation, which may be the word itself, a file that holds it, or `-` for standard input. In a file there may be a whole mail around it.
pub fn read_invitation(argument: &str) -> Result<Invitation, EnrollError> {
    let mut text = Zeroizing::new(String::new());
    let failed = |error| EnrollError::Read(argument.into(), error);
    if argument == "-" {
        io::stdin()
            .lock()
            .take(LONGEST)
            .read_to_string(&mut text)
            .map_err(failed)?;
    } else if !argument.starts_with("kith1-") && Path::new(argument).exists() {
        let file = std::fs::File::open(argument).map_err(failed)?;
        file.take(LONGEST).read_to_string(&mut text).map_err(failed)?;
    } else {
        return Ok(Invitation::parse(argument)?);
    }
    // A mail as it travels (RFC 2045 6.7) breaks long lines with "=": no invitation has one.
    let whole = Zeroizing::new(text.replace("=\r\n", "").replace("=\n", ""));
    // The one word of a mail that is an invitation; else all of it, which says best what is wrong.
    let words = [&text, &whole]
        .into_iter()
        .flat_map(|text| text.split_whitespace());
    let found = words
        .filter(|word| word.contains("kith1-"))
        .find_map(|word| Invitation::parse(word).ok());
    Ok(found.map_or_else(|| Invitation::parse(&text), Ok)?)
}

/// Enrols this device. `code`: typed already. The agent at this socket, if one runs, begins the membership at once.
pub fn enroll(
    invitation: &Invitation,
    mut code: Option<String>,
    (state, socket): (&State, &Path),
    cost: Argon2Cost,
    user: &mut dyn Terminal,
) -> Result<(), EnrollError> {
    let fqdn = invitation.fqdn.clone();
    match state.load(&fqdn) {
        Ok(_) => return Err(EnrollError::Enrolled(fqdn.as_str().into())),
        Err(StateError::Unknown(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let manager = Manager {
        host: invitation.host.clone(),
        port: invitation.port,
        fingerprint: invitation.fingerprint.0,
    };
    user.say(&format!(
        "Enrolling this computer as {fqdn} with the manager at {manager} …"
    ));
    let candidate = Candidate {
        manager: manager.clone(),
        fqdn: fqdn.as_str().into(),
        password: invitation.password_key(cost)?,
        identity: state.identity(&fqdn, &mut crate::entropy::fill)?,
        platform: platform(),
        program: concat!("kith-agent ", env!("CARGO_PKG_VERSION")).into(),
    };
    let mut machine = Enrolment::new(now(), candidate, Box::new(crate::entropy::fill));
    let link = Link::new(&manager);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    loop {
        let Some(output) = machine.poll() else {
            // Answers come while requests are made, here: so all there is to wait for is time.
            let due = machine
                .deadline()
                .map_or(0, |due| due.0.saturating_sub(clock::now().0));
            std::thread::sleep(Duration::from_millis(due));
            machine.tick(now());
            continue;
        };
        match output {
            Output::Request(request) => {
                let answer = link.call(request.call, request.envelope.clone(), request.patience);
                let result = runtime.block_on(answer);
                machine.input(
                    now(),
                    Input::Answer {
                        id: request.id,
                        result,
                    },
                );
            }
            Output::AskCode(ask) => {
                let wrong = ask.wrong.map(|wrong| wrong.to_string());
                let typed = match (code.take(), wrong) {
                    (Some(code), _) => code,
                    (None, wrong) => {
                        let minutes = ask.seconds_left.div_ceil(60);
                        match wrong {
                            Some(wrong) => user.say(&capitalised(&wrong)),
                            None => user.say(&format!(
                                "A confirmation code has been sent to {}. It is good for {minutes} minutes.",
                                ask.sent_to
                            )),
                        }
                        user.ask("Confirmation code: ").ok_or(EnrollError::NoCode)?
                    }
                };
                machine.input(now(), Input::Code(typed));
            }
            Output::Retrying(why) => user.say(&format!("{}; trying again …", capitalised(&why.to_string()))),
            Output::Registered(file) => {
                registered(&file, invitation, state, user)?;
                begin(&invitation.fqdn, state, socket, user);
                return Ok(());
            }
            Output::Failed(hindrance) => return Err(EnrollError::Hindrance(hindrance)),
        }
    }
}

fn registered(
    file: &RegistrationFile,
    invitation: &Invitation,
    state: &State,
    user: &mut dyn Terminal,
) -> Result<(), EnrollError> {
    state.keep(&invitation.fqdn, file)?;
    user.say(&format!("This computer is enrolled as {}.", file.fqdn));
    user.say("The invitation and the code are used up: they are of no use to anybody any more.");
    Ok(())
}

/// Enrolled it is, whatever comes of this.
fn begin(fqdn: &Fqdn, state: &State, socket: &Path, user: &mut dyn Terminal) {
    let request = Request::Start {
        fqdn: fqdn.as_str().into(),
        state: state.path().to_owned(),
    };
    match ask(socket, &request) {
        Ok(_) => user.say("The running agent joins now: `kith-agent status` shows how far it is."),
        Err(AskError::Connect { .. }) => {
            user.say("Next: `kith-agent up` joins, or `systemctl start kith-agent` where it is a service.");
        }
        Err(error) => user.say(&format!("The running agent does not join: {error}")),
    }
}

fn now() -> Moment {
    Moment {
        micros: clock::micros(),
        wall_nanos: clock::wall_nanos(),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
#[path = "enroll_tests.rs"]
mod tests;
