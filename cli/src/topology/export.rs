//! `kith topology export`: what a manager has, as a file.

use super::document::document;
use crate::error::Error;
use crate::manager::{Link, ManagerError, Reach};
use crate::output::{self, Format};
use kith_protocol::admin::{ExportRequest, Network};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// At the head of every file.
const HEAD: &str = "\
# What a manager has, as `kith topology export` wrote it: no keys, no passwords, no revoked members.
# What applying it would change: kith topology plan FILE
";

/// `kith topology export`
pub fn run(
    file: Option<&Path>,
    communities: Vec<String>,
    force: bool,
    reach: &Reach,
    format: Format,
) -> Result<u8, Error> {
    let network = ask(&mut Link::connect(reach)?, communities)?;
    let node = document(&network);
    let text = match format {
        Format::Table => HEAD.to_owned() + &node.yaml(),
        Format::Json => serde_json::to_string_pretty(&node).map_err(Error::Json)? + "\n",
    };
    match file {
        None => output::print(&text),
        Some(file) => write(file, &text, force)?,
    }
    Ok(0)
}

/// What the manager has of these communities; of all, if there are none.
pub(super) fn ask(link: &mut Link, communities: Vec<String>) -> Result<Network, Error> {
    let asked = ExportRequest { communities };
    link.ask("export its network", async |admin| admin.export(asked).await)
}

fn write(file: &Path, text: &str, force: bool) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).truncate(force);
    let opened = if force {
        options.create(true)
    } else {
        options.create_new(true)
    }
    .open(file);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let why = match error.kind() {
            ErrorKind::AlreadyExists => "it is there already; `--force` writes over it".to_owned(),
            _ => error.to_string(),
        };
        let file = file.to_owned();
        ManagerError::File { file, why }.into()
    })
}
