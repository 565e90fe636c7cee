//! Unix sockets to listen on: one owner at a time, and no leftovers.
//!
//! As in Postgres there is a lock file beside the socket. It names the process and is locked with
//! flock(2), so that a proxy that was killed leaves no lock behind.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use tokio::net::UnixListener;

/// A bound socket, which is removed in the end.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    lock_path: PathBuf,
    /// Open, and so locked, as long as the socket is there.
    _lock: File,
}

impl UnixSocket {
    /// Binds `.s.PGSQL.<port>` in a directory. What a dead process has left there is replaced; a
    /// socket on which somebody listens is not.
    pub fn bind(directory: &str, port: u16, permissions: u32) -> anyhow::Result<Self> {
        let path = Path::new(directory).join(format!(".s.PGSQL.{port}"));
        let lock_path = Path::new(directory).join(format!(".s.PGSQL.{port}.lock"));
        let cannot = || format!("cannot listen on {}", path.display());
        let lock = lock(&lock_path, directory, port).with_context(cannot)?;
        match remove_stale(&path).and_then(|()| listen(&path, permissions)) {
            Ok(listener) => Ok(Self { listener, path, lock_path, _lock: lock }),
            Err(error) => {
                let _ = fs::remove_file(&lock_path);
                Err(error).with_context(cannot)
            }
        }
    }

    /// The socket itself.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // In this order: who finds no lock finds no socket either.
        for path in [&self.path, &self.lock_path] {
            if let Err(error) = fs::remove_file(path) {
                tracing::debug!("cannot remove {}: {error}", path.display());
            }
        }
    }
}

/// Takes the lock file, or says who has it.
fn lock(path: &Path, directory: &str, port: u16) -> anyhow::Result<File> {
    loop {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("cannot open the lock file {}", path.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let owner = fs::read_to_string(path).unwrap_or_default();
            let pid = owner.lines().next().unwrap_or("unknown").to_owned();
            bail!("process {pid} has locked {}", path.display());
        }
        // Its former owner may have removed the file between our open and our lock.
        let ours = file.metadata()?;
        let there = fs::metadata(path);
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            // A Postgres that wants this socket reads the number and looks whether we live.
            file.set_len(0)?;
            writeln!(file, "{}\n\n\n{port}\n{directory}", std::process::id())?;
            return Ok(file);
        }
    }
}

/// Removes a socket on which nobody listens.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.file_type().is_socket() {
        bail!("there is something else than a socket");
    }
    match UnixStream::connect(path) {
        Ok(_) => bail!("somebody listens on it"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).context("cannot remove what a dead process has left")
        }
        Err(error) => Err(error).context("cannot find out whether somebody listens on it"),
    }
}

fn listen(path: &Path, permissions: u32) -> anyhow::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(permissions))
        .context("cannot set its permissions")?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn one_owner_at_a_time_and_no_leftovers() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().to_str().unwrap();
        let first = UnixSocket::bind(directory, 6432, 0o700).unwrap();
        let mode = fs::metadata(first.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let error = format!("{:#}", UnixSocket::bind(directory, 6432, 0o777).unwrap_err());
        assert!(error.contains(&format!("process {} has locked", std::process::id())), "{error}");
        drop(first);
        assert_eq!(files(scratch.path()), Vec::<String>::new());

        // What a killed process leaves.
        drop(std::os::unix::net::UnixListener::bind(scratch.path().join(".s.PGSQL.6432")).unwrap());
        fs::write(scratch.path().join(".s.PGSQL.6432.lock"), "1\n").unwrap();
        let second = UnixSocket::bind(directory, 6432, 0o777).unwrap();
        assert_eq!(files(scratch.path()), [".s.PGSQL.6432", ".s.PGSQL.6432.lock"]);
        drop(second);
    }

    #[tokio::test]
    async fn what_is_not_ours_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().to_str().unwrap();
        let path = scratch.path().join(".s.PGSQL.5432");
        // Somebody who does not use our lock, such as Postgres itself.
        let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = format!("{:#}", UnixSocket::bind(directory, 5432, 0o777).unwrap_err());
        assert!(error.contains("somebody listens"), "{error}");
        assert_eq!(files(scratch.path()), [".s.PGSQL.5432"]);
        drop(other);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        let error = format!("{:#}", UnixSocket::bind(directory, 5432, 0o777).unwrap_err());
        assert!(error.contains("something else than a socket"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"a file");
        let error = format!("{:#}", UnixSocket::bind("/nowhere", 5432, 0o777).unwrap_err());
        assert!(
            error.contains("/nowhere/.s.PGSQL.5432") && error.contains("No such file"),
            "{error}"
        );
    }
}
