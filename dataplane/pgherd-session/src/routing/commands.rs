//! Commands to the proxy itself: `SET pgherd.role`, `SHOW SHARD`, …
//!
//! Those that come alone, as simple queries, while no server connection is held need none. All
//! others are executed by a server, for which the settings are custom parameters like any others.

use std::sync::Arc;

use pgherd_sql::{Command, SettingName};
use pgherd_wire::backend::{self, Column};
use pgherd_wire::frame::Header;
use pgherd_wire::frontend::{definition_text, tag};
use pgherd_wire::{ErrorResponse, ParamSet, TransactionStatus, sqlstate};

use super::wishes::{self, Wishes};
use crate::session::Session;

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
    /// The command that stands at the head of the buffer, if it is one that the proxy answers
    /// itself: no server connection is held, so that no transaction is open in which it would be
    /// set.
    pub(crate) fn command_at_head(&self, header: Header) -> Option<Command> {
        if header.tag != tag::QUERY || self.routing.has_lost_transaction {
            return None;
        }
        let unscanned = self.from_client.buffer.unscanned();
        let text = definition_text(unscanned.get(5..header.total_len())?);
        if may_be_command(text) { pgherd_sql::command(text) } else { None }
    }

    /// Does what the command at the head of the buffer says, and answers it. No server connection
    /// is held.
    pub(crate) fn run_command(&mut self, header: Header, command: &Command) {
        let mut out = Vec::new();
        match command {
            Command::Set { local: true, .. } | Command::SetDefault { local: true, .. } => {
                let text = "SET LOCAL can only be used in transaction blocks";
                let severity = pgherd_wire::Severity::Warning;
                let warning = ErrorResponse::error("25P01", text);
                ErrorResponse { severity, ..warning }.put(&mut out);
                backend::put_command_complete(&mut out, "SET");
            }
            Command::Set { name, setting, local: false } => {
                let parameter = setting.name().parameter();
                Arc::make_mut(&mut self.params).set(parameter, &setting.value());
                let is_own = *name == parameter;
                let tag = if is_own { "SET" } else { alias_tag(setting) };
                backend::put_command_complete(&mut out, tag);
            }
            Command::SetDefault { name, local: false } => {
                self.reset_parameter(*name);
                backend::put_command_complete(&mut out, "SET");
            }
            Command::Reset(name) => {
                self.reset_parameter(*name);
                backend::put_command_complete(&mut out, "RESET");
            }
            Command::Show { name, column } => {
                let value = self.routing.wishes.show(*name);
                backend::put_row_description(&mut out, &[Column { name: column, type_oid: 25 }]);
                backend::put_data_row(&mut out, [Some(value.as_str())].into_iter());
                let is_own = *column == name.parameter();
                backend::put_command_complete(&mut out, if is_own { "SHOW" } else { "SELECT 1" });
            }
            Command::Unrecognized { .. } | Command::Invalid { .. } => {
                complaint(command).put(&mut out);
            }
        }
        backend::put_ready(&mut out, TransactionStatus::Idle);
        self.from_server.outbox.own(|own| own.append(&mut out));
        self.from_client.discard(header.total_len());
        self.look_at_wishes();
        // A simple query drops the unnamed statement.
        self.unnamed = None;
    }

    fn reset_parameter(&mut self, name: SettingName) {
        let name = name.parameter();
        let params = Arc::make_mut(&mut self.params);
        match self.startup_params.get(name) {
            Some(value) => drop(params.set(name, value)),
            None => params.remove(name),
        }
    }

    /// The parameters have changed, and with them perhaps what the session asks for.
    pub(crate) fn look_at_wishes(&mut self) {
        self.routing.wishes = Wishes::of(&self.params);
        self.look_at_mode();
    }

    /// Finds out how much there is to decide from now on.
    pub(crate) fn look_at_mode(&mut self) {
        let is_session_mode = self.is_session_mode();
        self.routing.set_mode(&self.targets, is_session_mode);
    }

    /// Tells the client of values that the server has taken and the proxy does not.
    pub(crate) fn warn_of_wishes(&mut self, before: &ParamSet) {
        let is_wrong = |(name, value): &(&str, &str)| {
            wishes::is_own(name)
                && wishes::read(name, value).is_none()
                && before.get(name) != Some(value)
        };
        for (name, value) in self.params.iter().filter(is_wrong) {
            let text = format!("invalid value for parameter \"{name}\": \"{value}\"");
            let warning = ErrorResponse::error(sqlstate::INVALID_PARAMETER_VALUE, text);
            let severity = pgherd_wire::Severity::Warning;
            let warning = ErrorResponse { severity, ..warning };
            self.from_server.outbox.own(|out| warning.put(out));
        }
    }
}

/// What the client is told of a command that is none.
pub(crate) fn complaint(command: &Command) -> ErrorResponse<'static> {
    match command {
        Command::Invalid { name, value } => ErrorResponse::error(
            sqlstate::INVALID_PARAMETER_VALUE,
            format!("invalid value for parameter \"{name}\": \"{value}\""),
        ),
        Command::Unrecognized { name } => ErrorResponse::error(
            sqlstate::UNDEFINED_OBJECT,
            format!("unrecognized configuration parameter \"{name}\""),
        ),
        _ => ErrorResponse::error(sqlstate::PROTOCOL_VIOLATION, "not a command to the proxy"),
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
