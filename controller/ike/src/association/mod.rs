//! One association: from the first message to the last.
//!
//! ```text
//!  initiator:  Initiating ──IKE_SA_INIT──► Authenticating ──IKE_INTERMEDIATE?, IKE_AUTH──► Up ──► Over
//!  responder:              Responding ─────IKE_INTERMEDIATE?, IKE_AUTH──────────────────► Up ──► Over
//! ```
//!
//! Each stage is a type of its own with only what that stage has, so that no message can be taken in a stage that it is not for.

mod admit;
mod answers;
mod authenticate;
mod begin;
mod child;
pub(crate) mod context;
pub(crate) mod established;
mod followup;
pub(crate) mod hello;
mod initiate;
mod intermediate;
mod nat;
mod pairs;
mod proof;
mod protection;
mod reassembly;
mod rekey;
mod requests;
pub(crate) mod respond;
mod selectors;
pub(crate) mod tasks;
mod time;
mod window;

use crate::codec::{Datagram, Exchange, Identity};
use crate::endpoint::Drop;
use crate::event::Down;
use crate::terms::{Connection, Timing};
use crate::units::{AssociationId, Path, Role};
use authenticate::{Authenticating, Step};
use context::Context;
use established::Established;
use initiate::Initiating;
use respond::Responding;

/// One peer.
pub(crate) struct Association {
    pub(crate) id: AssociationId,
    pub(crate) stage: Stage,
    /// Whom it is with: asked for, or proved.
    pub(crate) peer: Option<Identity>,
}

/// How far it has come.
pub(crate) enum Stage {
    Initiating(Box<Initiating>),
    Authenticating(Box<Authenticating>),
    Responding(Box<Responding>),
    Up(Box<Established>),
    Over,
}

/// What the endpoint must know of what an input did.
#[derive(Default)]
pub(crate) struct Effect {
    /// It came up with this input, and the peer says that it is its only one.
    pub(crate) up: Option<bool>,
    /// It is over.
    pub(crate) down: Option<Down>,
}

impl Association {
    /// Sends the first message.
    pub(crate) fn initiate(
        context: &mut Context<'_>,
        id: AssociationId,
        connection: Connection,
    ) -> Result<Self, Down> {
        let peer = Some(connection.peer.clone());
        let stage = Stage::Initiating(Box::new(Initiating::begin(context, id, connection)?));
        Ok(Self { id, stage, peer })
    }

    /// A stranger was answered.
    pub(crate) fn respond(id: AssociationId, responding: Box<Responding>) -> Self {
        Self {
            id,
            stage: Stage::Responding(responding),
            peer: None,
        }
    }

    /// Who began it.
    pub(crate) fn role(&self) -> Role {
        match &self.stage {
            Stage::Initiating(_) | Stage::Authenticating(_) => Role::Initiator,
            Stage::Responding(_) | Stage::Over => Role::Responder,
            Stage::Up(up) => up.role,
        }
    }

    pub(crate) fn up(&self) -> Option<&Established> {
        match &self.stage {
            Stage::Up(up) => Some(up),
            _ => None,
        }
    }

    pub(crate) fn up_mut(&mut self) -> Option<&mut Established> {
        match &mut self.stage {
            Stage::Up(up) => Some(up),
            _ => None,
        }
    }

