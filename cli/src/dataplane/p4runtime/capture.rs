//! `kith dataplane capture`: packets that a target hands up, as they come.
//!
//! The standard gives packets to the primary client alone (P4Runtime 1.4, section 16.1), and beside a controller that is the
//! controller. So there are two ways to see them:
//!
//! ```text
//!  nobody is primary ──► we are, for as long as the capture lasts ──► packets
//!  a controller is   ─┬─ no --take-over: why not, and what it would cost
//!                     └─ --take-over: in its place, until the capture ends ──► packets, which nobody answers meanwhile
//! ```
//!
//! Forwarding between members does not depend on who is primary. When the capture ends, the controller comes back by itself within
//! seconds: it waits that long lest it took the place of one that is only being started again.

use super::decode;
use super::link::{Link, Standing, refused};
use super::pcap::Pcap;
use super::schema::{Field, Schema};
use super::value;
use crate::error::Error;
use crate::output::{self, Format};
use crate::stop::Stop;
use clap::Args;
use kith_p4runtime::client::{Event, Session};
use kith_p4runtime::proto::v1;
use kith_pipeline::reason::PuntReason;
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How often Ctrl-C is looked for.
const PAUSE: Duration = Duration::from_millis(100);

/// What to capture.
#[derive(Debug, Clone, Args)]
pub struct Capturing {
    /// End after so many packets.
    #[arg(short, long, value_name = "NUMBER")]
    pub count: Option<u64>,
    /// End after so many seconds.
    #[arg(short, long, value_name = "SECONDS", value_parser = crate::dataplane::seconds)]
    pub time: Option<f64>,
    /// Also write the frames to this file, for tcpdump or Wireshark.
    #[arg(short = 'w', long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Only packets that come up for this reason: control, ping, source_mismatch, …
    #[arg(short, long)]
    pub reason: Vec<String>,
    /// Take the controller's place for as long as the capture lasts. Nobody answers members meanwhile.
    #[arg(long)]
    pub take_over: bool,
}

/// A packet that came up.
#[derive(Debug, Serialize)]
struct Captured {
    /// Seconds since 1970.
    time: f64,
    port: Option<u64>,
    reason: String,
    octets: usize,
    packet: String,
}

/// `kith dataplane capture`.
pub(super) fn run(link: &mut Link, capturing: &Capturing, format: Format) -> Result<u8, Error> {
    for word in &capturing.reason {
        if !PuntReason::ALL.iter().any(|reason| reason.name() == word) && word.parse::<u16>().is_err() {
            let known: Vec<_> = PuntReason::ALL.iter().map(|reason| reason.name()).collect();
            return Err(Error::Usage(format!(
                "no packet comes up for `{word}`; there are {}",
                known.join(", ")
            )));
        }
    }
    let schema = link.schema()?;
    let pcap = capturing
        .pcap
        .as_ref()
        .map(|path| Pcap::create(path).map_err(|source| io(path, source)));
    let mut pcap = pcap.transpose()?;
    let stop = Stop::on_signals()?;
    let mut session = open(link, capturing.take_over)?;
    let end = capturing
        .time
        .map(|seconds| SystemTime::now() + Duration::from_secs_f64(seconds));
    let mut seen = 0;
    while capturing.count.is_none_or(|count| seen < count) && end.is_none_or(|end| SystemTime::now() < end) {
        // Ctrl-C is how a capture ends.
        if stop.check().is_err() {
            break;
        }
        let packet = match link.told(&mut session, PAUSE)? {
            Some(Event::Packet(packet)) => packet.encode(),
            // Another program's: what is not known is shown as "-".
            Some(Event::Foreign(packet, _)) => packet,
            Some(_) | None => continue,
        };
        let at = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let captured = Captured::of(&schema, at, &packet);
        if !capturing.reason.is_empty() && !capturing.reason.contains(&captured.reason) {
            continue;
        }
        seen += 1;
        if let (Some(pcap), Some(path)) = (&mut pcap, &capturing.pcap) {
            pcap.add(at, &packet.payload).map_err(|source| io(path, source))?;
        }
        match format {
            Format::Table => output::print(&captured.line()),
            // One object a line: a stream has no end to wait for.
            Format::Json => output::print(&(serde_json::to_string(&captured).map_err(Error::Json)? + "\n")),
        }
    }
    eprintln!("{seen} packet{}", if seen == 1 { "" } else { "s" });
    Ok(0)
}

