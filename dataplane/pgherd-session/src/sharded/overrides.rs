//! Commands to the proxy itself, and shards that the client names: then nothing is planned.

use pgherd_sql::{Command, Setting};
use pgherd_wire::backend::{self, Column};
use pgherd_wire::{ErrorResponse, Severity, TransactionStatus, sqlstate};

use super::branch::{Passing, Wrote};
use super::coordinator::{Coordinator, in_failed_transaction};
use super::execute::Done;
use super::failure::Failure;
use super::shapes::Shape;
use super::transaction::State;
use crate::routing::commands::{alias_tag, may_be_command};

const TEXT: u32 = 25;
/// Of a message: its tag and length.
const HEADER: usize = 5;

impl Coordinator {
    /// Whether a text is a command to the proxy.
    pub(crate) fn is_command(text: &[u8]) -> bool {
        may_be_command(text) && pgherd_sql::command(text).is_some()
    }

    /// What a command to the proxy returns, before it is executed.
    pub(crate) fn shape_of_command(text: &[u8]) -> Shape {
        let mut row = Vec::new();
        if let Some(Command::Show { column, .. }) = pgherd_sql::command(text) {
            backend::put_row_description(&mut row, &[Column { name: column, type_oid: TEXT }]);
        }
        Shape { parameters: Vec::new(), row: row.get(HEADER..).map(<[u8]>::to_vec) }
    }

    /// Answers a text that is a command to the proxy. `None` when it is none.
    pub(crate) fn run_command(
        &mut self,
        text: &[u8],
        description: bool,
    ) -> Result<Option<Done>, Failure> {
        if !may_be_command(text) {
            return Ok(None);
        }
        let Some(command) = pgherd_sql::command(text) else { return Ok(None) };
        let status = self.transaction.status();
        if status == TransactionStatus::Failed {
            return Err(in_failed_transaction());
        }
        let in_block = status == TransactionStatus::InTransaction;
        let in_transaction = self.transaction.is_open();
        let is_alias = memchr::memmem::find(&text.to_ascii_lowercase(), b"pgherd").is_none();
        let mut out = Vec::new();
        let tag = match command {
            Command::Set { setting, local, .. } => {
                self.check_shard(&setting)?;
                if local && !in_block {
                    let text = "SET LOCAL can only be used in transaction blocks";
                    let warning = ErrorResponse::error("25P01", text);
                    ErrorResponse { severity: Severity::Warning, ..warning }.put(&mut out);
                }
                let tag = if is_alias { alias_tag(&setting) } else { "SET" };
                self.wishes.set(setting, local, in_transaction);
                tag
            }
            Command::SetDefault { name, local } => {
                self.wishes.reset(name, local, in_transaction);
                "SET"
            }
            Command::Reset(name) => {
                self.wishes.reset(name, false, in_transaction);
                "RESET"
            }
            Command::Show { name, column } => {
                let value = self.wishes.show(name);
                if description {
                    let column = Column { name: column, type_oid: TEXT };
                    backend::put_row_description(&mut out, &[column]);
                }
                backend::put_data_row(&mut out, [Some(value.as_str())].into_iter());
                if is_alias { "SELECT 1" } else { "SHOW" }
            }
            Command::Unrecognized { name } => {
                let text = format!("unrecognized configuration parameter \"{name}\"");
                return Err(Failure::error("42704", text));
            }
            Command::Invalid { name, value } => {
                let text = format!("invalid value for parameter \"{name}\": \"{value}\"");
                return Err(Failure::error(sqlstate::INVALID_PARAMETER_VALUE, text));
            }
        };
        self.front.put_bytes(&out);
        Ok(Some(Done::tagged(tag)))
    }

    fn check_shard(&self, setting: &Setting) -> Result<(), Failure> {
        let count = self.sites.count();
        match setting {
            Setting::Shard(Some(shard)) if *shard as usize >= count => Err(Failure::error(
                sqlstate::INVALID_PARAMETER_VALUE,
                format!("there is no shard {shard}: the cluster has {count}, counted from 0"),
            )),
            _ => Ok(()),
        }
    }

    /// The shard that the client names, in the text or before it.
    pub(crate) async fn named_shard(&mut self, text: &str) -> Result<Option<usize>, Failure> {
        let directive = pgherd_sql::directive(text.as_bytes());
        let (mut shard, mut key) = (self.wishes.shard(), self.wishes.sharding_key());
        if let Some(it) = directive.filter(|it| it.shard.is_some() || it.key.is_some()) {
            (shard, key) = (it.shard, it.key);
        }
        if let Some(shard) = shard {
            self.check_shard(&Setting::Shard(Some(shard)))?;
            return Ok(Some(shard as usize));
        }
        let Some(key) = key else { return Ok(None) };
        let loaded = self.catalog().await?;
        match loaded.places.of_key(&key) {
            Some(shard) => Ok(Some(shard)),
            None => Err(Failure::error(
                sqlstate::INVALID_PARAMETER_VALUE,
                format!("the sharding key \"{key}\" has no shard"),
            )),
        }
    }

    /// Sends a text as it is to the shard that the client names. `false` when it names none.
    pub(crate) async fn run_directed(&mut self, text: &str) -> Result<bool, Failure> {
        let Some(shard) = self.named_shard(text).await? else { return Ok(false) };
        let pieces = self.pieces(text).await?;
        // What concerns the session or the transaction is done for all shards, as ever.
        let is_planned = |it: &super::texts::Piece| matches!(it.verb, super::verb::Verb::Plan(_));
        if pieces.is_empty() || !pieces.iter().all(is_planned) {
            return Ok(false);
        }
        if self.transaction.state == State::Failed {
            return Err(in_failed_transaction());
        }
        let is_definition = super::verb::Verb::Plan(super::verb::Nature::Defines);
        let defines = pieces.iter().any(|it| it.verb == is_definition);
        if defines && self.transaction.is_open() {
            self.transaction.defines = true;
            self.forget_private_catalog();
        }
        let mut attempts = self.attempts();
        loop {
            match self.send_directed(shard, text, defines).await {
                Err(failure) if self.tries_again(&mut attempts, &failure, text).await => {}
                sent => return sent.map(|()| true),
            }
        }
    }

    async fn send_directed(
        &mut self,
        shard: usize,
        text: &str,
        defines: bool,
    ) -> Result<(), Failure> {
        let branch = self.branch(shard).await?;
        branch.send_simple(text.as_bytes(), pgherd_wire::owed::Audience::Client).await?;
        // It may have left state that nobody keeps books of.
        branch.taint();
        let forwarded = branch.forward(Passing::ALL).await;
        if defines && !self.transaction.is_open() {
            self.forget_catalog();
        }
        forwarded?;
        self.note_write(shard, Wrote::Perhaps);
        Ok(())
    }
}
