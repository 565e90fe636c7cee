//! Statements that a connection keeps parsed under names of its own.

use std::sync::Arc;

use bytes::Bytes;
use pgherd_pool::Statement;
use pgherd_wire::description::row_type;
use pgherd_wire::owed::{Audience, Request};
use pgherd_wire::{frame, frontend};

use super::{Branch, Passing, Question};
use crate::sharded::failure::{Failure, result_type_changed};

impl Branch {
    /// Sends Bind, Execute and Sync of a statement that the connection keeps parsed, with a Parse
    /// before them when it is the first time.
    pub(crate) async fn send_statement(
        &mut self,
        statement: &Arc<Statement>,
        question: &Question<'_>,
    ) -> Result<(), Failure> {
        let mut out = Vec::with_capacity(question.arguments.size() + 128);
        let Some(lease) = self.connection() else { return Err(Failure::Broken(self.shard)) };
        let known = lease.statements.name(statement.id);
        let mut is_new = known.is_none();
        let name = known.unwrap_or_else(|| lease.statements.add(statement.id));
        let columns = statement.shape.as_ref().map(|it| &it.columns).filter(|it| !it.is_empty());
        if is_new && let Some(columns) = columns {
            self.parse_named(statement, &name, columns).await?;
            is_new = false;
        }
        let Some(lease) = self.connection() else { return Err(Failure::Broken(self.shard)) };
        let doomed = lease.statements.take_doomed();
        for name in &doomed {
            let target = frontend::Target::Statement;
            frontend::put_target(&mut out, frontend::tag::CLOSE, target, name);
            self.owes(Request::Close, Audience::Proxy);
        }
        if is_new {
            frontend::put_parse(&mut out, &name, &statement.definition);
            self.owes(Request::Parse, Audience::Client);
        }
        question.put_bind(&mut out, &name);
        frame::put(&mut out, frontend::tag::EXECUTE, |body| body.extend([0; 5]));
        frontend::put_empty(&mut out, frontend::tag::SYNC);
        for request in [Request::Bind, Request::Execute, Request::Sync] {
            self.owes(request, Audience::Client);
        }
        self.send(&out).await?;
        self.parsing = is_new.then_some(statement.id);
        Ok(())
    }

    /// Parses a statement by itself, to see whether its columns are still those that the client was
    /// told: somebody may have changed the schema, and it is not to be run then.
    async fn parse_named(
        &mut self,
        statement: &Statement,
        name: &[u8],
        columns: &[u8],
    ) -> Result<(), Failure> {
        let mut out = Vec::with_capacity(statement.definition.len() + 64);
        frontend::put_parse(&mut out, name, &statement.definition);
        let target = frontend::Target::Statement;
        frontend::put_target(&mut out, frontend::tag::DESCRIBE, target, name);
        frontend::put_empty(&mut out, frontend::tag::SYNC);
        for request in [Request::Parse, Request::DescribeStatement, Request::Sync] {
            self.owes(request, Audience::Client);
        }
        self.send(&out).await?;
        self.parsing = Some(statement.id);
        let described = self.forward(Passing::NOTHING).await?.description;
        self.parsing = None;
        if described.as_deref().and_then(row_type).as_deref() != Some(columns) {
            if let Some(lease) = self.connection() {
                lease.statements.remove(statement.id);
                lease.statements.doom(Bytes::copy_from_slice(name));
            }
            return Err(result_type_changed());
        }
        Ok(())
    }
}
