//! Removes what the harness keeps between runs, if it is this run that made it.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use pgherd_harness::scratch;

/// The directory under which everything is made. Dropped after everything else.
#[derive(Debug)]
pub struct Traces {
    root: PathBuf,
    ours: bool,
}

// === impl Traces ===

impl Traces {
    /// To be called before anything is started.
    pub fn watch() -> Result<Self> {
        let root = scratch::root()?;
        // The tests share this directory with us, and keep initialised Postgres data in it.
        let ours = !root.join("templates").exists();
        Ok(Self { root, ours })
    }

    /// Where each server has a directory of its own, as a pattern.
    pub fn pattern(&self) -> String {
        self.root.join(format!("run/{}-*", std::process::id())).display().to_string()
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // Fails when somebody else has something there: then it stays.
        let nobody_else = || fs::remove_dir(self.root.join("run")).is_ok();
        if self.ours && nobody_else() {
            // Nothing to be done about a failure here.
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}
