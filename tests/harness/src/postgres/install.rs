//! Which Postgres programs are used, and as which user.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process::command_as;

/// A directory with Postgres's programs.
#[derive(Clone, Debug)]
pub struct Install {
    bin: PathBuf,
    version: String,
    user: Option<String>,
}

impl Install {
    /// The one that the environment names, else the machine's.
    pub fn find() -> Result<Self> {
        if let Some(bin) = std::env::var_os("PGHERD_PG_BIN") {
            return Self::at(Path::new(&bin));
        }
        let debian = newest_of_debian();
        let bin = debian.or_else(from_pg_config).context(
            "no Postgres server found: install one (Debian: apt-get install postgresql) \
             or set PGHERD_PG_BIN to the directory with postgres and initdb",
        )?;
        Self::at(&bin)
    }

    /// The one in the directory `bin`.
    pub fn at(bin: &Path) -> Result<Self> {
        let postgres = bin.join("postgres");
        let output = Command::new(&postgres)
            .arg("--version")
            .output()
            .with_context(|| format!("cannot run {}", postgres.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
        let version = text.split_whitespace().nth(2).unwrap_or_default().to_owned();
        ensure!(!version.is_empty(), "{} does not tell its version: {text}", postgres.display());
        let user = rustix::process::geteuid()
            .is_root()
            .then(|| std::env::var("PGHERD_PG_USER").unwrap_or_else(|_| "postgres".to_owned()));
        Ok(Self { bin: bin.to_owned(), version, user })
    }

    /// The full version, such as `15.18`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The number before the first dot.
    pub fn major(&self) -> u32 {
        let digits = self.version.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
    }

    /// The path of one of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// The user that servers run as, when that is not us: Postgres refuses to run as root.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// A command as that user.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = command_as(self.user(), true, program);
        command.current_dir("/").env_remove("PGDATA");
        command
    }

    /// Makes a directory that only that user can use.
    pub fn make_private(&self, path: &Path) -> Result<()> {
        run(self.command(Path::new("true"))).context("cannot switch to Postgres's user")?;
        std::fs::create_dir_all(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
        if let Some(user) = self.user() {
            run({
                let mut command = Command::new("chown");
                command.arg(user).arg(path);
                command
            })?;
        }
        Ok(())
    }
}

impl Install {
    /// Copies a file for that user alone.
    pub fn put_private(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
        std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o600))?;
        if let Some(user) = self.user() {
            let mut command = Command::new("chown");
            command.arg(user).arg(to);
            run(command)?;
        }
        Ok(())
    }
}

/// Runs a command to its end; its output is in the error.
pub(crate) fn run(mut command: Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn newest_of_debian() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .flatten()
        .filter_map(|entry| {
            let major = entry.file_name().to_str()?.parse::<u32>().ok()?;
            let bin = entry.path().join("bin");
            bin.join("initdb").is_file().then_some((major, bin))
        })
        .max()
        .map(|(_, bin)| bin)
}

fn from_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let bin = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    bin.join("initdb").is_file().then_some(bin)
}
