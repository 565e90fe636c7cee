//! The machine and the versions, without which figures mean little.

use std::path::PathBuf;
use std::process::Command;

use pgherd_harness::postgres::Postgres;
use serde::Serialize;

use crate::contender::{Contender, Contenders};
use crate::pgbouncer;

/// Facts for the head of the report.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    pub cores: usize,
    pub processor: String,
    pub kernel: String,
    /// Load average of the last minute before the run: other work on the machine spoils figures.
    pub load_before: String,
    pub versions: Vec<(String, String)>,
    /// The profile of pgherd when that is not the one that users run.
    pub unoptimized: Option<String>,
}

/// Looks before anything is started.
pub fn look() -> Machine {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let processor =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    Machine {
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        processor: processor.map_or("unknown", |(_, name)| name.trim()).to_owned(),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        load_before: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        versions: Vec::new(),
        unoptimized: None,
    }
}

impl Machine {
    /// Adds the versions of what was started.
    pub fn add_versions(&mut self, postgres: &Postgres, contenders: &Contenders) {
        let mut add = |name: &str, version: Option<String>| {
            self.versions.push((name.to_owned(), version.unwrap_or_else(|| "unknown".to_owned())));
        };
        add("Postgres", Some(postgres.install().version().to_owned()));
        for contender in &contenders.running {
            match contender {
                // The same pgherd.
                Contender::Direct(_) | Contender::Routed(_) => {}
                Contender::PgBouncer(_) => add("PgBouncer", number(pgbouncer::version())),
                Contender::HaProxy(haproxy) => {
                    add("HAProxy", number(say_version(haproxy.pid(), "-v")))
                }
                Contender::Pgherd(proxy) => {
                    self.unoptimized = debug_profile(proxy.pid());
                    add("pgherd", number(say_version(proxy.pid(), "--version")))
                }
            }
        }
    }
}

fn executable(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// `debug` when the executable lies in Cargo's folder for that.
fn debug_profile(pid: u32) -> Option<String> {
    let executable = executable(pid)?;
    let folder = executable.parent()?.file_name()?;
    (folder == "debug").then(|| "debug".to_owned())
}

/// Asks the executable of a running process for its version.
fn say_version(pid: u32, flag: &str) -> Option<String> {
    let output = Command::new(executable(pid)?).arg(flag).output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

/// The first word that begins with a digit.
fn number(line: Option<String>) -> Option<String> {
    let line = line?;
    let mut words = line.split_whitespace();
    words.find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_taken_out_of_their_sentences() {
        let number = |line: &str| number(Some(line.to_owned()));
        assert_eq!(number("PgBouncer 1.18.0").as_deref(), Some("1.18.0"));
        assert_eq!(
            number("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/").as_deref(),
            Some("2.6.12-1+deb12u4")
        );
        assert_eq!(number("none"), None);
    }
}
