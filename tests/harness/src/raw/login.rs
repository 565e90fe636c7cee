//! The dialogue from StartupMessage to the first ReadyForQuery.

use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::frontend as protocol;

use super::{Client, Message, frontend};
use crate::postgres::{APP_PASSWORD, APP_USER, DATABASE};

/// Protocol 3.0.
pub const PROTOCOL_3_0: u32 = 3 << 16;

/// Who logs in, and how.
#[derive(Clone, Debug)]
pub struct Login {
    user: String,
    password: String,
    database: String,
    protocol: u32,
    parameters: Vec<(String, String)>,
}

impl Default for Login {
    fn default() -> Self {
        Self::new(APP_USER, APP_PASSWORD, DATABASE)
    }
}

impl Login {
    /// A user with a password in a database.
    pub fn new(user: &str, password: &str, database: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            database: database.to_owned(),
            protocol: PROTOCOL_3_0,
            parameters: Vec::new(),
        }
    }

    /// The same in another database.
    pub fn database(mut self, database: &str) -> Self {
        database.clone_into(&mut self.database);
        self
    }

    /// The same with another password.
    pub fn password(mut self, password: &str) -> Self {
        password.clone_into(&mut self.password);
        self
    }

    /// Adds a startup parameter.
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Asks for a protocol version: `major << 16 | minor`.
    pub fn protocol(mut self, protocol: u32) -> Self {
        self.protocol = protocol;
        self
    }

    /// Its StartupMessage.
    pub fn startup(&self) -> Vec<u8> {
        let mut parameters = vec![("user", self.user.as_str()), ("database", &self.database)];
        let others = self.parameters.iter();
        parameters.extend(others.map(|(name, value)| (name.as_str(), value.as_str())));
        frontend::startup(self.protocol, &parameters)
    }
}

/// Goes through the dialogue and gives every message that the server sent. A refusal is an error
/// with the server's words.
pub(super) fn run(client: &mut Client, login: &Login) -> Result<Vec<Message>> {
    let messages = attempt(client, login)?;
    match messages.last() {
        Some(message) if message.tag == b'Z' => Ok(messages),
        Some(message) => bail!("login refused: {message:?}"),
        None => bail!("the server closed the connection at once"),
    }
}

impl Client {
    /// Goes through the login up to ReadyForQuery, an error, or the end, whichever comes first.
    pub fn try_login(&mut self, login: &Login) -> Result<Vec<Message>> {
        attempt(self, login)
    }

    /// The same for a client that has sent its StartupMessage already.
    pub fn continue_login(&mut self, login: &Login) -> Result<Vec<Message>> {
        answer_all(self, login)
    }
}

fn attempt(client: &mut Client, login: &Login) -> Result<Vec<Message>> {
    client.send(&login.startup())?;
    answer_all(client, login)
}

fn answer_all(client: &mut Client, login: &Login) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    let mut scram = None;
    while let Some(message) = client.receive()? {
        if message.tag == b'R' {
            answer_one(client, login, &mut scram, &message)?;
        }
        let last = matches!(message.tag, b'Z' | b'E');
        messages.push(message);
        if last {
            break;
        }
    }
    Ok(messages)
}

fn answer_one(
    client: &mut Client,
    login: &Login,
    scram: &mut Option<sasl::ScramSha256>,
    message: &Message,
) -> Result<()> {
    let (kind, data) = message.body.split_first_chunk::<4>().context("Authentication too short")?;
    let mut reply = BytesMut::new();
    match u32::from_be_bytes(*kind) {
        0 => {}
        3 => protocol::password_message(login.password.as_bytes(), &mut reply)?,
        5 => {
            let salt = data.try_into().context("an MD5 salt has four bytes")?;
            let hash = md5_hash(login.user.as_bytes(), login.password.as_bytes(), salt);
            protocol::password_message(hash.as_bytes(), &mut reply)?;
        }
        10 => {
            let mut offered = data.split(|&byte| byte == 0);
            let known = offered.any(|mechanism| mechanism == sasl::SCRAM_SHA_256.as_bytes());
            ensure!(known, "SCRAM-SHA-256 is not offered: {message:?}");
            let state = sasl::ScramSha256::new(
                login.password.as_bytes(),
                sasl::ChannelBinding::unsupported(),
            );
            protocol::sasl_initial_response(sasl::SCRAM_SHA_256, state.message(), &mut reply)?;
            *scram = Some(state);
        }
        11 => {
            let state = scram.as_mut().context("SASL continues before it began")?;
            state.update(data)?;
            protocol::sasl_response(state.message(), &mut reply)?;
        }
        12 => scram.as_mut().context("SASL ends before it began")?.finish(data)?,
        kind => bail!("authentication method {kind} is not known"),
    }
    client.send(&reply)
}
