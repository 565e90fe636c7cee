//! A running `pgherd-proxy` on free ports.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::control::Control;
use crate::netns::Namespace;
use crate::postgres::{APP_PASSWORD, APP_USER};
use crate::process::Process;
use crate::raw::{Client, Login};
use crate::scratch::Scratch;
use crate::{binaries, haproxy};

mod config;

pub use config::{ADMIN_PASSWORD, ADMIN_USER, ProxyConfig};

/// Longest start.
const START: Duration = Duration::from_secs(20);
const BINARY: &str = "pgherd-proxy";
const ADMIN_DATABASE: &str = "pgherd";

/// A running proxy; dropping it ends it.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    addr: SocketAddr,
    metrics: Option<SocketAddr>,
    config: PathBuf,
    arguments: Vec<String>,
    starts: u32,
    namespace: Option<Namespace>,
    scratch: Scratch,
}

/// What to start; see [`Proxy::builder`].
#[derive(Debug, Default)]
pub struct Builder {
    config: Option<String>,
    arguments: Vec<String>,
    binary: Option<PathBuf>,
    namespace: Option<Namespace>,
}

// === impl Builder ===

impl Builder {
    /// The configuration file's content; `listen = ["127.0.0.1:0"]` chooses a port.
    pub fn config(mut self, toml: &str) -> Self {
        self.config = Some(toml.to_owned());
        self
    }

    /// Adds arguments to the command line; `--config` among them replaces [`Self::config`].
    pub fn arguments<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Takes the clusters from a control plane, with an identity and a cache directory that
    /// outlive restarts of this proxy.
    pub fn control_plane(self, control: &Control, id: &str, cache: &Path) -> Self {
        let arguments = [
            "--control-plane".to_owned(),
            control.url(),
            "--token-file".to_owned(),
            control.proxy_token_file().display().to_string(),
            "--cache-dir".to_owned(),
            cache.display().to_string(),
            "--id".to_owned(),
            id.to_owned(),
        ];
        self.arguments(arguments)
    }

    /// Runs it in a network namespace, listening on that one's address.
    pub fn namespace(mut self, namespace: &Namespace) -> Self {
        self.namespace = Some(namespace.clone());
        self
    }

    /// Runs another executable than the one beside ours.
    pub fn binary(mut self, path: PathBuf) -> Self {
        self.binary = Some(path);
        self
    }

    /// Starts it without waiting for anything: for starts that are meant to fail.
    pub fn spawn(self) -> Result<Spawned> {
        let binary = self.binary.map_or_else(|| binaries::find(BINARY), Ok)?;
        let scratch = Scratch::new("proxy")?;
        let mut toml = self.config.unwrap_or_else(|| ProxyConfig::head(""));
        let namespace = self.namespace;
        if let Some(namespace) = &namespace {
            toml = toml.replace("\"127.0.0.1:0\"", &format!("\"{}\"", namespace.socket(0)));
        }
        let config = scratch.write("pgherd.toml", &toml)?;
        let mut arguments = self.arguments;
        if !arguments.iter().any(|argument| argument == "--config") {
            arguments.splice(0..0, ["--config".to_owned(), config.display().to_string()]);
        }
        let log = scratch.path().join("proxy-1.log");
        let process = Process::spawn_in(namespace.as_ref(), BINARY, &binary, &arguments, log)?;
        Ok(Spawned { process, config, arguments, namespace, scratch, binary })
    }

    /// Starts it and waits until it listens.
    pub fn start(self) -> Result<Proxy> {
        let mut spawned = self.spawn()?;
        let (addr, metrics) = wait_listening(&mut spawned.process)?;
        let Spawned { process, config, arguments, namespace, scratch, .. } = spawned;
        Ok(Proxy { process, addr, metrics, config, arguments, starts: 1, namespace, scratch })
    }
}

/// A proxy that may or may not come up.
#[derive(Debug)]
pub struct Spawned {
    /// The process with its log and exit status.
    pub process: Process,
    config: PathBuf,
    arguments: Vec<String>,
    namespace: Option<Namespace>,
    scratch: Scratch,
    binary: PathBuf,
}

impl Spawned {
    /// Waits until it gives up; its exit status and what it printed.
    pub fn failure(mut self) -> Result<(ExitStatus, String)> {
        let status = self.process.wait(START)?;
        ensure!(!status.success(), "{} ended well", self.binary.display());
        Ok((status, self.process.log()))
    }
}

