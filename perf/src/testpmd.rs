//! DPDK's own forwarder, driven through its prompt.

use crate::BenchError;
use crate::measure::clock;
use crate::port::{CACHE, MBUFS, MEMORY_MIB};
use nix::time::ClockId;
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

const PROMPT: &str = "testpmd> ";
/// Heads the counts that `stop` prints, and ends them.
const COUNTS: &str = "Accumulated forward statistics";
const DONE: &str = "Done.";

/// A `dpdk-testpmd` in `io` mode over two `net_null` ports, standing still.
pub struct Testpmd {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    clock: ClockId,
}

impl Testpmd {
    /// Starts it, with its one forwarding thread on `cpu`.
    pub fn start(cpu: usize, huge_pages: bool) -> Result<Self, BenchError> {
        // Its main thread only waits for commands; it may do that on any CPU.
        let main = usize::from(cpu == 0 && std::thread::available_parallelism().is_ok_and(|n| n.get() > 1));
        // Without a terminal it would keep what it prints to itself: stdbuf, which becomes it, makes it print line by line.
        let mut command = Command::new("stdbuf");
        command.args(["--output=L", "dpdk-testpmd"]);
        command.args([
            &format!("--lcores=0@{main},1@{cpu}"),
            "--no-pci",
            &format!("--file-prefix=kith-bench-{}", std::process::id()),
        ]);
        command.args([
            "--vdev=net_null0,size=64",
            "--vdev=net_null1,size=64",
            "--log-level=error",
        ]);
        if huge_pages {
            // As we take them: needs no mounted hugetlbfs.
            command.arg("--in-memory");
        } else {
            command.args(["--no-huge", "-m", &MEMORY_MIB.to_string()]);
        }
        command.args([
            "--",
            "--interactive",
            "--forward-mode=io",
            "--nb-cores=1",
            "--no-flush-rx",
        ]);
        command.args(["--burst=32", "--rxd=1024", "--txd=1024"]);
        command.args([
            &format!("--total-num-mbufs={MBUFS}"),
            &format!("--mbcache={CACHE}"),
        ]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(BenchError::io("start dpdk-testpmd"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both are piped");
        };
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(child.id() as i32))
            .map_err(|errno| BenchError::io("the CPU clock of dpdk-testpmd")(errno.into()))?;
        let mut started = Self {
            child,
            stdin,
            stdout,
            clock,
        };
        started.until(PROMPT, PROMPT)?;
        Ok(started)
    }

    /// Lets it forward for a while: nanoseconds of its CPU time a packet.
    pub fn slice(&mut self, length: Duration) -> Result<f64, BenchError> {
        let before = clock(self.clock);
        self.say("start")?;
        std::thread::sleep(length);
        self.say("stop")?;
        let answer = self.until(COUNTS, DONE)?;
        let took = clock(self.clock) - before;
        let packets = sent(&answer).filter(|packets| *packets > 0);
        let packets = packets.ok_or_else(|| self.failed(&format!("no packet count in {answer:?}")))?;
        Ok(took.as_nanos() as f64 / packets as f64)
    }

    fn say(&mut self, command: &str) -> Result<(), BenchError> {
        writeln!(self.stdin, "{command}").map_err(BenchError::io("write to dpdk-testpmd"))
    }

    /// What it says until it has said `middle` and ends with `end`. (Prompts are no guide: it prints as many as it likes.)
    fn until(&mut self, middle: &str, end: &str) -> Result<String, BenchError> {
        let mut text = String::new();
        let mut octet = [0];
        while !(text.ends_with(end) && text.contains(middle)) {
            let got = self
                .stdout
                .read(&mut octet)
                .map_err(BenchError::io("read from dpdk-testpmd"))?;
            if got == 0 {
                return Err(self.failed(&text));
            }
            text.push(char::from(octet[0]));
        }
        Ok(text)
    }

    fn failed(&self, what: &str) -> BenchError {
        BenchError::Program {
            program: "dpdk-testpmd".into(),
            what: what.to_owned(),
        }
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        // It may be gone already; there is nothing else to try.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Packets sent through all ports, from what `stop` prints.
fn sent(answer: &str) -> Option<u64> {
    let (_, all) = answer.split_once(COUNTS)?;
    let (_, after) = all.split_once("TX-packets:")?;
    after.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_that_of_all_ports() {
        let answer = "
  ---------------------- Forward statistics for port 0  ----------------------
  RX-packets: 100            RX-dropped: 0             RX-total: 100
  TX-packets: 101            TX-dropped: 0             TX-total: 101
  +++++++++++++++ Accumulated forward statistics for all ports+++++++++++++++
  RX-packets: 203            RX-dropped: 0             RX-total: 203
  TX-packets: 204            TX-dropped: 0             TX-total: 204
testpmd> ";
        assert_eq!(sent(answer), Some(204));
        assert_eq!(sent("Stopping"), None);
    }
}
