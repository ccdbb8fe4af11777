//! Calling the compiler.

use crate::manifest::{Compiler, Manifest};
use crate::{EXTERNS, Error, Folder, P4INFO, SPEC};
use std::io;
use std::path::Path;
use std::process::Command;

/// The compiler's name on PATH.
pub const COMPILER: &str = "p4c-dpdk";
/// The release that matches DPDK 22.11; the program says only its own version, which is the same in all.
pub const RELEASE: &str = "1.2.3.6";

/// Compiles into the folder and writes the manifest; gives the compiler's warnings.
pub fn refresh(folder: &Folder) -> Result<String, Error> {
    let warnings = run(folder, SPEC.as_ref(), P4INFO.as_ref())?;
    Manifest::of(folder, compiler()?)?.write(folder)?;
    Ok(warnings)
}

/// Compiles the folder's program to the files named (relative to the folder, or absolute); gives the compiler's warnings.
///
/// The compiler tells P4Runtime nothing of extern instances: what [`EXTERNS`] says of them stands behind its own words.
pub fn run(folder: &Folder, spec: &Path, p4info: &Path) -> Result<String, Error> {
    let output = Command::new(COMPILER)
        .args(arguments(spec, p4info))
        .current_dir(folder.path())
        .output()
        .map_err(Error::NoCompiler)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(Error::Refused(said));
    }
    let made = folder.path().join(p4info);
    let told = std::fs::read_to_string(&made).map_err(|source| Error::Read {
        path: made.clone(),
        source,
    })?;
    std::fs::write(&made, told + &folder.read(EXTERNS)?)
        .map_err(|source| Error::Write { path: made, source })?;
    Ok(said)
}

/// The compiler on PATH, as the manifest names it.
pub fn compiler() -> Result<Compiler, Error> {
    let output = Command::new(COMPILER)
        .arg("--version")
        .output()
        .map_err(Error::NoCompiler)?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    // The first line is the path it was called by, which says nothing about it.
    let version = said.lines().find_map(|line| line.trim().strip_prefix("Version "));
    Ok(Compiler {
        name: COMPILER.to_owned(),
        release: RELEASE.to_owned(),
        version: version.unwrap_or("unknown").to_owned(),
        arguments: arguments(SPEC.as_ref(), P4INFO.as_ref()),
    })
}

/// Is there a compiler on PATH?
pub fn is_there() -> Result<bool, Error> {
    match Command::new(COMPILER).arg("--version").output() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::NoCompiler(error)),
    }
}

fn arguments(spec: &Path, p4info: &Path) -> Vec<String> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    vec![
        "--arch".to_owned(),
        "pna".to_owned(),
        "-o".to_owned(),
        text(spec),
        "--p4runtime-files".to_owned(),
        text(p4info),
        "kith.p4".to_owned(),
    ]
}
