//! `kith dataplane ping`: is a director alive, and how far is it? A system ping over UDP, as any host may send it.
//!
//! Each request carries its number and data that the answer must repeat. An answer counts once, if it is exact and in time; what is
//! wrong, late or doubled is counted apart and never as an answer.

use crate::error::Error;
use crate::output::{self, Format};
use clap::Args;
use kith_wire::ping::{HEADER_LEN, Kind, Ping};
use kith_wire::shim::{self, DEFAULT_PORT, DataType, Shim};
use serde::Serialize;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// What to ask, and how often.
#[derive(Debug, Clone, Args)]
pub struct Probe {
    /// The director: ADDRESS or NAME, with :PORT if it is not 20202.
    #[arg(value_name = "ADDRESS[:PORT]")]
    pub director: String,
    /// How many requests.
    #[arg(short, long, default_value = "4", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub count: u32,
    /// Seconds between two requests.
    #[arg(short, long, default_value = "0.5", value_parser = super::seconds)]
    pub interval: f64,
    /// Octets of data in a request.
    #[arg(short, long, default_value = "32", value_parser = clap::value_parser!(u16).range(0..=1400))]
    pub size: u16,
    /// Seconds until an answer is late.
    #[arg(short = 'W', long, default_value = "1", value_parser = super::seconds)]
    pub timeout: f64,
}

/// What became of the requests.
#[derive(Debug, Clone, Serialize)]
pub struct Pinged {
    director: SocketAddrV4,
    /// Requests sent.
    pub sent: u32,
    /// Right answers in time.
    pub answered: u32,
    /// Share of requests without, in percent.
    pub loss_percent: f64,
    /// Right answers after the timeout.
    pub late: u32,
    /// Answers that are not the request's, or come again.
    pub wrong: u32,
    /// Requests that could not even be sent, or came back as unreachable.
    pub refused: u32,
    /// Shortest, mean and longest time, milliseconds; none without an answer.
    pub rtt_ms: Option<Times>,
}

/// Round-trip times, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// The shortest.
    pub min: f64,
    /// The mean.
    pub avg: f64,
    /// The longest.
    pub max: f64,
}

/// `kith dataplane ping`. Exit status 1 if nothing was answered.
pub(super) fn run(wanted: &Probe, format: Format) -> Result<u8, Error> {
    let pinged = probe(wanted, |line| {
        if format == Format::Table {
            output::print(&format!("{line}\n"));
        }
    })?;
    output::show(format, &pinged, describe)?;
    Ok(u8::from(pinged.answered == 0))
}

/// Sends the requests and judges the answers; `say` gets a line for each.
pub fn probe(wanted: &Probe, mut say: impl FnMut(&str)) -> Result<Pinged, Error> {
    let director = resolve(&wanted.director)?;
    let fail = |doing| {
        move |source: io::Error| Error::Io {
            doing,
            path: director.to_string().into(),
            source,
        }
    };
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(fail("open a socket to"))?;
    // Connected: the kernel lets only the director's datagrams through, and reports its ICMP errors.
    socket.connect(director).map_err(fail("reach"))?;
    let mut session = Session::new(
        director,
        usize::from(wanted.size),
        Duration::from_secs_f64(wanted.timeout),
    );
    let interval = Duration::from_secs_f64(wanted.interval);
    let begin = Instant::now();
    for number in 0..wanted.count {
        // Paced by the clock, not by answers: a slow answer does not slow the requests.
        let due = begin + interval * number;
        session.listen(&socket, due, false, &mut say);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        session.ask(&socket, &mut say);
    }
    let end = Instant::now() + session.timeout;
    session.listen(&socket, end, true, &mut say);
    Ok(session.result())
}

struct Session {
    director: SocketAddrV4,
    timeout: Duration,
    /// What the data is made of: nobody off the path knows it.
    token: RandomState,
    size: usize,
    sent: Vec<Request>,
    late: u32,
    wrong: u32,
    refused: u32,
}

struct Request {
    at: Instant,
    rtt: Option<Duration>,
    late: bool,
}

