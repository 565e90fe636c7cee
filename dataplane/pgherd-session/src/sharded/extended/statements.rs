//! What a prepared statement is: its text judged by a shard, and kept as long as that holds.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use pgherd_wire::description::{row_type, with_parameters};

use super::Statement;
use crate::settle::Marks;
use crate::sharded::coordinator::{Coordinator, in_failed_transaction};
use crate::sharded::failure::{Failure, result_type_changed};
use crate::sharded::shapes::Shape;
use crate::sharded::transaction::State;
use crate::sharded::verb::{Nature, Verb};

impl Coordinator {
    /// What there is to know of a statement before it is bound.
    pub(crate) async fn prepare(
        &mut self,
        text: &[u8],
        types: &[u32],
    ) -> Result<Statement, Failure> {
        let readable = self.readable(text)?;
        let text = &*readable;
        if Self::is_command(text.as_bytes()) {
            if self.transaction.state == State::Failed {
                return Err(in_failed_transaction());
            }
            let shape = Rc::new(Self::shape_of_command(text.as_bytes()));
            let verb = Some(Verb::Command);
            let version = Cell::default();
            return Ok(Statement { text: text.into(), verb, shape, version, server: None });
        }
        let pieces = self.pieces(text).await?;
        let verb = match pieces.as_slice() {
            [] => None,
            [one] => Some(one.verb.clone()),
            _ => {
                return Err(Failure::error(
                    pgherd_wire::sqlstate::SYNTAX_ERROR,
                    "cannot insert multiple commands into a prepared statement",
                ));
            }
        };
        let ends_failure = verb.as_ref().is_none_or(Verb::ends_failure);
        if self.transaction.state == State::Failed && !ends_failure {
            return Err(in_failed_transaction());
        }
        let shape = match &verb {
            Some(
                Verb::Plan(_) | Verb::SetConfig | Verb::Show | Verb::Explain | Verb::Declare { .. },
            ) => self.shape(text, types).await?,
            Some(Verb::Fetch { name, moves }) => self.shape_of_fetch(name, *moves, text).await?,
            Some(Verb::Execute { name }) => {
                let prepared = self.extended.statement(name.as_bytes())?;
                Rc::new(Shape { parameters: Vec::new(), row: prepared.shape.row.clone() })
            }
            _ => Rc::default(),
        };
        let server = match &verb {
            Some(Verb::Plan(Nature::Reads | Nature::Writes)) => self.interned(text, &shape),
            _ => None,
        };
        let version = match shape.row {
            Some(_) => self.catalog().await?.version,
            None => 0,
        };
        Ok(Statement { text: text.into(), verb, shape, version: Cell::new(version), server })
    }

    /// A statement that returns other columns since the schema was changed is none any more.
    pub(super) async fn check_shape(&mut self, statement: &Statement) -> Result<(), Failure> {
        let (Some(Verb::Plan(_)), Some(row)) = (&statement.verb, &statement.shape.row) else {
            return Ok(());
        };
        let version = self.catalog().await?.version;
        if statement.version.get() == version {
            return Ok(());
        }
        let now = self.shape(&statement.text, &statement.shape.parameters).await?;
        if now.row.as_deref().map(row_type) != Some(row_type(row)) {
            return Err(result_type_changed());
        }
        statement.version.set(version);
        Ok(())
    }

    /// The one statement of the process with this text and shape.
    fn interned(&self, text: &str, shape: &Shape) -> Option<Arc<pgherd_pool::Statement>> {
        let pool = self.sites.shards().any().ok()?;
        let parameters = put_types(&shape.parameters);
        let columns = match &shape.row {
            Some(row) => row_type(row)?.into(),
            None => Bytes::new(),
        };
        let definition = with_parameters(text.as_bytes(), &parameters).into();
        let shape = pgherd_pool::Shape { parameters: parameters.into(), columns };
        let marks = Marks::of(text.as_bytes()).bits();
        Some(pool.statements().intern(&definition, shape, marks))
    }
}

/// Their number and their OIDs.
pub(super) fn put_types(types: &[u32]) -> Vec<u8> {
    let mut body = u16::try_from(types.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    types.iter().for_each(|it| body.extend_from_slice(&it.to_be_bytes()));
    body
}
