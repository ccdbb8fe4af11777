//! The thread that begins memberships: an adapter takes a right that nothing else here needs.

use super::board::{Board, Entry, Start};
use super::member::{self, Member, Message};
use super::{Options, UpError, platform};
use crate::agent::Agent;
use crate::config;
use crate::dns::zones::Zones;
use crate::managed::{self, keep_net_admin};
use crate::manager::Credentials;
use crate::manager::membership::{Input, Membership, Settings};
use crate::orders::{Order, Report};
use kith_protocol::names::Fqdn;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// A membership that can go to work: its reports, and its datapath.
pub(super) type Opened = (Member, Receiver<Report>, Agent);

/// Reports that may wait.
const REPORTS: usize = 256;
/// An earlier membership of the same name is over within this time, or in the way.
const OVER: Duration = Duration::from_secs(6);

/// What every membership is begun with.
pub(super) struct Opener {
    options: Options,
    board: Arc<Board>,
    zones: Zones,
    news: mpsc::Sender<()>,
}

impl Opener {
    pub(super) fn new(options: Options, board: Arc<Board>, zones: Zones, news: mpsc::Sender<()>) -> Self {
        Self {
            options,
            board,
            zones,
            news,
        }
    }

    /// Reads the registration, makes adapter and socket, and starts the datapath.
    pub(super) fn open(&self, fqdn: Fqdn) -> Result<Opened, UpError> {
        let registration = self.options.state.load(&fqdn)?;
        let community = registration.file.community.clone();
        let (me, managers) = Credentials::take(registration.file, registration.identity)
            .map_err(|error| UpError::Registration(fqdn.clone(), error))?;
        let (orders, ordered) = sync_channel::<Order>(member::ORDERS);
        let (reports, reported) = sync_channel::<Report>(REPORTS);
        let tun = self.board.free_adapter();
        let settings = managed::Settings {
            tun: tun.clone(),
            udp: config::Udp {
                port: self.options.port,
                ..config::Udp::default()
            },
            ..managed::Settings::default()
        };
        let agent = Agent::start_managed(settings, ordered, reports)?;
        let settings = Settings {
            udp_port: agent.udp_port(),
            site: self.options.site.clone(),
            platform: platform(),
            program: concat!("kith-agent ", env!("CARGO_PKG_VERSION")).into(),
            computer: computer(),
        };
        let (sender, inbox) = mpsc::channel(member::INBOX);
        self.board.enter(Entry {
            fqdn: fqdn.as_str().into(),
            adapter: tun.clone(),
            udp_port: agent.udp_port(),
            handle: agent.handle(),
            member: sender.clone(),
            ended: false,
        });
        let machine = Membership::new(me, managers, settings, Box::new(crate::entropy::fill));
        let member = Member {
            fqdn,
            community,
            machine,
            state: self.options.state.clone(),
            tun,
            orders,
            sender,
            inbox,
            zones: self.zones.clone(),
            news: self.news.clone(),
        };
        Ok((member, reported, agent))
    }

    /// Goes on in a thread of its own, with no right but to make adapters. For each membership asked for comes what was opened, or nothing.
    pub(super) fn stay(
        self,
        mut starts: mpsc::Receiver<Start>,
    ) -> io::Result<mpsc::Receiver<Option<Opened>>> {
        let (sender, begun) = mpsc::channel(1);
        let work = move || {
            keep_net_admin();
            while let Some(Start { fqdn, answer }) = starts.blocking_recv() {
                self.end(&fqdn);
                let name = fqdn.clone();
                let (opened, outcome) = match self.open(fqdn) {
                    Ok(opened) => (Some(opened), Ok(())),
                    Err(error) => {
                        tracing::warn!(member = %name, %error, "cannot begin the membership");
                        (None, Err(error))
                    }
                };
                if sender.blocking_send(opened).is_err() {
                    return;
                }
                // Who asked may have gone.
                let _told = answer.send(outcome);
            }
        };
        thread::Builder::new().name("kith-opener".into()).spawn(work)?;
        Ok(begun)
    }

    /// One of the same name, with an older registration, leaves first.
    fn end(&self, fqdn: &Fqdn) {
        let begun = Instant::now();
        while let Some(entry) = self.board.find(fqdn).filter(|entry| !entry.ended)
            && begun.elapsed() < OVER
        {
            let _over = entry.member.try_send(Message::Input(Input::Leave));
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The computer's own name, as NetBIOS would have it.
fn computer() -> String {
    let name = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default();
    let first = name.split('.').next().unwrap_or_default();
    let plain = first
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-');
    plain.take(15).collect::<String>().to_uppercase()
}
