//! A blocking client of the statistics socket.

use crate::lines;
use crate::stats::{Drops, Neighbors, Request, Response, Sessions, Stats, StatsProtocol, Status};

pub use crate::lines::ClientError;

/// A connection to a dataplane.
pub type Client = lines::Client<StatsProtocol>;

impl Client {
    /// What runs, and on what.
    pub fn status(&mut self) -> Result<Status, ClientError> {
        self.ask(Request::Status, |response| match response {
            Response::Status(status) => Some(status),
            _ => None,
        })
    }

    /// Packets everywhere.
    pub fn stats(&mut self) -> Result<Stats, ClientError> {
        self.ask(Request::Stats, |response| match response {
            Response::Stats(stats) => Some(stats),
            _ => None,
        })
    }

    /// Drops by name.
    pub fn drops(&mut self) -> Result<Drops, ClientError> {
        self.ask(Request::Drops, |response| match response {
            Response::Drops(drops) => Some(drops),
            _ => None,
        })
    }

    /// At most `limit` sessions from the `offset`th on; a limit of 0 is as many as fit one answer.
    pub fn sessions(&mut self, offset: u32, limit: u32) -> Result<Sessions, ClientError> {
        self.ask(Request::Sessions { offset, limit }, |response| match response {
            Response::Sessions(sessions) => Some(sessions),
            _ => None,
        })
    }

    /// Who is on the links.
    pub fn neighbors(&mut self) -> Result<Neighbors, ClientError> {
        self.ask(Request::Neighbors, |response| match response {
            Response::Neighbors(neighbors) => Some(neighbors),
            _ => None,
        })
    }
}
