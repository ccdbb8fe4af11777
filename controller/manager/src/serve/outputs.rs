//! What the core wants done, handed on in its order to places that never wait; and what becomes of everybody when the core is replaced.

use super::commit::Job;
use super::host::{Desk, Host};
use super::streams::Full;
use crate::core::{AdminError, Answer, Input, Manager, Output, StreamEnd, Time, store_refusal};
use crate::mail::{Letter, MailError};
use kith_protocol::member::update;
use std::sync::Arc;
use tonic::Status;

/// A letter that the core wants sent, until the lock is free.
pub(super) struct Post {
    id: u64,
    generation: u64,
    letter: Letter,
}

impl Host {
    /// Hands on all that the core wants done. Nothing here waits.
    pub(super) fn hand_on(&self, desk: &mut Desk, now: Time, letters: &mut Vec<Post>) {
        let Desk {
            manager: Some(manager),
            generation,
            outlets,
            asking,
            ordering,
            streams,
            planned,
        } = desk
        else {
            return;
        };
        while let Some(output) = manager.poll() {
            match output {
                Output::Commit { id, transaction } => {
                    self.committer.put(Job {
                        generation: *generation,
                        id,
                        transaction,
                    });
                }
                Output::Answer { token, answer } => {
                    if let Some(asked) = asking.remove(&token) {
                        self.metrics.call(asked.call.word(), &outcome(&answer));
                        // Whoever asked may have gone.
                        drop(asked.answer.send(answer));
                    }
                }
                Output::AdminAnswer { token, answer } => {
                    if let Some(asked) = ordering.remove(&token) {
                        drop(asked.send(answer));
                    }
                }
                Output::Push { stream, update } => {
                    let Some(line) = streams.get(&stream) else {
                        continue;
                    };
                    line.peer.prove();
                    // What the core pushes because a queue was full has room: it is the last.
                    let last = matches!(
                        update.change,
                        Some(update::Change::Resync(_) | update::Change::Ended(_))
                    );
                    self.metrics.push();
                    if last {
                        line.push.replace(update);
                    } else if line.push.push(update) == Err(Full) {
                        self.metrics.full();
                        manager.input(now, Input::StreamFull { stream });
                    }
                }
                Output::StreamEnd { stream, why } => {
                    if let Some(line) = streams.remove(&stream) {
                        line.push.end(ended(why));
                    }
                }
                // Nobody may be watching.
                Output::Event(event) => drop(self.events.send(event)),
                Output::Mail { id, mail } => {
                    let letter = Letter {
                        to: mail.to,
                        subject: mail.subject,
                        body: mail.body,
                    };
                    letters.push(Post {
                        id,
                        generation: *generation,
                        letter,
                    });
                }
                Output::Channel(order) => outlets.channel(order),
                Output::Grant(order) => outlets.grant(order),
            }
        }
        let deadline = manager.deadline();
        if deadline.is_some_and(|at| planned.is_none_or(|planned| at < planned)) {
            *planned = deadline;
            self.earlier.notify_one();
        }
    }

    pub(super) fn send(
        self: &Arc<Self>,
        Post {
            id,
            generation,
            letter,
        }: Post,
    ) {
        let host = self.clone();
        let done = move |result: Result<(), MailError>| {
            host.metrics.mail(result.is_ok());
            let result = result.map_err(|problem| problem.to_string());
            host.of_generation(generation, |now, manager| {
                manager.input(now, Input::Mail { id, result })
            });
        };
        self.mailer.send(letter, Box::new(done));
    }

    /// As [`Host::drive`], if it is still the same manager.
    pub(super) fn of_generation(
        self: &Arc<Self>,
        generation: u64,
        act: impl FnOnce(Time, &mut Manager),
    ) -> Option<()> {
        self.drive_with(Some(generation), |_| (), act)
    }

    /// Puts a manager in its place: the first, or one that was loaded again.
    pub(super) fn install(self: &Arc<Self>, manager: Manager) {
        self.drive_with(
            None,
            |desk| {
                desk.planned = None;
                desk.manager = Some(manager);
                desk.outlets.begin();
            },
            |_, _| (),
        );
        self.desk().outlets.end();
    }

    /// Takes the manager away and tells everybody who waits.
    pub(super) fn discard(&self) {
        let mut desk = self.desk();
        desk.manager = None;
        desk.generation += 1;
        for (_, asked) in desk.asking.drain() {
            self.metrics.call(asked.call.word(), "store");
            drop(asked.answer.send(Answer::Refused(store_refusal())));
        }
        for (_, asked) in desk.ordering.drain() {
            drop(asked.send(Err(AdminError::Store("see the manager's log".into()))));
        }
        for (_, line) in desk.streams.drain() {
            line.push.end(Err(unavailable()));
        }
    }

    /// Closes every member's stream: the manager stops, another may come.
    pub(super) fn end_streams(&self) {
        for (_, line) in self.desk().streams.drain() {
            line.push.end(Err(Status::unavailable("the manager stops")));
        }
    }
}

fn outcome(answer: &Answer) -> String {
    match answer {
        Answer::Dropped(cause) => cause.word().into(),
        Answer::Refused(refusal) => refusal.code().as_str_name().to_ascii_lowercase(),
        _ => "granted".into(),
    }
}

fn ended(why: StreamEnd) -> Result<(), Status> {
    match why {
        StreamEnd::Dropped(_) => Err(dropped()),
        StreamEnd::Replaced => Err(Status::aborted("another stream of this run took its place")),
        StreamEnd::Store => Err(unavailable()),
        StreamEnd::Told | StreamEnd::Left => Ok(()),
    }
}

/// "Dropped" (figure 12): the same for every cause.
pub(super) fn dropped() -> Status {
    Status::unauthenticated("")
}

pub(super) fn unavailable() -> Status {
    Status::unavailable("the manager cannot keep anything now; try again")
}
