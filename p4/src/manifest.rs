//! What the compiled outputs were made from: hashes, compiler, arguments.

use crate::{EXTERNS, Error, Folder, MANIFEST, P4INFO, SPEC};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The manifest, as it stands in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Who compiled.
    pub compiler: Compiler,
    /// SHA-256 of every source, by its name in the folder.
    pub inputs: BTreeMap<String, String>,
    /// SHA-256 of what came out.
    pub outputs: BTreeMap<String, String>,
}

/// The compiler, and how it was called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compiler {
    /// The program's name.
    pub name: String,
    /// The release of p4c it is from.
    pub release: String,
    /// What it says of itself.
    pub version: String,
    /// Its arguments, in the program's folder.
    pub arguments: Vec<String>,
}

impl Manifest {
    /// A manifest of the folder as it is now.
    pub fn of(folder: &Folder, compiler: Compiler) -> Result<Self, Error> {
        Ok(Self {
            compiler,
            inputs: hashes(folder, &sources(folder)?)?,
            outputs: hashes(folder, &[SPEC.to_owned(), P4INFO.to_owned()])?,
        })
    }

    /// The manifest that stands in the folder.
    pub fn read(folder: &Folder) -> Result<Self, Error> {
        serde_json::from_str(&folder.read(MANIFEST)?).map_err(|source| Error::Manifest { source })
    }

    /// Puts it there.
    pub fn write(&self, folder: &Folder) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(self).map_err(|source| Error::Manifest { source })?;
        text.push('\n');
        folder.write(MANIFEST, &text)
    }

    /// What in the folder is not as it says: one sentence each.
    pub fn differences(&self, folder: &Folder) -> Result<Vec<String>, Error> {
        let now = Self::of(folder, self.compiler.clone())?;
        let mut found = Vec::new();
        for (said, is) in [(&self.inputs, &now.inputs), (&self.outputs, &now.outputs)] {
            for (name, hash) in said {
                match is.get(name) {
                    None => found.push(format!("{name} is in the manifest and not in the folder")),
                    Some(other) if other != hash => {
                        found.push(format!("{name} is not what the manifest's hash says"));
                    }
                    Some(_) => {}
                }
            }
            for name in is.keys().filter(|name| !said.contains_key(*name)) {
                found.push(format!("{name} is in the folder and not in the manifest"));
            }
        }
        Ok(found)
    }
}

/// The sources' names in the folder, sorted.
pub fn sources(folder: &Folder) -> Result<Vec<String>, Error> {
    let path = folder.path().join("kith");
    let failed = |source| Error::Read {
        path: path.clone(),
        source,
    };
    let mut names = vec!["kith.p4".to_owned(), EXTERNS.to_owned()];
    for entry in std::fs::read_dir(&path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if let Some(name) = name.to_str().filter(|name| name.ends_with(".p4")) {
            names.push(format!("kith/{name}"));
        }
    }
    names.sort();
    Ok(names)
}

fn hashes(folder: &Folder, names: &[String]) -> Result<BTreeMap<String, String>, Error> {
    names
        .iter()
        .map(|name| Ok((name.clone(), sha256(folder.read(name)?.as_bytes()))))
        .collect()
}

fn sha256(content: &[u8]) -> String {
    let hash = digest(&SHA256, content);
    hash.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256() {
        // FIPS 180-4, example B.1.
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
