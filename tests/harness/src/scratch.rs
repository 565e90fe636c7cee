//! Directories that vanish with the value that made them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

/// Numbers the directories of this process; identity only, no state.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory of its own that is removed on drop.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes an empty directory that every user may enter; `label` is part of its name.
    pub fn new(label: &str) -> Result<Self> {
        let run = root()?.join("run");
        make_public(&run)?;
        remove_orphans(&run);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = run.join(format!("{}-{number}-{label}", std::process::id()));
        make_public(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into it and tells its path.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::env::var_os("PGHERD_KEEP_SCRATCH").is_none() {
            // Nothing to be done about a failure here; the next run removes orphans.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The directory under which everything is made. Short, since paths of Unix sockets end at 107 bytes.
pub fn root() -> Result<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let root = match std::env::var_os("PGHERD_SCRATCH") {
        Some(path) => PathBuf::from(path),
        None => std::env::temp_dir().join(format!("pgherd-{uid}")),
    };
    make_public(&root)?;
    // The temporary directory is everyone's: somebody else's directory of this name is a trap.
    let owner = fs::metadata(&root).with_context(|| root.display().to_string())?.uid();
    ensure!(owner == uid, "{} belongs to user {owner}, not to us ({uid})", root.display());
    Ok(root)
}

fn make_public(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode != 0o755 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot change the mode of {}", path.display()))?;
    }
    Ok(())
}

/// Removes what processes that were killed left behind.
fn remove_orphans(run: &Path) {
    let Ok(entries) = fs::read_dir(run) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.split('-').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
