//! One child process with its log, which never outlives us.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal};

use crate::netns::Namespace;
use crate::poll;

/// How many lines of the log are shown when something fails.
const TAIL: usize = 40;

/// A running (or ended) child process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    label: String,
    child: Child,
    log: PathBuf,
    status: Option<ExitStatus>,
    /// Sent first on drop; a second later SIGKILL follows.
    stop_signal: Signal,
    /// Keeps the thread that spawned the child: the child dies with that thread.
    _keeper: mpsc::Sender<()>,
}

impl Process {
    /// Starts `program arguments` with both outputs going to the file `log`.
    ///
    /// The child has a process group of its own, so that Ctrl-C reaches only us.
    pub fn spawn(label: &str, program: &Path, arguments: &[String], log: PathBuf) -> Result<Self> {
        Self::spawn_as(label, None, program, arguments, log)
    }

    /// The same in a network namespace.
    pub fn spawn_in(
        namespace: Option<&Namespace>,
        label: &str,
        program: &Path,
        arguments: &[String],
        log: PathBuf,
    ) -> Result<Self> {
        Self::launch(label, command_in(namespace, None, true, program), arguments, log)
    }

    /// The same as another user, by name; that needs root.
    pub fn spawn_as(
        label: &str,
        user: Option<&str>,
        program: &Path,
        arguments: &[String],
        log: PathBuf,
    ) -> Result<Self> {
        Self::launch(label, command_as(user, true, program), arguments, log)
    }

    pub(crate) fn launch(
        label: &str,
        mut command: Command,
        arguments: &[String],
        log: PathBuf,
    ) -> Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot open {}", log.display()))?;
        command
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        let (child, keeper) =
            spawn_kept(command).with_context(|| format!("cannot start {label}"))?;
        Ok(Self {
            label: label.to_owned(),
            child,
            log,
            status: None,
            stop_signal: Signal::TERM,
            _keeper: keeper,
        })
    }

    /// Chooses what drop sends before SIGKILL.
    pub fn stop_with(mut self, signal: Signal) -> Self {
        self.stop_signal = signal;
        self
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal; an error when the process has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.try_wait()? {
            bail!("{} has ended: {status}", self.label);
        }
        rustix::process::kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("cannot signal {}", self.label))
    }

    /// Its exit status, if it has ended.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// Waits for its end.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.label);
        poll::until(timeout, &what, || self.try_wait())
    }

    /// Kills it without notice and waits for its end.
    pub fn kill(&mut self) -> Result<()> {
        if self.try_wait()?.is_none() {
            self.child.kill()?;
            self.status = Some(self.child.wait()?);
        }
        Ok(())
    }

    /// Everything that it printed so far.
    pub fn log(&self) -> String {
        match std::fs::read(&self.log) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("(no log at {}: {error})", self.log.display()),
        }
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// Waits until `probe` finds something in the log; fails early when the process ends.
    pub fn wait_for_log<T>(
        &mut self,
        timeout: Duration,
        what: &str,
        mut probe: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        self.wait_until(timeout, what, |process| Ok(probe(&process.log())))
    }

    /// Waits until `probe` gives a value; fails early when the process ends.
    pub fn wait_until<T>(
        &mut self,
        timeout: Duration,
        what: &str,
        mut probe: impl FnMut(&Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let label = self.label.clone();
        poll::until(timeout, &format!("{label}: {what}"), || {
            // Asked before the probe, so that what it said last is still seen.
            let ended = self.try_wait()?;
            match (probe(self)?, ended) {
                (Some(value), _) => Ok(Some(value)),
                (None, Some(status)) => bail!("{label} ended too early: {status}"),
                (None, None) => Ok(None),
            }
        })
        .map_err(|error| anyhow!("{error:#}\n--- log of {label}\n{}", self.log_tail()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Not `eprintln!`: its capture is gone while a panic unwinds through a thread's end.
            let text =
                format!("--- log of {} (pid {})\n{}\n", self.label, self.pid(), self.log_tail());
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
        if matches!(self.try_wait(), Ok(Some(_))) {
            return;
        }
        let pid = Pid::from_child(&self.child);
        // One that was stopped would not see the other signal.
        let _ = rustix::process::kill_process(pid, self.stop_signal);
        let _ = rustix::process::kill_process(pid, Signal::CONT);
        if self.wait(Duration::from_secs(1)).is_err() {
            let _ = self.kill();
        }
    }
}

/// A command that runs `program`, as `user` if one is given, and dies with us if `tied`.
pub(crate) fn command_as(user: Option<&str>, tied: bool, program: &Path) -> Command {
    command_in(None, user, tied, program)
}

/// The same in a network namespace.
pub(crate) fn command_in(
    namespace: Option<&Namespace>,
    user: Option<&str>,
    tied: bool,
    program: &Path,
) -> Command {
    let mut command = match namespace {
        // It becomes the program, so that the process id stays the same.
        Some(namespace) => {
            let mut command = namespace.enter();
            command.arg("setpriv");
            command
        }
        None => Command::new("setpriv"),
    };
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--init-groups"]);
    }
    if tied {
        command.args(["--pdeathsig", "KILL"]);
    }
    command.arg("--").arg(program);
    command
}

/// Spawns from a thread that lives as long as the sender: `PR_SET_PDEATHSIG` fires at the end of
/// the spawning *thread*, and test runtimes end theirs at will.
fn spawn_kept(mut command: Command) -> Result<(Child, mpsc::Sender<()>)> {
    let (give_child, take_child) = mpsc::channel();
    let (keeper, until_dropped) = mpsc::channel::<()>();
    std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
        let spawned = command.spawn();
        if give_child.send(spawned).is_ok() {
            let _ = until_dropped.recv();
        }
    })?;
    let child = take_child.recv().context("the spawning thread ended")??;
    Ok((child, keeper))
}
