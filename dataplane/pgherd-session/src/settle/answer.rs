//! What the server answers when it is asked about the state of a session.

use pgherd_pool::{Lease, ServerError, in_any_transaction};
use pgherd_wire::backend::{self, tag};
use pgherd_wire::{frame, sqlstate};

use crate::pins::Pins;

/// What the server says.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) settings: Vec<(String, String)>,
    pub(super) present: Pins,
    /// A value cannot be carried over as it is.
    pub(crate) illegible: bool,
    /// Messages that came between and belong to the client.
    pub(super) notices: Vec<u8>,
}

impl Answer {
    pub(crate) async fn ask(
        &mut self,
        lease: &mut Lease,
        question: &str,
    ) -> Result<(), ServerError> {
        match lease.ask(question, |tag, body| self.take(tag, body)).await {
            Err(ServerError::Reported(report)) if report.code == sqlstate::QUERY_CANCELED => {}
            other => return other.map(drop),
        }
        // The client's statement_timeout is too short for it. That one alone is read at once.
        *self = Self { notices: std::mem::take(&mut self.notices), ..Self::default() };
        let look =
            "SELECT '0', 'statement_timeout', pg_catalog.current_setting('statement_timeout')";
        let look = in_any_transaction(look);
        lease.ask(&look, |tag, body| self.take(tag, body)).await?;
        let own = std::mem::take(&mut self.settings);
        let question = format!("SET LOCAL statement_timeout = 0; {question}");
        lease.ask(&question, |tag, body| self.take(tag, body)).await?;
        self.settings.retain(|(name, _)| name != "statement_timeout");
        self.settings.extend(own);
        Ok(())
    }

    pub(super) fn take(&mut self, tag: u8, body: &[u8]) {
        match tag {
            tag::DATA_ROW => self.take_row(body),
            tag::NOTICE | tag::NOTIFICATION => {
                frame::put(&mut self.notices, tag, |out| out.extend_from_slice(body));
            }
            _ => {}
        }
    }

    fn take_row(&mut self, body: &[u8]) {
        let Some(values) = backend::parse_data_row(body) else { return };
        let [Some(kind), name, value] = values[..] else { return };
        if let Some(name) = name {
            // NULL: a custom parameter that does not exist, as after a rollback elsewhere.
            let Some(value) = value else { return };
            // Other bytes than ASCII mean something else under another client_encoding.
            match (std::str::from_utf8(name), std::str::from_utf8(value)) {
                (Ok(name), Ok(value)) if value.is_ascii() => {
                    self.settings.push((name.to_owned(), value.to_owned()));
                }
                _ => self.illegible = true,
            }
            return;
        }
        let bits = std::str::from_utf8(kind).ok().and_then(|kind| kind.parse().ok()).unwrap_or(0);
        self.present = self.present.and(Pins::from_bits(bits));
    }
}
