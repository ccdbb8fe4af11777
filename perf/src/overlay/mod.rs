//! P9
use crate::{BenchError, measure::Plan, report::Row};
use std::path::PathBuf;
/// Options
pub struct Options {
    /// a
    pub agent: PathBuf,
    /// b
    pub tools: PathBuf,
    /// c
    pub build_boringtun: bool,
}
/// run
pub fn run(_: &Plan, _: &Options) -> Result<Vec<Row>, BenchError> {
    Ok(vec![])
}