/// Packets go to the primary. An empty place is taken; a controller's only if that was asked for.
fn open(link: &mut Link, take_over: bool) -> Result<Session, Error> {
    const TAKE: &str = "take this client";
    let (mut session, standing) = link.arbitrate(None)?;
    let election = match standing {
        Standing::Backup { somebody: true, .. } if !take_over => {
            return Err(Error::NoCapture { at: link.place() });
        }
        Standing::Backup {
            somebody: true,
            highest,
        } => {
            eprintln!("kith: taking the controller's place: until this capture ends, nobody answers members");
            highest.unwrap_or(0).saturating_add(1)
        }
        Standing::Backup {
            somebody: false,
            highest,
        } => highest.unwrap_or(1),
        Standing::Primary => 1,
        Standing::Refused(status) => return Err(refused(link, TAKE, status)),
    };
    match link.again(&mut session, election)? {
        Standing::Primary => Ok(session),
        Standing::Backup { .. } => Err(Error::NoCapture { at: link.place() }),
        Standing::Refused(status) => Err(refused(link, TAKE, status)),
    }
}

impl Captured {
    fn of(schema: &Schema, at: Duration, packet: &v1::PacketIn) -> Self {
        let fields = schema.packet_in();
        let field = |name: &str| -> Option<u128> {
            let wanted = fields.iter().find(|field: &&Field<'_>| field.name == name)?;
            let given = packet
                .metadata
                .iter()
                .find(|given| given.metadata_id == wanted.id)?;
            value::number(&given.value)
        };
        let reason = field("reason").and_then(|number| usize::try_from(number).ok());
        Self {
            time: at.as_secs_f64(),
            port: field("ingress_port").and_then(|port| port.try_into().ok()),
            reason: match reason {
                Some(number) => PuntReason::ALL
                    .get(number)
                    .map_or_else(|| number.to_string(), |reason| reason.name().to_owned()),
                None => "-".into(),
            },
            octets: packet.payload.len(),
            packet: decode::summary(&packet.payload),
        }
    }

    fn line(&self) -> String {
        let seconds = self.time.rem_euclid(86_400.0);
        let (hours, minutes) = ((seconds / 3600.0) as u32, (seconds / 60.0) as u32 % 60);
        let port = self.port.map_or_else(|| "-".into(), |port| port.to_string());
        format!(
            "{hours:02}:{minutes:02}:{:09.6} port {port} {:<15} {:>4}  {}\n",
            seconds % 60.0,
            self.reason,
            self.octets,
            self.packet
        )
    }
}

fn io(path: &std::path::Path, source: std::io::Error) -> Error {
    Error::Io {
        doing: "write",
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::tests::kith;
    use super::*;

    #[test]
    fn a_packet_is_a_line() {
        let schema = kith();
        let id = |name: &str| {
            schema
                .packet_in()
                .iter()
                .find(|field| field.name == name)
                .unwrap()
                .id
        };
        let metadata = |name: &str, value: u8| v1::PacketMetadata {
            metadata_id: id(name),
            value: vec![value],
        };
        let mut packet = v1::PacketIn {
            payload: vec![0; 9],
            metadata: vec![metadata("ingress_port", 3), metadata("reason", 2)],
        };
        let at = Duration::new(86_400 + 3600 + 61, 1_500_000);
        assert_eq!(
            Captured::of(&schema, at, &packet).line(),
            "01:01:01.001500 port 3 control            9  9 octets, shorter than an Ethernet header\n"
        );
        packet.metadata = vec![metadata("reason", 200)];
        let strange = Captured::of(&schema, at, &packet);
        assert_eq!((strange.port, strange.reason.as_str()), (None, "200"));
    }
}