// === impl Proxy ===

impl Proxy {
    /// Starts one from a configuration file's content.
    pub fn start(config_toml: &str) -> Result<Self> {
        Self::builder().config(config_toml).start()
    }

    /// Starts one that takes its clusters from a control plane; `cache` outlives it.
    pub fn start_in_fleet(control: &Control, id: &str, cache: &Path) -> Result<Self> {
        Self::builder().control_plane(control, id, cache).start()
    }

    /// Starts one that is different.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port of [`Self::addr`].
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Where `/metrics`, `/healthz` and `/readyz` are.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// This proxy as a backend of HAProxy.
    pub fn backend(&self) -> haproxy::Backend {
        haproxy::Backend { addr: self.addr, ready: self.metrics }
    }

    /// A connection URL for the application's user.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{APP_USER}:{APP_PASSWORD}@{}/{database}", self.addr)
    }

    /// A connection to the admin database.
    pub fn admin(&self) -> Result<Client> {
        let login = Login::new(ADMIN_USER, ADMIN_PASSWORD, ADMIN_DATABASE);
        Client::login_as(self.addr, &login)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it printed since its (latest) start.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The last lines of it.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    /// The process, for signals and waiting.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Asks it to drain.
    pub fn term(&mut self) -> Result<()> {
        self.process.signal(Signal::TERM)
    }

    /// Waits for its end.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        self.process.wait(timeout)
    }

    /// Ends it as a crash does.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Replaces its configuration and asks it to reload.
    pub fn reload(&mut self, config_toml: &str) -> Result<()> {
        fs::write(&self.config, config_toml)?;
        self.process.signal(Signal::HUP)
    }

    /// Kills it and starts it again with the same arguments, on the same client port.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        let text = fs::read_to_string(&self.config)?;
        let any = SocketAddr::new(self.addr.ip(), 0);
        let fixed = text.replacen(&format!("\"{any}\""), &format!("\"{}\"", self.addr), 1);
        fs::write(&self.config, fixed)?;
        self.starts += 1;
        let log = self.scratch.path().join(format!("proxy-{}.log", self.starts));
        let binary = binaries::find(BINARY)?;
        let namespace = self.namespace.as_ref();
        self.process = Process::spawn_in(namespace, BINARY, &binary, &self.arguments, log)?;
        (self.addr, self.metrics) = wait_listening(&mut self.process)?;
        Ok(())
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> Result<String> {
        let addr = self.metrics.context("this proxy has no metrics listener")?;
        let response = reqwest::get(format!("http://{addr}/metrics")).await?;
        Ok(response.error_for_status()?.text().await?)
    }
}

/// Waits for the two lines that tell the addresses.
fn wait_listening(process: &mut Process) -> Result<(SocketAddr, Option<SocketAddr>)> {
    process.wait_for_log(START, "listening", |log| {
        let metrics = log.lines().find_map(|line| addr_after(line, "metrics listening on "));
        let clients = log
            .lines()
            .filter(|line| !line.contains("metrics listening on "))
            .find_map(|line| addr_after(line, "listening on "));
        // Clients come last, so that a proxy that is ready has both.
        Some((clients?, metrics))
    })
}

/// The address that follows `phrase` in a line.
pub(crate) fn addr_after(line: &str, phrase: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(phrase)?;
    let rest = rest.strip_prefix("http://").unwrap_or(rest);
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c)));
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_log_lines() {
        let addr = addr_after("INFO metrics listening on 127.0.0.1:99", "metrics listening on ");
        assert_eq!(addr, Some("127.0.0.1:99".parse().unwrap()));
        let addr = addr_after("listening on http://127.0.0.1:80\u{1b}[0m", "listening on ");
        assert_eq!(addr, Some("127.0.0.1:80".parse().unwrap()));
        assert_eq!(addr_after("listening on nothing", "listening on "), None);
    }

    #[test]
    fn the_configuration_becomes_the_rest_document() {
        let config = ProxyConfig::for_address("session", "127.0.0.1", 5433).named("app", "app_0");
        let document = config.cluster_setting("checkout_timeout", "\"1s\"").to_cluster_json();
        assert_eq!(document["name"], "app");
        assert_eq!(document["checkout_timeout"], "1s");
        assert_eq!(document["shards"][0]["instances"][0]["port"], 5433);
        assert_eq!(document["shards"][0]["instances"][0]["database"], "app_0");
    }
}
