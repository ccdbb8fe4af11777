//! Asks as fast as it is answered: so many questions are under way at any time.

use super::{MEMBERS, address, name};
use crate::BenchError;
use crate::flows::Random;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt, sockopt};
use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Questions under way: few enough to fit the smallest of socket buffers, more than a server takes at a time.
const WINDOW: usize = 128;
/// Questions, and answers, a system call.
const BATCH: usize = 32;
/// Asked over and over again.
const QUESTIONS: usize = 1 << 14;
/// After so long without an answer, what is under way is lost.
const LOST: Duration = Duration::from_millis(200);
const A: [u8; 12] = [0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 0];

/// A question about a member: A, with EDNS.
pub fn question(member: u32) -> Vec<u8> {
    let mut query = (member as u16).to_be_bytes().to_vec();
    query.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name(member).split('.') {
        query.push(label.len() as u8);
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    query
}

pub struct Client {
    server: &'static str,
    socket: UdpSocket,
    questions: Vec<Vec<u8>>,
    next: usize,
    under_way: usize,
    buffers: Vec<[u8; 2048]>,
}

/// What came back.
pub struct Counted {
    pub answers: u64,
    pub wall: Duration,
}

impl Client {
    pub fn connect(server: &'static str, port: u16) -> Result<Self, BenchError> {
        let mut random = Random::new(14);
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(BenchError::io("a socket"))?;
        socket
            .connect(("127.0.0.1", port))
            .map_err(BenchError::io(server))?;
        socket
            .set_read_timeout(Some(LOST))
            .map_err(BenchError::io("a timeout"))?;
        // More room is better; without the right to it, the window is small enough.
        let _as_it_is = setsockopt(&socket, sockopt::RcvBufForce, &(4 << 20));
        Ok(Self {
            server,
            socket,
            questions: (0..QUESTIONS).map(|_| question(random.below(MEMBERS))).collect(),
            next: 0,
            under_way: 0,
            buffers: vec![[0; 2048]; BATCH],
        })
    }

    /// Asks for so long, and counts the answers.
    pub fn run(&mut self, length: Duration) -> Result<Counted, BenchError> {
        let begin = Instant::now();
        let mut answers = 0;
        while begin.elapsed() < length {
            while self.under_way + BATCH <= WINDOW {
                self.ask()?;
            }
            answers += self.hear()?;
        }
        let wall = begin.elapsed();
        // What is still under way is not of the next slice.
        while self.under_way > 0 {
            self.hear()?;
        }
        match answers {
            0 => Err(BenchError::Idle(self.server)),
            answers => Ok(Counted { answers, wall }),
        }
    }

    /// Asks for a few members, one after the other, and looks at the answers. Gives the octets of one.
    pub fn verify(&mut self) -> Result<usize, BenchError> {
        let mut octets = 0;
        for member in [0, 1, MEMBERS / 2, MEMBERS - 1] {
            let question = question(member);
            self.socket.send(&question).map_err(BenchError::io(self.server))?;
            let buffer = &mut self.buffers[0];
            let len = self.socket.recv(buffer).map_err(BenchError::io(self.server))?;
            let answer = &buffer[..len];
            let end = question.len() - 11;
            // A response, authoritative, no error; one question, one answer, whose owner is the question's name.
            let mut head = question[..2].to_vec();
            head.extend([0x84, 0, 0, 1, 0, 1, 0, 0]);
            let mut record = vec![0xc0, 12];
            record.extend(&A[..10]);
            record.extend(address(member).octets());
            for (what, got, expected) in [
                ("head of an answer", answer.get(..10), &head[..]),
                ("question of an answer", answer.get(12..end), &question[12..end]),
                ("address", answer.get(end..end + record.len()), &record[..]),
            ] {
                if got != Some(expected) {
                    return Err(BenchError::wrong(
                        self.server,
                        what,
                        expected,
                        got.unwrap_or(answer),
                    ));
                }
            }
            octets = len;
        }
        Ok(octets)
    }

    fn ask(&mut self) -> Result<(), BenchError> {
        let batch: Vec<[IoSlice<'_>; 1]> = (0..BATCH)
            .map(|at| [IoSlice::new(&self.questions[(self.next + at) % QUESTIONS])])
            .collect();
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
        let to = [None; BATCH];
        let sent = sendmmsg(
            self.socket.as_raw_fd(),
            &mut headers,
            &batch,
            to,
            [],
            MsgFlags::empty(),
        );
        let sent = sent
            .map_err(|error| BenchError::io(self.server)(error.into()))?
            .count();
        self.next = (self.next + sent) % QUESTIONS;
        self.under_way += sent;
        Ok(())
    }

    fn hear(&mut self) -> Result<u64, BenchError> {
        let mut batch: Vec<[IoSliceMut<'_>; 1]> = self
            .buffers
            .iter_mut()
            .map(|buffer| [IoSliceMut::new(buffer)])
            .collect();
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
        let fd = self.socket.as_raw_fd();
        let heard = match recvmmsg(fd, &mut headers, batch.iter_mut(), MsgFlags::MSG_WAITFORONE, None) {
            Ok(heard) => heard.count(),
            Err(nix::errno::Errno::EAGAIN) => {
                self.under_way = 0;
                return Ok(0);
            }
            Err(error) => return Err(BenchError::io(self.server)(error.into())),
        };
        self.under_way = self.under_way.saturating_sub(heard);
        Ok(heard as u64)
    }
}