impl Session {
    fn new(director: SocketAddrV4, size: usize, timeout: Duration) -> Self {
        Self {
            director,
            timeout,
            token: RandomState::new(),
            size,
            sent: Vec::new(),
            late: 0,
            wrong: 0,
            refused: 0,
        }
    }

    fn request(&self, number: u32) -> Vec<u8> {
        let mut datagram = vec![0; shim::LEN + HEADER_LEN + self.size];
        for (at, chunk) in datagram[shim::LEN + HEADER_LEN..].chunks_mut(8).enumerate() {
            let octets = self.token.hash_one((number, at)).to_be_bytes();
            chunk.copy_from_slice(&octets[..chunk.len()]);
        }
        match Ping::write_request(&mut datagram, number) {
            Ok(()) => datagram,
            Err(_) => unreachable!("the datagram was made with room for both headers"),
        }
    }

    fn ask(&mut self, socket: &UdpSocket, say: &mut impl FnMut(&str)) {
        let number = u32::try_from(self.sent.len()).unwrap_or(u32::MAX);
        let request = self.request(number);
        self.sent.push(Request {
            at: Instant::now(),
            rtt: None,
            late: false,
        });
        if let Err(error) = socket.send(&request) {
            self.refused += 1;
            say(&format!("request {number}: {error}"));
        }
    }

    /// Takes answers until `end`; with `early`, only until nothing more is to be waited for.
    fn listen(&mut self, socket: &UdpSocket, end: Instant, early: bool, say: &mut impl FnMut(&str)) {
        let mut buffer = [0; 2048];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let complete = self.sent.iter().all(|request| request.rtt.is_some());
            if left.is_zero() || (early && complete) || socket.set_read_timeout(Some(left)).is_err() {
                return;
            }
            match socket.recv(&mut buffer) {
                Ok(len) => say(&self.judge(&buffer[..len], Instant::now())),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return;
                }
                Err(error) => {
                    self.refused += 1;
                    say(&error.to_string());
                }
            }
        }
    }

    fn judge(&mut self, datagram: &[u8], now: Instant) -> String {
        let Some(number) = self.number_of(datagram) else {
            self.wrong += 1;
            return format!(
                "{} octets from {} that are no answer",
                datagram.len(),
                self.director
            );
        };
        let timeout = self.timeout;
        let request = &mut self.sent[number as usize];
        if request.rtt.is_some() {
            self.wrong += 1;
            return format!("answer {number} came again");
        }
        let rtt = now - request.at;
        request.rtt = Some(rtt);
        request.late = rtt > timeout;
        self.late += u32::from(request.late);
        let late = if request.late { ", too late" } else { "" };
        format!(
            "answer {number} from {}: {:.3} ms{late}",
            self.director,
            rtt.as_secs_f64() * 1e3
        )
    }

    /// The number of the request that this is the exact answer to.
    fn number_of(&self, datagram: &[u8]) -> Option<u32> {
        let (shim, body) = Shim::parse(datagram).ok()?;
        let (ping, data) = Ping::parse(body).ok()?;
        let number = ping.sequence.get();
        let asked = (number as usize) < self.sent.len();
        let kind = shim.data_type() == Some(DataType::Ping) && ping.kind() == Kind::Response;
        let exact = asked && kind && data == &self.request(number)[shim::LEN + HEADER_LEN..];
        exact.then_some(number)
    }

    fn result(&self) -> Pinged {
        let in_time = self.sent.iter().filter(|request| !request.late);
        let times: Vec<f64> = in_time
            .filter_map(|request| request.rtt)
            .map(|rtt| rtt.as_secs_f64() * 1e3)
            .collect();
        let (sent, answered) = (self.sent.len() as u32, times.len() as u32);
        let rtt_ms = (!times.is_empty()).then(|| Times {
            min: times.iter().copied().fold(f64::INFINITY, f64::min),
            avg: times.iter().sum::<f64>() / times.len() as f64,
            max: times.iter().copied().fold(0.0, f64::max),
        });
        Pinged {
            director: self.director,
            sent,
            answered,
            loss_percent: f64::from(sent - answered) * 100.0 / f64::from(sent.max(1)),
            late: self.late,
            wrong: self.wrong,
            refused: self.refused,
            rtt_ms,
        }
    }
}