    /// A datagram under one of its SPIs.
    pub(crate) fn datagram(
        &mut self,
        context: &mut Context<'_>,
        path: Path,
        datagram: &Datagram<'_>,
    ) -> Effect {
        let header = datagram.header;
        let step = match &mut self.stage {
            Stage::Initiating(stage) if header.response && !header.from_initiator => {
                match stage.answer(context, datagram) {
                    initiate::Step::Wait => Step::Wait,
                    initiate::Step::Down(down) => Step::Down(down),
                    initiate::Step::Keys(negotiated, rtt) => {
                        let begun = (stage.connection.clone(), stage.since);
                        match Authenticating::begin(context, begun, (*negotiated, rtt)) {
                            Ok(next) => {
                                self.stage = Stage::Authenticating(Box::new(next));
                                Step::Wait
                            }
                            Err(down) => Step::Down(down),
                        }
                    }
                }
            }
            Stage::Authenticating(stage) if header.response && !header.from_initiator => {
                stage.answer(context, datagram)
            }
            Stage::Responding(stage) if !header.response && header.from_initiator => {
                stage.request(context, path, datagram)
            }
            Stage::Up(up) => up
                .datagram(context, path, datagram)
                .map_or(Step::Wait, Step::Down),
            _ => {
                context.drop(Drop::WrongStage);
                Step::Wait
            }
        };
        match step {
            Step::Wait => Effect::default(),
            Step::Down(down) => self.down(context, down),
            Step::Up(conclusion) => {
                let initial_contact = conclusion.initial_contact;
                let (role, parts) = match std::mem::replace(&mut self.stage, Stage::Over) {
                    Stage::Authenticating(stage) => (Role::Initiator, stage.into_parts()),
                    Stage::Responding(stage) => (Role::Responder, (stage.negotiated, stage.window, None)),
                    other => {
                        self.stage = other;
                        return Effect::default();
                    }
                };
                let up = Established::new(context, (self.id, role), parts, *conclusion);
                self.peer = Some(up.peer.clone());
                self.stage = Stage::Up(Box::new(up));
                Effect {
                    up: Some(initial_contact),
                    down: None,
                }
            }
        }
    }

    /// Time passes.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Effect {
        let down = match &mut self.stage {
            Stage::Initiating(stage) => stage.poll(context),
            Stage::Authenticating(stage) => stage.poll(context),
            Stage::Responding(stage) => {
                let over = context.now.millis >= stage.since + context.config.timing.handshake;
                over.then_some(Down::Silent)
            }
            Stage::Up(up) => up.poll(context),
            Stage::Over => None,
        };
        down.map_or_else(Effect::default, |down| self.down(context, down))
    }

    /// When it must be polled.
    pub(crate) fn deadline(&self, timing: &Timing) -> u64 {
        match &self.stage {
            Stage::Initiating(stage) => stage.deadline(timing.handshake),
            Stage::Authenticating(stage) => stage.deadline(timing.handshake),
            Stage::Responding(stage) => stage.since + timing.handshake,
            Stage::Up(up) => up.deadline(timing),
            Stage::Over => u64::MAX,
        }
    }

    /// The way to the peer is another one.
    pub(crate) fn moved(&mut self, context: &mut Context<'_>, path: Path) {
        match &mut self.stage {
            Stage::Initiating(stage) => {
                stage.connection.path = path;
                stage.hurry(context);
            }
            Stage::Authenticating(stage) => {
                stage.path = path;
                stage.hurry(context);
            }
            Stage::Up(up) => up.moved(context, path),
            Stage::Responding(_) | Stage::Over => {}
        }
    }

    /// Ends it here and gives everything back. The peer is not told.
    pub(crate) fn down(&mut self, context: &mut Context<'_>, down: Down) -> Effect {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Initiating(stage) => context.give_back_ike_spi(stage.spi),
            Stage::Authenticating(mut stage) => stage.abandon(context),
            Stage::Responding(mut stage) => stage.abandon(context),
            Stage::Up(mut up) => up.end(context),
            Stage::Over => {}
        }
        Effect {
            up: None,
            down: Some(down),
        }
    }

    /// Is this a stranger's first message that was answered already? Then the answer.
    pub(crate) fn answer_again(&self, datagram: &Datagram<'_>) -> Option<Vec<u8>> {
        let Stage::Responding(stage) = &self.stage else {
            return None;
        };
        let [asked, answered] = &stage.negotiated.transcript;
        let same = datagram.header.exchange == Exchange::IkeSaInit && *asked == datagram.octets;
        same.then(|| answered.clone())
    }
}
