//! A lab's manager: asked over its Unix socket as an operator would, and its outgoing mail, which is a folder.

use super::record::{self, Record};
use crate::error::Error;
use crate::stop::Stop;
use kith_protocol::admin::admin_client::AdminClient;
use kith_protocol::admin::{ApplyAnswer, ApplyRequest, Network};
use kith_protocol::tls;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::Channel;
use tonic::{Response, Status};

/// How long a letter may take.
const LETTER: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Where operators ask.
#[must_use]
pub fn admin_socket(record: &Record) -> PathBuf {
    record.file("admin.sock")
}

/// Where its letters are put.
#[must_use]
pub fn spool(record: &Record) -> PathBuf {
    record.file("manager.mail")
}

/// A connection to a lab's manager.
pub struct Manager {
    runtime: Runtime,
    client: AdminClient<Channel>,
    socket: PathBuf,
}

impl Manager {
    /// Connects.
    pub fn connect(record: &Record) -> Result<Self, Error> {
        let socket = admin_socket(record);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| record::io("wait for", &socket, source))?;
        let channel = runtime
            .block_on(tls::unix(&socket))
            .map_err(|error| Error::LabManager {
                socket: socket.clone(),
                why: error.to_string(),
            })?;
        Ok(Self {
            runtime,
            client: AdminClient::new(channel),
            socket,
        })
    }

    /// One question, one answer.
    pub fn ask<R>(
        &mut self,
        call: impl AsyncFnOnce(&mut AdminClient<Channel>) -> Result<Response<R>, Status>,
    ) -> Result<R, Error> {
        let answer = self.runtime.block_on(call(&mut self.client));
        answer
            .map(Response::into_inner)
            .map_err(|status| Error::LabManager {
                socket: self.socket.clone(),
                why: status.message().to_owned(),
            })
    }

    /// Makes the manager's network this one. Invitations are in the answer only.
    pub fn apply(&mut self, network: Network) -> Result<ApplyAnswer, Error> {
        let request = ApplyRequest {
            network: Some(network),
            no_mail: true,
            ..ApplyRequest::default()
        };
        self.ask(async |client| client.apply(request).await)
    }
}

/// Letters that are there now.
#[must_use]
pub fn letters(record: &Record) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(spool(record)).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .collect()
}

/// Waits for the letter with this member's confirmation code that was not there `before`, and gives the code.
pub fn code(
    record: &Record,
    fqdn: &str,
    before: &BTreeSet<PathBuf>,
    stop: &Stop,
) -> Result<Option<String>, Error> {
    stop.wait(LETTER, PAUSE, || {
        let mut new = letters(record).into_iter().filter(|path| !before.contains(path));
        Ok(new.find_map(|path| code_in(&fs::read_to_string(path).ok()?, fqdn)))
    })
}

/// The code stands on a line of its own, as 1234-5678.
fn code_in(letter: &str, fqdn: &str) -> Option<String> {
    if !letter.contains(fqdn) {
        return None;
    }
    let mut lines = letter.lines().map(str::trim);
    lines.find(|line| is_code(line)).map(str::to_owned)
}

fn is_code(text: &str) -> bool {
    let digits = |half: &str| half.len() == 4 && half.bytes().all(|octet| octet.is_ascii_digit());
    text.split_once('-')
        .is_some_and(|(one, other)| digits(one) && digits(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_in_its_own_letter_only() {
        let letter = "Subject: Confirmation code for bob.acme.example\r\n\r\ncode is\r\n\r\n    1234-5678\r\n\r\nuntil 2026-1111\r\n";
        assert_eq!(code_in(letter, "bob.acme.example").as_deref(), Some("1234-5678"));
        assert_eq!(code_in(letter, "alice.acme.example"), None);
        assert_eq!(
            code_in(&letter.replace("1234-5678", "soon"), "bob.acme.example"),
            None
        );
    }
}
