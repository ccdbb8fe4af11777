//! Files by HTTP and paced datagrams by iperf3, and what came of them.

use super::{ADDRESS, Net};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Octets of a datagram: it fits the adapter.
const DATAGRAM: u32 = 1200;

/// Datagrams under way at a fixed rate.
pub struct Flow(Child);

/// What became of a flow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrived {
    /// Datagrams sent.
    pub sent: u64,
    /// Of these, how many did not arrive.
    pub lost: u64,
}

impl Arrived {
    pub fn got(self) -> u64 {
        self.sent.saturating_sub(self.lost)
    }
}

impl std::iter::Sum for Arrived {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self { sent: 0, lost: 0 }, |sum, one| Self {
            sent: sum.sent + one.sent,
            lost: sum.lost + one.lost,
        })
    }
}

impl Net {
    /// A file of this many MiB at one end, to be had by [`Net::fetch`] from the other.
    pub fn serve(&mut self, which: usize, mib: u32) {
        let directory = self.directory.path().display().to_string();
        let make = format!("cd {directory} && dd if=/dev/urandom of=file bs=1M count={mib} 2>/dev/null");
        self.good(which, &make);
        self.leave_running(
            which,
            &["python3", "-m", "http.server", "8000", "--bind", ADDRESS[which]],
        );
        self.until("the file server runs", Duration::from_secs(10), |net| {
            let head = format!("curl -sI http://{}:8000/", ADDRESS[which]);
            net.exec(1 - which, &head).status.success()
        });
    }

    /// The file of the other end, all of it and unchanged.
    pub fn fetch(&self, to: usize) {
        let directory = self.directory.path().display().to_string();
        let address = ADDRESS[1 - to];
        let fetch = format!("curl -sf -m 20 -o copy http://{address}:8000/file && cmp file copy");
        self.good(to, &format!("cd {directory} && {fetch}"));
    }

    /// Whoever begins a flow needs this at its other end.
    pub fn take_flows(&mut self, which: usize) {
        self.leave_running(which, &["iperf3", "-s"]);
        self.until("iperf3 listens", Duration::from_secs(10), |net| {
            let listens = "ss -Hltn sport = :5201 | grep -q LISTEN";
            net.exec(which, listens).status.success()
        });
    }

    /// Begins a flow to the other end.
    pub fn flow(&self, from: usize, mbits: u32, seconds: u32) -> Flow {
        let (rate, time, len) = (format!("{mbits}M"), seconds.to_string(), DATAGRAM.to_string());
        let client = Command::new("ip")
            .args(["netns", "exec", &self.namespace(from)])
            .args(["iperf3", "-J", "-u", "-w", "2M", "-c", ADDRESS[1 - from]])
            .args(["-b", &rate, "-t", &time, "-l", &len])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Flow(client)
    }

    /// What the kernel threw away because a queue was full that is not the agent's: packets for its adapter, datagrams for a program.
    pub fn kernel_drops(&self, which: usize) -> u64 {
        let adapter = self.good(which, "cat /sys/class/net/kith0/statistics/tx_dropped");
        let snmp = self.good(which, "grep ^Udp: /proc/net/snmp");
        let mut lines = snmp.lines().map(|line| line.split_whitespace());
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let errors = names.zip(values).find(|(name, _)| *name == "RcvbufErrors");
        let number = |text: &str| text.trim().parse::<u64>().unwrap();
        number(&adapter) + number(errors.unwrap().1)
    }
}

impl Flow {
    pub fn ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub fn arrived(self) -> Arrived {
        let out = self.0.wait_with_output().unwrap();
        let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
        let sum = &said["end"]["sum"];
        let number = |name: &str| sum[name].as_u64();
        let (Some(sent), Some(lost)) = (number("packets"), number("lost_packets")) else {
            panic!("iperf3 says {}", String::from_utf8_lossy(&out.stdout));
        };
        Arrived { sent, lost }
    }
}
