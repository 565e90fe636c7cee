//! Where pgherd's own binaries are.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// The binary `name` from `PGHERD_BIN_DIR`, or from the directory of the running executable or
/// one of its parents (tests run in `target/PROFILE/deps`). Builds nothing.
pub fn find(name: &str) -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("PGHERD_BIN_DIR") {
        let path = PathBuf::from(directory).join(name);
        if path.is_file() {
            return Ok(path);
        }
        bail!("PGHERD_BIN_DIR is set, but there is no {}", path.display());
    }
    let executable = std::env::current_exe().context("cannot tell where this executable is")?;
    executable
        .ancestors()
        .skip(1)
        .take(3)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "{name} is not built; run `cargo build -p {name}` (looked beside {})",
                executable.display()
            )
        })
}

/// A program of the machine. Debian has some where users' PATH does not look.
pub(crate) fn of_machine(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/bin", "/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut candidates = std::env::split_paths(&path).chain(more).map(|dir| dir.join(name));
    candidates.find(|candidate| candidate.is_file())
}
