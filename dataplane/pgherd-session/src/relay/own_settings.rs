//! Texts on their way to a server that set or show the proxy's own settings.
//!
//! For the server these are custom parameters. What it would not understand is put into its words,
//! and what it would take without a look is refused.

use bytes::Bytes;
use pgherd_pool::{Effect, Note};
use pgherd_sql::{Command, ForServer};
use pgherd_wire::TransactionStatus;
use pgherd_wire::frame::{HEADER_LEN, Header};
use pgherd_wire::frontend::{self, Parse};
use pgherd_wire::owed::{Audience, Request};

use crate::routing::commands::{complaint, may_be_command};
use crate::session::Session;
use crate::setting_names;

/// Fails with or without a transaction, and ends one.
const FAILS: &[u8] = b"ROLLBACK TO SAVEPOINT pgherd_refuses";

impl Session {
    /// What becomes of a text; `None` when it goes as it is.
    pub(super) fn words_for_server(&self, text: &[u8]) -> Option<ForServer> {
        let speaks = may_be_command(text)
            || setting_names::has_several(text)
            // Calls of `set_config`, whose values matter where there is a choice.
            || (self.routing.has_choice() && pgherd_sql::names_proxy(text));
        if speaks { pgherd_sql::for_server(text) } else { None }
    }

    /// A Parse in session mode, where all others pass as they are. `false` when this one does.
    pub(super) fn take_own_parse(&mut self, header: Header) -> bool {
        let body = self.body(header);
        let Some(parse) = Parse::read(body).filter(|_| body.len() == header.body_len) else {
            return false;
        };
        match self.words_for_server(parse.text()) {
            None => return false,
            Some(ForServer::Refused(command)) => self.refuse_command(header, &command),
            Some(ForServer::Text(text)) => {
                let (name, definition) = (parse.name.to_vec(), with_text(&parse, &text));
                let outbox = &mut self.from_client.outbox;
                outbox.own(|out| frontend::put_parse(out, &name, &definition));
                self.owe(Request::Parse, Effect::Nothing);
                self.from_client.discard(header.total_len());
            }
        }
        true
    }

    /// Refuses a Parse.
    pub(super) fn refuse_command(&mut self, header: Header, command: &Command) {
        self.refuse_message(header, body_of(command));
    }

    /// Refuses a simple query: the server executes another one, which fails. `false` when it must
    /// wait.
    pub(super) fn refuse_query(&mut self, header: Header, command: &Command) -> bool {
        let Some(lease) = &self.lease else { return true };
        if !lease.owed.is_empty() && !lease.owed.is_copy_in() {
            return self.wait_for_answers();
        }
        // In a transaction that has failed Postgres says that first.
        if lease.owed.is_copy_in() || lease.owed.status() == TransactionStatus::Failed {
            self.pass(header, Request::Query, Note::default());
            self.end_batch();
            return true;
        }
        // A simple query drops the unnamed statement, also when it fails.
        self.replace_unnamed(None, 0);
        let undo = Effect::Refused { preface: Bytes::new(), error: body_of(command) };
        self.from_client.outbox.own(|out| frontend::put_query(out, FAILS));
        if let Some(lease) = &mut self.lease {
            lease.owed.push(Request::Query, Audience::Client, undo.into());
        }
        self.from_client.discard(header.total_len());
        self.end_batch();
        true
    }
}

/// A definition with another text.
pub(super) fn with_text(parse: &Parse<'_>, text: &[u8]) -> Vec<u8> {
    let rest = parse.definition.get(parse.text().len()..).unwrap_or_default();
    [text, rest].concat()
}

fn body_of(command: &Command) -> Bytes {
    let mut error = Vec::new();
    complaint(command).put(&mut error);
    error.drain(..HEADER_LEN);
    error.into()
}
