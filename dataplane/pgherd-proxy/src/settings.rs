//! The settings of the process: the file, overridden by the command line.

use std::path::Path;

use ahash::AHashMap;
use anyhow::{Context, bail};
use pgherd_config::{Period, ProxyFile, Secret};
use pgherd_pool::{Credentials, Directory, connectors};
use pgherd_session::Limits;
use pgherd_tls::Acceptor;

use crate::options::Options;

/// Reads the file if there is one and lets the command line override it.
pub fn load(options: &Options) -> anyhow::Result<ProxyFile> {
    let mut file = match &options.config {
        Some(path) => read(path)?,
        None => ProxyFile::default(),
    };
    if !options.listen.is_empty() {
        file.proxy.listen.clone_from(&options.listen);
    }
    if let Some(listen) = &options.metrics_listen {
        file.metrics.listen.clone_from(listen);
    }
    if let Some(address) = &options.advertise_address {
        file.proxy.advertise_address = Some(address.clone());
    }
    if options.control_plane.is_empty() && file.clusters.is_empty() {
        bail!("the file has no clusters: add [[clusters]], or name a --control-plane");
    }
    if !options.control_plane.is_empty() && !file.clusters.is_empty() {
        bail!("the file has clusters, and --control-plane is given: only one of them can count");
    }
    Ok(file)
}

/// Reads a file and says what is wrong with it, line by line.
pub fn read(path: &Path) -> anyhow::Result<ProxyFile> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    ProxyFile::from_toml(&text).with_context(|| format!("{} is not valid", path.display()))
}

/// Reads the certificates and keys that the file names, and forgets those for instances again:
/// they are read when the clusters are loaded.
pub fn files(file: &ProxyFile) -> anyhow::Result<Option<Acceptor>> {
    for cluster in &file.clusters {
        connectors(cluster)?;
    }
    acceptor(file)
}

/// TLS towards clients, if it is to be offered.
pub fn acceptor(file: &ProxyFile) -> anyhow::Result<Option<Acceptor>> {
    Acceptor::load(&file.proxy.tls).context("[proxy] tls")
}

/// Writes what is accepted but does not do what one may expect to the log.
pub fn log_warnings(file: &ProxyFile) {
    for warning in file.validate().unwrap_or_default() {
        tracing::warn!("{}: {}", warning.pointer, warning.message);
    }
}

/// Limits for clients that have not logged in.
pub fn limits(file: &ProxyFile) -> Limits {
    Limits {
        login_timeout: file.proxy.login_timeout.limit().unwrap_or(Period::secs(30).0),
        max_clients: file.proxy.max_clients,
        max_user_clients: file.proxy.max_user_clients,
    }
}

/// The users of the admin database.
pub fn admins(file: &ProxyFile, directory: &Directory) -> AHashMap<String, Credentials> {
    file.admin
        .users
        .iter()
        .map(|admin| {
            let salt = directory.salt(&admin.name);
            (admin.name.clone(), Credentials::new(admin.password.clone(), salt))
        })
        .collect()
}

/// The token in a file.
pub fn token(path: &Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the token file {}", path.display()))?;
    Ok(Secret::new(text.trim()))
}
