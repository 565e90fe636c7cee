//! A running control plane with its files.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use pgherd_harness::{postgres::Postgres, process::Process};
use rustix::process::Signal;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Binary {
    process: Process,
    files: TempDir,
    address: String,
}

pub struct Tokens {
    pub admin: String,
    pub proxy: String,
}

/// A server with an empty database, and its URL.
pub fn database() -> (Postgres, String) {
    let postgres = Postgres::start().unwrap();
    postgres.create_database("control").unwrap();
    let url = postgres.url("control");
    (postgres, url)
}

impl Binary {
    /// Starts one and waits until it serves.
    pub fn start(url: &str, arguments: &[&str]) -> Self {
        let mut binary = Self::spawn(url, arguments);
        binary.wait_for("listening on http://");
        let log = binary.log();
        let address = log.split("listening on http://").nth(1).unwrap();
        binary.address = address.lines().next().unwrap().to_owned();
        binary
    }

    /// Starts another one over the same files.
    pub fn start_again(self, url: &str) -> Self {
        let Self { process, files, .. } = self;
        drop(process);
        let process = launch(url, &[], files.path(), "again.log");
        let mut binary = Self { process, files, address: String::new() };
        binary.wait_for("listening on http://");
        binary
    }

    /// Starts one that may have to wait.
    pub fn spawn(url: &str, arguments: &[&str]) -> Self {
        let files = TempDir::new().unwrap();
        let process = launch(url, arguments, files.path(), "log");
        Self { process, files, address: String::new() }
    }

    /// Starts one that cannot start; what it says.
    #[track_caller]
    pub fn fail(url: &str, arguments: &[&str]) -> String {
        let mut binary = Self::spawn(url, arguments);
        let status = binary.process.wait(PATIENCE).unwrap();
        assert_eq!(status.code(), Some(1), "{}", binary.log());
        binary.log()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn token_file(&self) -> PathBuf {
        self.files.path().join("tokens.json")
    }

    pub fn tokens(&self) -> Tokens {
        let text = std::fs::read(self.token_file()).unwrap();
        let tokens: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let token = |role: &str| tokens[role].as_str().unwrap().to_owned();
        Tokens { admin: token("admin"), proxy: token("proxy") }
    }

    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let found =
            self.process.wait_for_log(PATIENCE, text, |log| log.contains(text).then_some(()));
        found.unwrap();
    }

    pub fn term(&mut self) -> ExitStatus {
        self.process.signal(Signal::TERM).unwrap();
        self.process.wait(PATIENCE).unwrap()
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn launch(url: &str, arguments: &[&str], files: &Path, log: &str) -> Process {
    let file = |name: &str| files.join(name).display().to_string();
    let (key, tokens) = (file("key"), file("tokens.json"));
    let mut all = vec!["--database-url", url, "--create-key", "--bootstrap-token-file", &tokens];
    for (name, value) in [("--listen", "127.0.0.1:0"), ("--secret-key-file", key.as_str())] {
        if !arguments.contains(&name) {
            all.extend([name, value]);
        }
    }
    all.extend(arguments);
    let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    let program = Path::new(env!("CARGO_BIN_EXE_pgherd-control"));
    Process::spawn("pgherd-control", program, &all, files.join(log)).unwrap()
}
