//! What Postgres answers to each message, one after the other, on a connection of the client's own.

use anyhow::{Context, Result, ensure};
use pgherd_harness::raw::{Client, Message, frontend};

use super::history::{Item, Kind, Step, query, sync};
use crate::twin::lines;

/// What was sent, by whom, and what came back.
#[derive(Debug)]
pub struct Exchange {
    pub client: usize,
    pub items: Vec<Item>,
    pub answer: Vec<String>,
}

/// One client's connection to Postgres, and what the protocol is in the middle of.
struct Talk {
    client: Client,
    skipping: bool,
    copying: Option<Kind>,
    /// Something was sent since the last ReadyForQuery, or a transaction is open.
    busy: bool,
    /// CopyDone or CopyFail is still to come. What comes without is no client's doing, and where
    /// a copy has failed nobody can say what becomes of it.
    owes_end: bool,
}

/// Runs a history on Postgres. The order of the steps is that in which two clients can take turns
/// on one server connection: a client goes on until it has nothing open. `None` when the history
/// makes Postgres close a connection.
pub fn run(clients: &mut [Client; 2], history: &[Step]) -> Result<Option<Vec<Exchange>>> {
    let mut exchanges = Vec::new();
    let mut waiting: Vec<&Step> = history.iter().collect();
    let [first, second] = clients;
    let mut talks = [Talk::new(first)?, Talk::new(second)?];
    let mut holder: Option<usize> = None;
    let result = loop {
        let at = match holder {
            None => 0,
            Some(holder) => {
                waiting.iter().position(|step| step.client == holder).unwrap_or(usize::MAX)
            }
        };
        let (client, items) = match (holder, at < waiting.len()) {
            (_, true) => {
                let step = waiting.remove(at);
                (step.client, step.items.clone())
            }
            (Some(holder), false) if talks[holder].skipping || talks[holder].is_open() => {
                (holder, talks[holder].ending())
            }
            (Some(holder), false) => (holder, vec![query("ROLLBACK")]),
            (None, false) => break Some(exchanges),
        };
        let Some(answer) = talks[client].send(&items)? else { break None };
        exchanges.push(Exchange { client, items, answer });
        holder = talks[client].busy.then_some(client);
    };
    let [first, second] = talks;
    *clients = [first.client, second.client];
    Ok(result)
}

impl Talk {
    /// Takes the connection over; the caller gets it back afterwards.
    fn new(client: &mut Client) -> Result<Self> {
        let stand_in = Client::connect(client.peer_addr()?)?;
        let client = std::mem::replace(client, stand_in);
        Ok(Self { client, skipping: false, copying: None, busy: false, owes_end: false })
    }

    fn is_open(&self) -> bool {
        self.copying.is_some() || self.busy
    }

    /// What ends whatever is open, in as many steps as it takes.
    fn ending(&self) -> Vec<Item> {
        vec![sync(), query("ROLLBACK")]
    }

    fn send(&mut self, items: &[Item]) -> Result<Option<Vec<String>>> {
        let mut answer = Vec::new();
        for item in items {
            let Some(mut messages) = self.send_one(item)? else { return Ok(None) };
            answer.append(&mut messages);
        }
        Ok(Some(lines(&answer, false)))
    }

    fn send_one(&mut self, item: &Item) -> Result<Option<Vec<Message>>> {
        match item.kind {
            Kind::CopyDone | Kind::CopyFail => self.owes_end = false,
            Kind::Query | Kind::Extended(_) if self.owes_end => return Ok(None),
            _ => {}
        }
        self.client.send(&[&item.bytes[..], &frontend::flush()].concat())?;
        let ends: &[u8] = match (item.kind, self.copying) {
            (Kind::Flush | Kind::CopyData { good: true }, _) | (Kind::Sync, Some(_)) => {
                return Ok(Some(Vec::new()));
            }
            (Kind::CopyData { .. } | Kind::CopyDone | Kind::CopyFail, None) => {
                return Ok(Some(Vec::new()));
            }
            (Kind::Sync, None) => {
                self.skipping = false;
                b"Z"
            }
            // Refused by closing the connection.
            (Kind::Query | Kind::Extended(_), Some(_)) => return Ok(None),
            (_, None) if self.skipping => return Ok(Some(Vec::new())),
            (Kind::Query, None) => b"ZG",
            (Kind::Extended(ends), None) => {
                self.busy = true;
                ends
            }
            (Kind::CopyData { .. } | Kind::CopyDone | Kind::CopyFail, Some(Kind::Query)) => b"Z",
            (Kind::CopyData { .. } | Kind::CopyDone | Kind::CopyFail, Some(_)) => b"C",
        };
        self.answer(item, ends)
    }

    fn answer(&mut self, item: &Item, ends: &[u8]) -> Result<Option<Vec<Message>>> {
        let extended = !ends.contains(&b'Z');
        if !matches!(item.kind, Kind::Extended(_)) {
            self.copying = None;
        }
        let mut messages = Vec::new();
        loop {
            let message = self.client.receive().with_context(|| format!("answer to {item:?}"))?;
            let Some(message) = message else { return Ok(None) };
            let tag = message.tag;
            ensure!(tag != b'Z' || ends.contains(&tag), "ReadyForQuery after {item:?}");
            if tag == b'Z' {
                self.busy = message.body != b"I";
            }
            messages.push(message);
            if tag == b'G' {
                self.copying = Some(item.kind);
                self.owes_end = true;
                self.busy = true;
                return Ok(Some(messages));
            }
            if tag == b'E' && extended {
                self.skipping = true;
                return Ok(Some(messages));
            }
            if ends.contains(&tag) {
                return Ok(Some(messages));
            }
        }
    }
}
