//! A client's connection, made anew when it is lost, and questions whose failures are told apart.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pgherd_harness::raw::{Client, Login, Message};

use super::Failure;

/// How long a client waits for anything: longer than any limit of the proxy that a case leaves on.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where to connect, and the connection if there is one.
pub struct Session {
    addr: SocketAddr,
    login: Login,
    client: Option<Client>,
    made: u64,
}

impl Session {
    pub fn new(addr: SocketAddr, login: Login) -> Self {
        Self { addr, login, client: None, made: 0 }
    }

    /// The connection; it is logged in.
    pub fn client(&mut self) -> Result<&mut Client, Failure> {
        let client = match self.client.take() {
            Some(client) => client,
            None => {
                self.made += 1;
                connect(self.addr, &self.login)?
            }
        };
        Ok(self.client.insert(client))
    }

    /// Which connection this is, from 1.
    pub fn number(&self) -> u64 {
        self.made
    }

    /// The next operation makes a new one.
    pub fn drop_connection(&mut self) {
        self.client = None;
    }

    /// Ends it in an orderly way.
    pub fn say_goodbye(&mut self) {
        if let Some(client) = self.client.take() {
            // What became of the session was known before.
            let _ = client.terminate();
        }
    }
}

/// Connects and logs in.
pub fn connect(addr: SocketAddr, login: &Login) -> Result<Client, Failure> {
    let mut client =
        Client::connect(addr).map_err(|error| Failure::Unreachable(format!("{error:#}")))?;
    client.set_deadline(PATIENCE);
    let begun = Instant::now();
    let messages = client.try_login(login).map_err(|_| lost(begun))?;
    match messages.last() {
        Some(message) if message.tag == b'Z' => Ok(client),
        Some(message) if message.tag == b'E' => Err(refusal(message, false)),
        _ => Err(Failure::Closed { begun: false }),
    }
}

/// Sends messages and takes the answer up to so many ReadyForQuery. An ErrorResponse in it is a
/// failure.
pub fn ask(client: &mut Client, messages: &[u8], readies: usize) -> Result<Vec<Message>, Failure> {
    // One that was closed may have said why.
    let sent = client.send(messages);
    let answer = until_ready(client, readies)?;
    if answer.iter().any(|message| message.tag == b'E') {
        return Err(last_words(&answer));
    }
    sent.map_err(|_| Failure::Closed { begun: true })?;
    Ok(answer)
}

fn until_ready(client: &mut Client, readies: usize) -> Result<Vec<Message>, Failure> {
    let (begun, mut answer, mut seen) = (Instant::now(), Vec::new(), 0);
    while seen < readies {
        match client.receive() {
            Ok(Some(message)) => {
                seen += usize::from(message.tag == b'Z');
                answer.push(message);
            }
            Ok(None) => return Err(last_words(&answer)),
            Err(_) if answer.iter().any(|message: &Message| message.tag == b'E') => {
                return Err(last_words(&answer));
            }
            Err(_) => return Err(lost(begun)),
        }
    }
    Ok(answer)
}

/// Takes the answer up to a message with this tag; an ErrorResponse is a failure.
pub fn until_tag(client: &mut Client, tag: u8) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        match client.receive() {
            Ok(Some(message)) if message.tag == tag => return Ok(()),
            Ok(Some(message)) if message.tag == b'E' => return Err(refusal(&message, false)),
            Ok(Some(_)) => {}
            Ok(None) => return Err(Failure::Closed { begun: false }),
            Err(_) => return Err(lost(begun)),
        }
    }
}

/// The first row of an answer must be this, or all of them must begin with it.
pub fn expect_rows(answer: &[Message], token: &str, count: usize) -> Result<(), Failure> {
    let rows: Vec<_> = answer.iter().filter_map(Message::data_row).collect();
    let ours = rows.iter().all(|row| row.first().copied().flatten() == Some(token.as_bytes()));
    if ours && rows.len() == count {
        return Ok(());
    }
    let other = rows.iter().find(|row| row.first().copied().flatten() != Some(token.as_bytes()));
    let other = other.and_then(|row| row.first().copied().flatten());
    let other = other.map(|value| String::from_utf8_lossy(value).into_owned());
    Err(Failure::Wrong(format!("{} rows, not {count} of {token}: {other:?}", rows.len())))
}

/// The tags of the commands that an answer completes.
pub fn completed(answer: &[Message]) -> Vec<String> {
    let tags = answer.iter().filter(|message| message.tag == b'C');
    tags.map(|tag| String::from_utf8_lossy(tag.body.strip_suffix(&[0]).unwrap_or(&tag.body)).into())
        .collect()
}

fn last_words(answer: &[Message]) -> Failure {
    let error = answer.iter().position(|message| message.tag == b'E');
    match error.and_then(|place| answer.get(place)) {
        Some(message) => refusal(message, error != Some(0)),
        None => Failure::Closed { begun: !answer.is_empty() },
    }
}

fn refusal(error: &Message, begun: bool) -> Failure {
    let field = |code| error.field(code).unwrap_or_default();
    Failure::Error { sqlstate: field(b'C'), message: field(b'M'), begun }
}

/// The client's own errors: it waited for too long, or the connection broke in the middle.
fn lost(begun: Instant) -> Failure {
    if begun.elapsed() >= PATIENCE { Failure::Silent } else { Failure::Cut }
}
