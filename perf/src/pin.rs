//! Which CPU a thread runs on.

use crate::BenchError;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// CPUs that this thread may use.
pub(crate) fn allowed() -> Result<CpuSet, BenchError> {
    sched_getaffinity(Pid::from_raw(0)).map_err(|error| BenchError::io("CPUs")(error.into()))
}

/// This thread, and those that it makes, use these only.
pub(crate) fn pin(to: &CpuSet) -> Result<(), BenchError> {
    sched_setaffinity(Pid::from_raw(0), to).map_err(|error| BenchError::io("binding to a CPU")(error.into()))
}

/// One CPU.
pub(crate) fn set_of(cpu: usize) -> Result<CpuSet, BenchError> {
    let mut set = CpuSet::new();
    set.set(cpu)
        .map_err(|error| BenchError::io(format!("CPU {cpu}"))(error.into()))?;
    Ok(set)
}

/// Another one that this thread may use.
pub(crate) fn other_cpu(cpu: usize) -> Option<usize> {
    let allowed = allowed().ok()?;
    (0..CpuSet::count())
        .rev()
        .find(|other| *other != cpu && allowed.is_set(*other).unwrap_or(false))
}
