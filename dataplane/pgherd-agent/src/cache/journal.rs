//! Which content is being activated, and how often a process died while it did that.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use super::{CacheError, write_synced};

const FILE: &str = "activation.json";
/// Contents whose deaths are remembered.
const REMEMBERED: usize = 8;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Journal {
    /// The content whose activation has begun and not ended.
    activating: Option<String>,
    /// Contents that a process died of, the latest last.
    deaths: Vec<(String, u32)>,
}

impl Journal {
    /// Reads what the process before has left; an activation that it began and did not end
    /// counts as its death.
    pub(super) fn read(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let mut journal: Self = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(file = %path.display(), %error, "the activation journal is damaged");
                Self::default()
            }),
            // Missing in a new directory; anything else shows when it is written.
            Err(_) => Self::default(),
        };
        if let Some(content_hash) = journal.activating.take() {
            tracing::warn!(%content_hash, "the last process died while it activated this snapshot");
            let before = journal.deaths(&content_hash);
            journal.deaths.retain(|(hash, _)| *hash != content_hash);
            journal.deaths.push((content_hash, before.saturating_add(1)));
            let surplus = journal.deaths.len().saturating_sub(REMEMBERED);
            journal.deaths.drain(..surplus);
        }
        journal
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), CacheError> {
        let bytes = serde_json::to_vec(self).expect("strings and numbers are valid JSON");
        write_synced(dir, FILE, &bytes)
    }

    pub(super) fn deaths(&self, content_hash: &str) -> u32 {
        self.deaths.iter().find(|(hash, _)| hash == content_hash).map_or(0, |(_, count)| *count)
    }

    pub(super) fn begin(&mut self, content_hash: &str) {
        self.activating = Some(content_hash.to_owned());
    }

    /// Notes the end of the activation; one that succeeded clears the content's name.
    pub(super) fn end(&mut self, succeeded: bool) {
        if let Some(content_hash) = self.activating.take()
            && succeeded
        {
            self.deaths.retain(|(hash, _)| *hash != content_hash);
        }
    }
}