fn resolve(text: &str) -> Result<SocketAddrV4, Error> {
    let with_port = if text.contains(':') {
        text.to_owned()
    } else {
        format!("{text}:{DEFAULT_PORT}")
    };
    let found = with_port
        .to_socket_addrs()
        .map_err(|error| Error::Usage(format!("`{text}` is no director: {error}")))?;
    let mut v4 = found.filter_map(|address| match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    });
    v4.next()
        .ok_or_else(|| Error::Usage(format!("`{text}` has no IPv4 address")))
}

fn describe(pinged: &Pinged) -> String {
    let mut out = format!(
        "\n{}: {} sent, {} answered, {:.1} % lost",
        pinged.director, pinged.sent, pinged.answered, pinged.loss_percent
    );
    for (count, what) in [
        (pinged.late, "late"),
        (pinged.wrong, "wrong"),
        (pinged.refused, "refused"),
    ] {
        if count > 0 {
            out += &format!(", {count} {what}");
        }
    }
    if let Some(Times { min, avg, max }) = pinged.rtt_ms {
        out += &format!("\nround trip min/avg/max {min:.3}/{avg:.3}/{max:.3} ms");
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A director on loopback that treats each datagram like this, and sends back what it gives.
    fn director(mut treat: impl FnMut(&mut Vec<u8>) -> usize + Send + 'static) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                let mut datagram = buffer[..len].to_vec();
                for _ in 0..treat(&mut datagram) {
                    socket.send_to(&datagram, from).unwrap();
                }
            }
        });
        address
    }

    fn asked(director: String, timeout: f64) -> Pinged {
        let wanted = Probe {
            director,
            count: 5,
            interval: 0.02,
            size: 13,
            timeout,
        };
        probe(&wanted, |_| ()).unwrap()
    }

    #[test]
    fn right_answers_are_counted_and_timed() {
        let pinged = asked(
            director(|data| Ping::answer_in_place(data).map_or(0, |()| 1)),
            1.0,
        );
        assert_eq!(
            (pinged.sent, pinged.answered, pinged.wrong, pinged.late),
            (5, 5, 0, 0)
        );
        let times = pinged.rtt_ms.unwrap();
        assert!(times.min <= times.avg && times.avg <= times.max && times.max < 1000.0);
    }

    #[test]
    fn a_wrong_answer_is_none() {
        let flipped = director(|data| {
            Ping::answer_in_place(data).unwrap();
            *data.last_mut().unwrap() ^= 1;
            1
        });
        let pinged = asked(flipped, 0.1);
        assert_eq!(
            (pinged.answered, pinged.wrong, pinged.loss_percent),
            (0, 5, 100.0)
        );
        // An echo of the request is no response.
        assert_eq!(asked(director(|_| 1), 0.1).wrong, 5);
        let twice = asked(
            director(|data| Ping::answer_in_place(data).map_or(0, |()| 2)),
            0.1,
        );
        assert_eq!((twice.answered, twice.loss_percent), (5, 0.0));
        assert!(twice.wrong >= 4);
    }

    #[test]
    fn a_late_answer_is_lost_but_said() {
        let slow = director(|data| {
            thread::sleep(Duration::from_millis(40));
            Ping::answer_in_place(data).map_or(0, |()| 1)
        });
        let pinged = asked(slow, 0.03);
        assert_eq!(pinged.answered, 0);
        assert!(pinged.late >= 1, "{pinged:?}");
    }

    #[test]
    fn silence_is_loss() {
        let pinged = asked(director(|_| 0), 0.05);
        assert_eq!((pinged.answered, pinged.loss_percent), (0, 100.0));
        assert!(pinged.rtt_ms.is_none());
        assert!(describe(&pinged).contains("5 sent, 0 answered, 100.0 % lost"));
    }
}
