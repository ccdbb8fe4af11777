//! The forwarding pipeline configuration: our program, and no other (specification 1.4, sections 14 and 15).
//!
//! The dataplane runs its program from the start, so Get gives it and Write works before anybody called Set. Set verifies that
//! client and dataplane mean the same program.

use crate::ids;
use crate::proto::config::{P4Info, Preamble};
use crate::proto::v1::get_forwarding_pipeline_config_request::ResponseType;
use crate::proto::v1::set_forwarding_pipeline_config_request::Action;
use crate::proto::v1::{ForwardingPipelineConfig, forwarding_pipeline_config::Cookie};
use tonic::Status;

/// The compiled program, which a client may send along.
const PROGRAM: &[u8] = include_bytes!("../../../../p4/compiled/kith.spec");

/// What was set.
#[derive(Debug, Default)]
pub struct Pipeline {
    cookie: Option<Cookie>,
    device_config: Vec<u8>,
    saved: Option<(Option<Cookie>, Vec<u8>)>,
}

/// What is to be done besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing: the entries stay.
    Keep,
    /// The entries go back to those of the start.
    Reset,
}

impl Pipeline {
    /// Is this request fine, and what does it ask for? Changes nothing.
    ///
    /// # Errors
    /// With the status of the call.
    pub fn verify(&self, action: Action, config: Option<&ForwardingPipelineConfig>) -> Result<Then, Status> {
        match action {
            Action::Unspecified => Err(Status::invalid_argument("the action is UNSPECIFIED; set one")),
            Action::Commit if config.is_some() => Err(Status::invalid_argument(
                "COMMIT takes what VERIFY_AND_SAVE saved; leave the config out",
            )),
            Action::Commit if self.saved.is_none() => {
                Err(Status::not_found("nothing is saved; call VERIFY_AND_SAVE first"))
            }
            Action::Commit => Ok(Then::Keep),
            Action::Verify | Action::VerifyAndSave | Action::VerifyAndCommit | Action::ReconcileAndCommit => {
                matches(
                    config.ok_or_else(|| Status::invalid_argument("there is no config; send the P4Info"))?,
                )?;
                Ok(if action == Action::VerifyAndCommit {
                    Then::Reset
                } else {
                    Then::Keep
                })
            }
        }
    }

    /// Keeps what a verified request brought.
    pub fn apply(&mut self, action: Action, config: Option<ForwardingPipelineConfig>) {
        let brought = config.map(|config| (config.cookie, config.p4_device_config));
        match action {
            Action::Unspecified | Action::Verify => {}
            Action::VerifyAndSave => self.saved = brought,
            Action::Commit => (self.cookie, self.device_config) = self.saved.take().unwrap_or_default(),
            Action::VerifyAndCommit | Action::ReconcileAndCommit => {
                self.saved = None;
                (self.cookie, self.device_config) = brought.unwrap_or_default();
            }
        }
    }

    /// What runs.
    #[must_use]
    pub fn get(&self, parts: ResponseType) -> ForwardingPipelineConfig {
        let info = matches!(parts, ResponseType::All | ResponseType::P4infoAndCookie);
        let device = matches!(parts, ResponseType::All | ResponseType::DeviceConfigAndCookie);
        ForwardingPipelineConfig {
            p4info: info.then(|| ids::p4info().clone()),
            p4_device_config: if device {
                self.device_config.clone()
            } else {
                Vec::new()
            },
            cookie: self.cookie,
        }
    }
}

/// Is it our program?
fn matches(config: &ForwardingPipelineConfig) -> Result<(), Status> {
    let info = config.p4info.as_ref();
    let info = info.ok_or_else(|| {
        Status::invalid_argument("the config has no P4Info; send p4/compiled/kith.p4info.txt")
    })?;
    if let Some(difference) = difference(info, ids::p4info()) {
        return Err(Status::invalid_argument(format!(
            "the P4Info is of another program ({difference}); send the one that GetForwardingPipelineConfig gives"
        )));
    }
    let device = &config.p4_device_config;
    if !device.is_empty() && device != PROGRAM {
        let text = "p4_device_config is another program; leave it empty, or send p4/compiled/kith.spec";
        return Err(Status::invalid_argument(text));
    }
    Ok(())
}

/// Where two programs differ first. The order of objects does not count, nor does what describes the package.
fn difference(theirs: &P4Info, ours: &P4Info) -> Option<String> {
    macro_rules! compare {
        ($($list:ident)*) => { $(
            if let Some(name) = compare(&theirs.$list, &ours.$list, |one| one.preamble.as_ref()) {
                return Some(format!(concat!(stringify!($list), ": {}"), name));
            }
        )* };
    }
    compare!(tables actions counters direct_counters meters direct_meters controller_packet_metadata);
    compare!(action_profiles value_sets registers digests);
    if theirs.externs != ours.externs {
        return Some("externs".to_owned());
    }
    (theirs.type_info != ours.type_info).then(|| "type_info".to_owned())
}

fn compare<T: PartialEq>(theirs: &[T], ours: &[T], preamble: fn(&T) -> Option<&Preamble>) -> Option<String> {
    let name = |one: &T| {
        preamble(one)
            .map(|preamble| preamble.alias.clone())
            .unwrap_or_default()
    };
    let missing = ours.iter().find(|one| !theirs.contains(one));
    let odd = theirs.iter().find(|one| !ours.contains(one));
    missing
        .or(odd)
        .map(name)
        .or_else(|| (theirs.len() != ours.len()).then(|| "an object is there twice".to_owned()))
}
