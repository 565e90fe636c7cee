//! One client that goes through its part of a history without ever blocking the other one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER, DATABASE, SUPERUSER, SUPERUSER_PASSWORD};
use pgherd_harness::raw::frontend::terminate;
use pgherd_harness::raw::{Client, Login, Message};

use super::history::Step;
use crate::twin::compare;

/// What a client saw: for each of its steps, and its logins, the lines of the answer.
pub type Transcript = Vec<(String, Vec<String>)>;

/// A client with what it has yet to do.
pub struct Player {
    addr: SocketAddr,
    superuser: bool,
    todo: VecDeque<Step>,
    state: State,
    /// What it saw so far.
    pub transcript: Transcript,
    /// No more steps will come: it leaves when it has done those that it has.
    pub last: bool,
}

enum State {
    /// It logs in, which may have to wait for a server connection.
    LoggingIn(String, JoinHandle<Result<(Option<Client>, Vec<Message>)>>),
    Idle(Client),
    /// It waits for the answer to a step.
    Waiting(Client, String, Vec<Message>),
    /// It says goodbye, which may take as long as its server connection needs to become clean.
    Leaving(JoinHandle<Result<Vec<Message>>>),
    /// It was not let in, or it is done.
    Out,
    Done,
}

// === impl Player ===

impl Player {
    pub fn new(addr: SocketAddr, superuser: bool, startup: &[(String, String)]) -> Self {
        let mut player = Self {
            addr,
            superuser,
            todo: VecDeque::new(),
            state: State::Out,
            transcript: Vec::new(),
            last: false,
        };
        player.log_in(startup, "login".to_owned());
        player
    }

    pub fn push(&mut self, step: Step) {
        self.todo.push_back(step);
    }

    /// Whether it has nothing more to do.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether it waits for the other side.
    pub fn is_waiting(&self) -> bool {
        !matches!(self.state, State::Done | State::Idle(_) | State::Out)
    }

    /// Whether its last answer left a transaction open.
    pub fn is_in_transaction(&self) -> bool {
        let last = self.transcript.last().and_then(|(_, lines)| lines.last());
        last.is_some_and(|line| matches!(line.as_str(), "Z T" | "Z E"))
    }

    /// Whether it has done all the steps that it was given.
    pub fn has_caught_up(&self) -> bool {
        self.todo.is_empty() && !self.is_waiting()
    }

