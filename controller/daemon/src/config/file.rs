//! Reading a configuration and the files that belong to it.

use super::{Config, ConfigError, Grant};
use kith_api::config::{checked, parse, private, read, read_private};
use std::io;
use std::path::Path;
use tracing::info;
use zeroize::Zeroizing;

/// What other users could read, if they could.
const KEYS: &str = "keys";

/// Reads a configuration and its grants files, and checks all. All mistakes in values are reported at once.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let (mode, text) = read(path)?;
    let mut config: Config = parse(path, &text)?;
    if config
        .directors
        .iter()
        .any(|director| !director.grants.is_empty())
    {
        private(path, mode, KEYS)?;
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    if let Some(smtp) = config
        .manager
        .as_mut()
        .and_then(|manager| manager.mail.smtp.as_mut())
        && let Some(password) = &mut smtp.password_file
    {
        *password = folder.join(&*password);
        drop(read_private(password)?);
    }
    if let Some(remote) = &mut config.remote_manager {
        // A token is for one director: that of the section is the only director's.
        if let ([only], Some(token)) = (&mut config.directors[..], &remote.token_file) {
            only.token_file.get_or_insert_with(|| token.clone());
        }
        remote.token_file = remote.token_file.take().map(|token| folder.join(token));
    }
    for director in &mut config.directors {
        if let Some(token) = &mut director.token_file {
            *token = folder.join(&*token);
            // It is read again for each connection: a new token needs no restart.
            drop(read_private(token)?);
        }
        if let Some(grants) = director.grants_file.take() {
            let grants = folder.join(grants);
            let (mode, text) = read(&grants)?;
            private(&grants, mode, KEYS)?;
            director.grants.append(&mut parse::<Vec<Grant>>(&grants, &text)?);
        }
        if let Some(tls) = &mut director.dataplane.tls {
            for file in [&mut tls.ca, &mut tls.certificate, &mut tls.key] {
                *file = folder.join(&*file);
            }
            // That they can be read is better known now than at the first connection.
            for file in [&tls.ca, &tls.certificate] {
                drop(read(file)?);
            }
            let (mode, _) = read(&tls.key)?;
            private(&tls.key, mode, KEYS)?;
        }
    }
    let mistakes = config.mistakes();
    checked(path, config, mistakes)
}

/// As [`load`]; if there is no such file, a manager with all defaults.
pub fn load_or_default(path: &Path) -> Result<Config, ConfigError> {
    match load(path) {
        Err(ConfigError::Read { path: missing, error })
            if missing == path && error.kind() == io::ErrorKind::NotFound =>
        {
            info!(path = %path.display(), "there is no configuration; managing with all defaults");
            Ok(Config::manager_alone())
        }
        other => other,
    }
}

/// Grants as the text of a grants file.
pub fn grants_to_yaml(grants: &[Grant]) -> Result<Zeroizing<String>, serde_saphyr::SerializeError> {
    serde_saphyr::to_string(&grants).map(Zeroizing::new)
}
