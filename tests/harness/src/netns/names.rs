//! What host names lead to inside of a namespace.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Namespace;

/// `ip netns exec` puts each file of a namespace's directory here over that of `/etc`.
const FILES: &str = "/etc/netns";

impl Namespace {
    /// Makes this its `/etc/hosts`, for programs that are started in it afterwards, and changes what
    /// those see that know one already.
    pub fn set_hosts(&self, hosts: &[(&str, IpAddr)]) -> Result<()> {
        let directory = directory(self.name());
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let line = |(name, addr): &(&str, IpAddr)| format!("{addr} {name}\n");
        let text: String = hosts.iter().map(line).collect();
        // In place: what lies over `/etc/hosts` is this file, not this name.
        fs::write(directory.join("hosts"), format!("127.0.0.1 localhost\n{text}"))?;
        Ok(())
    }
}

/// Removes what was made for a namespace.
pub(super) fn forget(name: &str) {
    let _ = fs::remove_dir_all(directory(name));
    // Only the last one can.
    let _ = fs::remove_dir(FILES);
}

fn directory(name: &str) -> PathBuf {
    Path::new(FILES).join(name)
}
