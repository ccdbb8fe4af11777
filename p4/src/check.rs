//! Is everything in the folder of one piece?

use crate::manifest::Manifest;
use crate::{Error, Folder, P4INFO, PICTURE, SPEC, compile, draw};

/// What a check found.
#[derive(Debug)]
pub struct Outcome {
    /// Was the program compiled again? Not without a compiler.
    pub compiled: bool,
    /// What is not as it should be: one sentence each.
    pub differences: Vec<String>,
}

/// Compares sources, outputs and picture with manifest, compiler and each other.
pub fn check(folder: &Folder) -> Result<Outcome, Error> {
    let mut differences = Manifest::read(folder)?.differences(folder)?;
    if draw::picture(folder)? != folder.read(PICTURE)? {
        differences.push(format!("{PICTURE} shows another program; run `kith-p4 draw`"));
    }
    let compiled = compile::is_there()?;
    if compiled {
        differences.extend(recompile(folder)?);
    }
    Ok(Outcome {
        compiled,
        differences,
    })
}

/// Compiles to a place beside the outputs and compares the two.
fn recompile(folder: &Folder) -> Result<Vec<String>, Error> {
    let beside = std::env::temp_dir().join(format!("kith-p4-{}", std::process::id()));
    std::fs::create_dir_all(&beside).map_err(|source| Error::Write {
        path: beside.clone(),
        source,
    })?;
    let made = (|| {
        let again = Folder::at(&beside);
        compile::run(folder, &beside.join("kith.spec"), &beside.join("kith.p4info.txt"))?;
        let mut found = Vec::new();
        for (name, kept) in [("kith.spec", SPEC), ("kith.p4info.txt", P4INFO)] {
            if again.read(name)? != folder.read(kept)? {
                found.push(format!(
                    "{kept} is not what the compiler makes; run `kith-p4 compile`"
                ));
            }
        }
        Ok(found)
    })();
    // What cannot be removed is left to the system's cleaning of its temporary folder.
    let _left = std::fs::remove_dir_all(&beside);
    made
}
