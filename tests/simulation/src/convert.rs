//! The core's answers as the wire carries them, and words for stories.

use kith_agent::manager::request::{Answer as Carried, Failure};
use kith_manager::core::{Answer, Call};
use kith_protocol::member::update::Change;
use kith_protocol::member::*;

/// As a member gets it.
pub fn answer(call: Call, answer: Answer) -> Result<Carried, Failure> {
    Ok(match answer {
        Answer::Dropped(_) => return Err(Failure::Dropped),
        Answer::Register(ack) => Carried::Register(RegisterAnswer {
            answer: Some(register_answer::Answer::Ack(ack)),
        }),
        Answer::Confirm(ack) => Carried::Confirm(ConfirmAnswer {
            answer: Some(confirm_answer::Answer::Ack(ack)),
        }),
        Answer::Init(ack) => Carried::Init(Box::new(InitAnswer {
            answer: Some(init_answer::Answer::Ack(*ack)),
        })),
        Answer::Join(ack) => Carried::Join(Box::new(JoinAnswer {
            answer: Some(join_answer::Answer::Ack(*ack)),
        })),
        Answer::Move(ack) => Carried::Move(MoveAnswer {
            answer: Some(move_answer::Answer::Ack(ack)),
        }),
        Answer::Refresh(ack) => Carried::Refresh(RefreshAnswer {
            answer: Some(refresh_answer::Answer::Ack(ack)),
        }),
        Answer::Locate(peer) => Carried::Locate(Box::new(LocateAnswer {
            answer: Some(locate_answer::Answer::Peer(peer)),
        })),
        Answer::Query(ack) => Carried::Query(QueryAnswer {
            answer: Some(query_answer::Answer::Ack(ack)),
        }),
        Answer::Leave(ack) => Carried::Leave(LeaveAnswer {
            answer: Some(leave_answer::Answer::Ack(ack)),
        }),
        Answer::Refused(refusal) => refused(call, refusal),
    })
}

/// A refusal, as the answer to that call carries it.
fn refused(call: Call, refusal: Refusal) -> Carried {
    match call {
        Call::Register => Carried::Register(RegisterAnswer {
            answer: Some(register_answer::Answer::Refusal(refusal)),
        }),
        Call::Confirm => Carried::Confirm(ConfirmAnswer {
            answer: Some(confirm_answer::Answer::Refusal(refusal)),
        }),
        Call::Init => Carried::Init(Box::new(InitAnswer {
            answer: Some(init_answer::Answer::Refusal(refusal)),
        })),
        Call::Join => Carried::Join(Box::new(JoinAnswer {
            answer: Some(join_answer::Answer::Refusal(refusal)),
        })),
        Call::Move => Carried::Move(MoveAnswer {
            answer: Some(move_answer::Answer::Refusal(refusal)),
        }),
        Call::Refresh => Carried::Refresh(RefreshAnswer {
            answer: Some(refresh_answer::Answer::Refusal(refusal)),
        }),
        Call::Locate => Carried::Locate(Box::new(LocateAnswer {
            answer: Some(locate_answer::Answer::Refusal(refusal)),
        })),
        Call::Query => Carried::Query(QueryAnswer {
            answer: Some(query_answer::Answer::Refusal(refusal)),
        }),
        Call::Leave => Carried::Leave(LeaveAnswer {
            answer: Some(leave_answer::Answer::Refusal(refusal)),
        }),
    }
}

/// In a word or two.
pub fn words(answer: &Answer) -> String {
    match answer {
        Answer::Dropped(cause) => cause.word().into(),
        Answer::Refused(refusal) => format!("refused, {:?}: {}", refusal.code(), refusal.reason),
        Answer::Join(ack) => format!(
            "granted, {} at revision {}",
            std::net::Ipv4Addr::from(ack.virtual_address),
            ack.revision
        ),
        Answer::Locate(peer) => format!("{} is {:?}", peer.fqdn, peer.location),
        _ => "granted".into(),
    }
}

/// In a word or two.
pub fn change(change: &Change) -> String {
    match change {
        Change::Peer(peer) => format!("where {} is", peer.fqdn),
        Change::Gone(gone) => format!("that {} is gone", gone.fqdn),
        Change::Policy(policy) => format!("{} rules", policy.rules.len()),
        Change::Ended(refusal) => format!("the end, {:?}", refusal.code()),
        Change::Resync(_) => "resync".into(),
        Change::Synced(_) => "synced".into(),
        Change::Managers(_) => "managers".into(),
    }
}

/// As the core names it.
pub fn call(call: kith_agent::manager::request::Call) -> Call {
    use kith_agent::manager::request::Call as Asked;
    match call {
        Asked::Register => Call::Register,
        Asked::Confirm => Call::Confirm,
        Asked::Init => Call::Init,
        Asked::Join => Call::Join,
        Asked::Move => Call::Move,
        Asked::Refresh => Call::Refresh,
        Asked::Locate => Call::Locate,
        Asked::Query => Call::Query,
        Asked::Leave => Call::Leave,
    }
}
