//! Commands to the proxy itself, which no server ever sees: `SET pgherd.role`, `SHOW SHARD`, …

use pgherd_sql::Command;
use pgherd_wire::backend::{self, Column};
use pgherd_wire::frame::Header;
use pgherd_wire::frontend::{definition_text, tag};
use pgherd_wire::{ErrorResponse, TransactionStatus, sqlstate};

use crate::session::Session;

/// `in_failed_sql_transaction`.
const IN_FAILED_TRANSACTION: &str = "25P02";

/// A quick look whether a text may be a command: it begins with SET, SHOW, RESET or a comment.
pub(crate) fn may_be_command(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let Some(start) = text.first_chunk::<3>() else { return false };
    let [first, second, third] = start.map(|byte| byte.to_ascii_lowercase());
    matches!(
        [first, second, third],
        [b's', b'e', b't']
            | [b's', b'h', _]
            | [b'r', b'e', b's']
            | [b'/', b'*', _]
            | [b'-', b'-', _]
    )
}

impl Session {
    /// The command that stands at the head of the buffer, if it is one.
    pub(crate) fn command_at_head(&self, header: Header) -> Option<Command> {
        if header.tag != tag::QUERY {
            return None;
        }
        let unscanned = self.from_client.buffer.unscanned();
        let text = definition_text(unscanned.get(5..header.total_len())?);
        if may_be_command(text) { pgherd_sql::command(text) } else { None }
    }

    /// Does what the command at the head of the buffer says, and answers it. Nothing else is owed.
    pub(crate) fn run_command(&mut self, header: Header, command: Command) {
        let status = self.lease.as_ref().map_or(TransactionStatus::Idle, |it| it.owed.status());
        let status = match self.routing.has_lost_transaction {
            true => TransactionStatus::Failed,
            false => status,
        };
        let in_transaction = status == TransactionStatus::InTransaction;
        let text = self.from_client.buffer.unscanned().get(..header.total_len());
        let text = text.unwrap_or_default().to_ascii_lowercase();
        let is_alias = memchr::memmem::find(&text, b"pgherd").is_none();
        let mut out = Vec::new();
        match command {
            _ if status == TransactionStatus::Failed => {
                let text = "current transaction is aborted, commands ignored until end of \
                            transaction block";
                ErrorResponse::error(IN_FAILED_TRANSACTION, text).put(&mut out);
            }
            Command::Set { setting, local } => {
                if local && !in_transaction {
                    let text = "SET LOCAL can only be used in transaction blocks";
                    let severity = pgherd_wire::Severity::Warning;
                    let warning = ErrorResponse::error("25P01", text);
                    ErrorResponse { severity, ..warning }.put(&mut out);
                }
                let tag = if is_alias { alias_tag(&setting) } else { "SET" };
                self.routing.wishes.set(setting, local, in_transaction);
                backend::put_command_complete(&mut out, tag);
            }
            Command::Reset(name) => {
                self.routing.wishes.reset(name, in_transaction);
                backend::put_command_complete(&mut out, "RESET");
            }
            Command::Show { name, column } => {
                let value = self.routing.wishes.show(name);
                backend::put_row_description(&mut out, &[Column { name: column, type_oid: 25 }]);
                backend::put_data_row(&mut out, [Some(value.as_str())].into_iter());
                backend::put_command_complete(&mut out, if is_alias { "SELECT 1" } else { "SHOW" });
            }
            Command::Unrecognized { name } => {
                let text = format!("unrecognized configuration parameter \"{name}\"");
                ErrorResponse::error("42704", text).put(&mut out);
            }
            Command::Invalid { name, value } => {
                let text = format!("invalid value for parameter \"{name}\": \"{value}\"");
                ErrorResponse::error(sqlstate::INVALID_PARAMETER_VALUE, text).put(&mut out);
            }
        }
        backend::put_ready(&mut out, status);
        self.from_server.outbox.own(|own| own.append(&mut out));
        self.from_client.discard(header.total_len());
        self.look_at_mode();
        // A simple query drops the unnamed statement.
        self.unnamed = None;
    }

    /// Finds out how much there is to decide from now on.
    pub(crate) fn look_at_mode(&mut self) {
        let is_session_mode = self.is_session_mode();
        self.routing.set_mode(&self.targets, is_session_mode);
    }
}

/// What pgcat answers to its own commands.
pub(crate) fn alias_tag(setting: &pgherd_sql::Setting) -> &'static str {
    use pgherd_sql::Setting;
    match setting {
        Setting::Role(_) => "SET SERVER ROLE",
        Setting::Shard(_) => "SET SHARD",
        Setting::ShardingKey(_) => "SET SHARDING KEY",
        Setting::PrimaryReads(_) => "SET PRIMARY READS",
        Setting::Traceparent(_) | Setting::ReadYourWrites(_) => "SET",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_few_texts_are_looked_at_twice() {
        for yes in ["SET SHARD TO '1'", " set pgherd.role = any", "SHOW SHARD", "/**/SET x = 1"] {
            assert!(may_be_command(yes.as_bytes()), "{yes}");
        }
        for no in ["SELECT 1", "", "BEGIN", "INSERT INTO t VALUES (1)"] {
            assert!(!may_be_command(no.as_bytes()), "{no}");
        }
    }
}
