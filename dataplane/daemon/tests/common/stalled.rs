//! A thread of the dataplane that does nothing for a while: its processor is busy, say. The others run on.

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;

/// It stands until this goes, in the thread that made it.
pub struct Stalled(Pid);

impl Stalled {
    pub(super) fn new(process: u32, thread: &str) -> Self {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let is_it = |folder: &Path| {
            fs::read_to_string(folder.join("comm")).is_ok_and(|name| name.trim_end() == thread)
        };
        let folder = tasks.map(|task| task.unwrap().path()).find(|task| is_it(task));
        let number = folder.expect("such a thread").file_name().unwrap().to_owned();
        let pid = Pid::from_raw(number.to_str().unwrap().parse().unwrap());
        ptrace::seize(pid, Options::empty()).unwrap();
        ptrace::interrupt(pid).unwrap();
        waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap();
        Self(pid)
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        ptrace::detach(self.0, None).unwrap();
    }
}
