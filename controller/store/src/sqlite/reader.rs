//! A thread that reads: every answer is of one revision.

use super::{Reply, copy, rows};
use crate::{Entry, Key, Page, Revision, StoreError};
use rusqlite::Connection;

/// What is asked.
pub(super) enum Read {
    /// One entry.
    Get(Key, Reply<(Option<Entry>, Revision)>),
    /// Entries with a prefix.
    Range {
        /// The prefix.
        prefix: Key,
        /// Behind this key.
        after: Option<Key>,
        /// At most so many.
        limit: usize,
        /// To whom.
        reply: Reply<Page>,
    },
}

/// Answers until nobody can ask.
pub(super) fn run(connection: &Connection, asked: &flume::Receiver<Read>) {
    for read in asked {
        // Callers that no longer wait need no answer.
        match read {
            Read::Get(key, reply) => {
                let _ = reply.send(picture(connection, || {
                    Ok((
                        rows::get(connection, &key)?,
                        Revision(rows::number(connection, "revision")?),
                    ))
                }));
            }
            Read::Range {
                prefix,
                after,
                limit,
                reply,
            } => {
                let _ = reply.send(picture(connection, || {
                    rows::range(connection, &prefix, after.as_ref(), limit)
                }));
            }
        }
    }
}

/// Reads within a transaction: all from one revision.
fn picture<T>(
    connection: &Connection,
    read: impl FnOnce() -> Result<T, rusqlite::Error>,
) -> Result<T, StoreError> {
    let transaction = connection.unchecked_transaction().map_err(copy::failed)?;
    let answer = read().map_err(copy::failed)?;
    transaction.commit().map_err(copy::failed)?;
    Ok(answer)
}