    /// Does what can be done within `wait`. Whether anything was done.
    pub fn advance(&mut self, wait: Duration) -> Result<bool> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::LoggingIn(label, thread) => self.look_at_login(label, thread, wait),
            State::Waiting(client, label, messages) => {
                self.look_at_answer(client, label, messages, wait)
            }
            State::Leaving(thread) => self.look_at_end(thread, wait),
            State::Idle(client) => self.begin(client),
            State::Out => {
                self.state = State::Out;
                match self.todo.pop_front() {
                    Some(Step::Reconnect { startup, .. }) => {
                        self.log_in(&startup, "login".to_owned());
                    }
                    Some(_) => {}
                    None if self.last => self.state = State::Done,
                    None => return Ok(false),
                }
                Ok(true)
            }
            State::Done => Ok(false),
        }
    }

    fn log_in(&mut self, startup: &[(String, String)], label: String) {
        let mut login = if self.superuser {
            Login::new(SUPERUSER, SUPERUSER_PASSWORD, DATABASE)
        } else {
            Login::new(APP_USER, APP_PASSWORD, DATABASE)
        };
        for (name, value) in startup {
            login = login.parameter(name, value);
        }
        let addr = self.addr;
        let thread = std::thread::spawn(move || {
            let mut client = Client::connect(addr)?;
            client.set_deadline(Duration::from_secs(60));
            let welcome = client.try_login(&login)?;
            let is_in = welcome.last().is_some_and(|message| message.tag == b'Z');
            Ok((is_in.then_some(client), welcome))
        });
        self.state = State::LoggingIn(label, thread);
    }

    fn look_at_login(
        &mut self,
        label: String,
        thread: JoinHandle<Result<(Option<Client>, Vec<Message>)>>,
        wait: Duration,
    ) -> Result<bool> {
        if !thread.is_finished() {
            std::thread::park_timeout(wait.min(Duration::from_millis(1)));
            self.state = State::LoggingIn(label, thread);
            return Ok(false);
        }
        let (client, welcome) = thread.join().map_err(|_| anyhow!("the login panicked"))??;
        // The dialogue itself has its own tests.
        let welcome: Vec<Message> =
            welcome.into_iter().filter(|message| message.tag != b'R').collect();
        self.transcript.push((label, lines(&welcome)));
        self.state = client.map_or(State::Out, State::Idle);
        Ok(true)
    }

    fn begin(&mut self, mut client: Client) -> Result<bool> {
        let Some(step) = self.todo.pop_front() else {
            if self.last {
                self.leave(client);
                return Ok(true);
            }
            self.state = State::Idle(client);
            return Ok(false);
        };
        if let Step::Reconnect { polite, startup } = &step {
            if *polite {
                client.send(&terminate())?;
            }
            drop(client);
            self.log_in(startup, step.to_string());
            return Ok(true);
        }
        client.send(&step.bytes())?;
        self.state = State::Waiting(client, step.to_string(), Vec::new());
        Ok(true)
    }

    fn look_at_answer(
        &mut self,
        mut client: Client,
        label: String,
        mut messages: Vec<Message>,
        wait: Duration,
    ) -> Result<bool> {
        loop {
            let message = client.message_within(wait);
            match message.with_context(|| format!("{label}: after {messages:#?}"))? {
                Some(message) => {
                    let last = message.tag == b'Z';
                    messages.push(message);
                    if last {
                        self.transcript.push((label, lines(&messages)));
                        self.state = State::Idle(client);
                        return Ok(true);
                    }
                }
                None => {
                    self.state = State::Waiting(client, label, messages);
                    return Ok(false);
                }
            }
        }
    }

    fn leave(&mut self, mut client: Client) {
        self.state = State::Leaving(std::thread::spawn(move || {
            client.send(&terminate())?;
            client.rest()
        }));
    }

    fn look_at_end(
        &mut self,
        thread: JoinHandle<Result<Vec<Message>>>,
        wait: Duration,
    ) -> Result<bool> {
        if !thread.is_finished() {
            std::thread::park_timeout(wait.min(Duration::from_millis(1)));
            self.state = State::Leaving(thread);
            return Ok(false);
        }
        let rest = thread.join().map_err(|_| anyhow!("saying goodbye panicked"))??;
        self.transcript.push(("goodbye".to_owned(), lines(&rest)));
        self.state = State::Done;
        Ok(true)
    }
}

/// An answer as comparable lines. In which order several parameters are reported at once is
/// Postgres's own affair.
fn lines(messages: &[Message]) -> Vec<String> {
    let mut messages = messages.to_vec();
    let mut rest = messages.as_mut_slice();
    while !rest.is_empty() {
        let run = rest.iter().take_while(|message| message.tag == b'S').count();
        let (reports, others) = rest.split_at_mut(run);
        reports.sort_by(|a, b| a.body.cmp(&b.body));
        rest = others.get_mut(1..).unwrap_or_default();
    }
    // Each value of a row is a line of its own, so that a difference shows which one it is.
    let unnamed = String::new();
    let mut columns = Vec::new();
    let mut lines = Vec::new();
    for message in &messages {
        if let Some(names) = message.columns() {
            columns = names;
        }
        let Some(values) = message.data_row() else {
            lines.extend(compare::lines(std::slice::from_ref(message), false));
            continue;
        };
        lines.push("D".to_owned());
        lines.extend(values.iter().zip(columns.iter().chain(std::iter::repeat(&unnamed))).map(
            |(value, name)| match value {
                Some(value) => format!("  {name}: {}", value.escape_ascii()),
                None => format!("  {name} is null"),
            },
        ));
    }
    lines
}
