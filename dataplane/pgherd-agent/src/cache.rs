//! Keeps the last good snapshots and the manual bans on disk, so that a proxy starts while the control plane is away.
//!
//! Snapshots are numbered files in the order in which they were activated, each written beside
//! its final name, synced and renamed. They hold secrets: only the owner can read them. A journal
//! says which content is being activated, so that a proxy that dies of one starts from another.

mod journal;
mod record;

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use pgherd_proto::v1::SnapshotId;

use crate::bans::Kept;
use journal::Journal;
use record::{decode, encode};

/// Good snapshots that are kept.
const KEPT: usize = 3;
/// Larger files are no snapshots: 16 MiB of document and a header.
const FILE_BYTES: u64 = 17 << 20;
const PREFIX: &str = "snapshot.";
const LOCK: &str = "lock";
const BANS: &str = "bans.json";
/// Activations that a content may have cut short before it is refused.
const DEATHS: u32 = 2;

/// Why a cache directory cannot be used. A damaged snapshot in it is no such reason.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system refuses a file operation.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, as in "write".
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process uses the directory.
    #[error("the cache directory {} is in use by another proxy", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

/// A snapshot as it was stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its name.
    pub id: SnapshotId,
    /// The topology as JSON.
    pub document: Vec<u8>,
}

/// The cache directory of one proxy, locked for as long as this lives.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    journal: Journal,
    _lock: File,
}

impl Cache {
    /// Opens the directory, makes it where it is missing, and locks it.
    ///
    /// # Errors
    /// When the directory cannot be made, read or locked.
    pub fn open(dir: &Path) -> Result<Self, CacheError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| io_error("create", dir, source))?;
        let path = dir.join(LOCK);
        let lock = private_file(&path).map_err(|source| io_error("open", &path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(CacheError::InUse { path: dir.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(io_error("lock", &path, source)),
        }
        let cache = Self { dir: dir.to_owned(), journal: Journal::read(dir), _lock: lock };
        // Whoever cannot write here would find out only when it is too late.
        cache.journal.write(dir)?;
        Ok(cache)
    }

    /// The snapshot to start from: the newest that is undamaged and killed nobody.
    ///
    /// One that a proxy died of while activating it comes after all others, and not at all once
    /// that has happened twice.
    pub fn load_newest_good(&self) -> Option<Stored> {
        self.load_good().next()
    }

    /// All snapshots to start from, the best first.
    pub fn load_good(&self) -> impl Iterator<Item = Stored> {
        let mut found: Vec<(u32, u64, Stored)> = self
            .numbers()
            .into_iter()
            .filter_map(|number| {
                let stored = self.load(number)?;
                Some((self.journal.deaths(&stored.id.content_hash), number, stored))
            })
            .filter(|(deaths, _, _)| *deaths < DEATHS)
            .collect();
        found.sort_by_key(|(deaths, number, _)| (*deaths, std::cmp::Reverse(*number)));
        found.into_iter().map(|(_, _, stored)| stored)
    }

    /// Keeps the manual bans, instead of those that were kept before.
    pub(crate) fn store_bans(&self, kept: &Kept) -> Result<(), CacheError> {
        let document = serde_json::to_vec(kept).expect("bans have only string keys");
        write_synced(&self.dir, BANS, &document)
    }

    /// The manual bans that were kept; a damaged file says nothing.
    pub(crate) fn load_bans(&self) -> Option<Kept> {
        let path = self.dir.join(BANS);
        // Missing until there is a ban; anything else shows when it is written.
        let length = fs::metadata(&path).ok()?.len();
        let text = if length <= FILE_BYTES { fs::read(&path).ok()? } else { Vec::new() };
        let read = serde_json::from_slice(&text);
        read.inspect_err(|error| {
            tracing::warn!(file = %path.display(), %error, "the cached manual bans are damaged");
        })
        .ok()
    }

    /// Whether proxies died so often of activating this content that it is not to be tried.
    pub fn is_deadly(&self, content_hash: &str) -> bool {
        self.journal.deaths(content_hash) >= DEATHS
    }

    /// Notes that a content is about to be activated.
    ///
    /// # Errors
    /// When the note cannot be written; activating without it only loses this protection.
    pub fn begin(&mut self, content_hash: &str) -> Result<(), CacheError> {
        self.journal.begin(content_hash);
        self.journal.write(&self.dir)
    }

    /// Notes that what came from this cache has been activated.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn survive(&mut self) -> Result<(), CacheError> {
        self.journal.end(true);
        self.journal.write(&self.dir)
    }

    /// Notes that the activation was refused and the process lives.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn abandon(&mut self) -> Result<(), CacheError> {
        self.journal.end(false);
        self.journal.write(&self.dir)
    }

    /// Keeps a snapshot that has been activated and forgets all but the last three contents.
    ///
    /// # Errors
    /// When it cannot be written; those kept before are still there then.
    pub fn commit(&mut self, stored: &Stored) -> Result<(), CacheError> {
        let numbers = self.numbers();
        let next = numbers.last().map_or(1, |number| number.saturating_add(1));
        write_synced(&self.dir, &file_name(next), &encode(stored))?;
        self.journal.end(true);
        self.journal.write(&self.dir)?;
        self.prune(&numbers, &stored.id.content_hash)
    }

    /// Removes what is damaged, doubled, or older than the three newest contents.
    fn prune(&self, older: &[u64], newest: &str) -> Result<(), CacheError> {
        let mut kept = vec![newest.to_owned()];
        for number in older.iter().rev() {
            match self.load(*number) {
                Some(stored) if kept.len() < KEPT && !kept.contains(&stored.id.content_hash) => {
                    kept.push(stored.id.content_hash);
                }
                Some(_) | None => {
                    let path = self.dir.join(file_name(*number));
                    fs::remove_file(&path).map_err(|source| io_error("remove", &path, source))?;
                }
            }
        }
        Ok(())
    }

    /// The numbers of the files, the oldest first.
    fn numbers(&self) -> Vec<u64> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(dir = %self.dir.display(), %error, "cannot list cached snapshots");
                return Vec::new();
            }
        };
        let mut numbers: Vec<u64> = entries
            .filter_map(|entry| {
                entry.ok()?.file_name().to_str()?.strip_prefix(PREFIX)?.parse().ok()
            })
            .collect();
        numbers.sort_unstable();
        numbers
    }

    fn load(&self, number: u64) -> Option<Stored> {
        let path = self.dir.join(file_name(number));
        let decoded = match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > FILE_BYTES => Err("it is too large".to_owned()),
            Ok(_) => fs::read(&path)
                .map_err(|error| error.to_string())
                .and_then(|bytes| decode(&bytes).map_err(|error| error.to_string())),
            Err(error) => Err(error.to_string()),
        };
        decoded
            .inspect_err(|reason| {
                tracing::warn!(file = %path.display(), %reason, "a cached snapshot is unusable");
            })
            .ok()
    }
}

fn file_name(number: u64) -> String {
    format!("{PREFIX}{number:012}")
}

fn io_error(operation: &'static str, path: &Path, source: io::Error) -> CacheError {
    CacheError::Io { operation, path: path.to_owned(), source }
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Replaces a file so that after a crash either the old or the new one is there, whole.
fn write_synced(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), CacheError> {
    let (path, unfinished) = (dir.join(name), dir.join(format!("unfinished.{name}")));
    let write = || -> io::Result<()> {
        // A file left from a crash may have been made under another umask or by another hand.
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = private_file(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| io_error("write", &path, source))
}

#[cfg(test)]
mod tests;
