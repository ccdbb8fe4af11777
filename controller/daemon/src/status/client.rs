//! A blocking client of the status socket.

use super::{Grants, Part, Request, Response, Sessions, Status, StatusProtocol};
use kith_api::lines::{self, ClientError};
use std::path::Path;

/// A connection to a controller.
#[derive(Debug)]
pub struct Client(lines::Client<StatusProtocol>);

impl Client {
    /// Connects to the controller with this status socket.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        lines::Client::connect(path).map(Self)
    }

    /// What runs, and how it stands with each dataplane.
    pub fn status(&mut self) -> Result<Status, ClientError> {
        self.0.ask(Request::Status, |response| match response {
            Response::Status(status) => Some(status),
            _ => None,
        })
    }

    /// Some of a director's sessions.
    pub fn sessions(&mut self, part: Part) -> Result<Sessions, ClientError> {
        self.0.ask(Request::Sessions(part), |response| match response {
            Response::Sessions(sessions) => Some(sessions),
            _ => None,
        })
    }

    /// Some of a director's grants.
    pub fn grants(&mut self, part: Part) -> Result<Grants, ClientError> {
        self.0.ask(Request::Grants(part), |response| match response {
            Response::Grants(grants) => Some(grants),
            _ => None,
        })
    }
}
