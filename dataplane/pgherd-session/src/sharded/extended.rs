//! The extended protocol: prepared statements and portals, batches up to their Sync.

mod statements;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use ahash::AHashMap;
use pgherd_wire::frontend::{self, Parse, Target, tag};
use pgherd_wire::{backend, frame};

use self::statements::put_types;
use super::bind::Bind;
use super::branch::{Arguments, Question};
use super::coordinator::{Coordinator, in_failed_transaction};
use super::cursors::Cursor;
use super::failure::Failure;
use super::front::Message;
use super::malformed::{fault, malformed};
use super::portals::Portal;
use super::shapes::Shape;
use super::transaction::State;
use super::verb::{Nature, Verb};
use crate::end::End;

/// The prepared statements and portals of a session.
#[derive(Default)]
pub(crate) struct Extended {
    statements: AHashMap<Vec<u8>, Rc<Statement>>,
    pub(super) portals: AHashMap<Vec<u8>, Portal>,
    /// After an error everything up to the next Sync is discarded.
    skipping: bool,
    /// Something has come since the last Sync.
    is_open: bool,
    /// How many portals were left on shards.
    last_portal: u64,
    /// The portal of which no shard has seen the values.
    unseen: Option<Vec<u8>>,
}

/// A prepared statement. The one without a name is kept under the empty name.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) text: Rc<str>,
    /// `None` when the text has no statement.
    pub(crate) verb: Option<Verb>,
    pub(crate) shape: Rc<Shape>,
    /// Of the catalog in which it has this shape.
    version: Cell<u64>,
    /// By which connections keep it parsed.
    pub(crate) server: Option<Arc<pgherd_pool::Statement>>,
}

/// `duplicate_prepared_statement`
const DUPLICATE_STATEMENT: &str = "42P05";
/// `invalid_sql_statement_name`
const NO_STATEMENT: &str = "26000";
/// `invalid_cursor_name`
const NO_PORTAL: &str = "34000";
/// `duplicate_cursor`
const DUPLICATE_PORTAL: &str = "42P03";

// === impl Extended ===

impl Extended {
    /// A simple query drops what has no name.
    pub(crate) fn forget_unnamed(&mut self) {
        self.statements.remove(&b""[..]);
        self.portals.remove(&b""[..]);
    }

    pub(crate) fn clear(&mut self) {
        self.statements.clear();
        self.portals.clear();
    }

    pub(crate) fn close_portals(&mut self) {
        self.portals.clear();
    }

    /// A name for a portal on a shard.
    pub(super) fn next_portal(&mut self) -> String {
        self.last_portal += 1;
        format!("pgherd_portal_{}", self.last_portal)
    }

    pub(crate) fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Whether a batch has begun and not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// A new statement. Only the one without a name replaces another.
    pub(crate) fn keep(&mut self, name: &[u8], statement: Rc<Statement>) -> Result<(), Failure> {
        if !name.is_empty() && self.statements.contains_key(name) {
            let text = format!("prepared statement \"{}\" already exists", lossy(name));
            return Err(Failure::error(DUPLICATE_STATEMENT, text));
        }
        self.statements.insert(name.to_vec(), statement);
        Ok(())
    }

    pub(crate) fn known(&self, name: &[u8]) -> Option<&Statement> {
        self.statements.get(name).map(Rc::as_ref)
    }

    /// The statements of all portals.
    pub(crate) fn bound(&self) -> impl Iterator<Item = &Statement> {
        self.portals.values().map(Portal::statement)
    }

    pub(super) fn statement(&self, name: &[u8]) -> Result<Rc<Statement>, Failure> {
        self.statements.get(name).cloned().ok_or_else(|| no_statement(name))
    }
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn no_statement(name: &[u8]) -> Failure {
    Failure::error(
        NO_STATEMENT,
        match name {
            b"" => "unnamed prepared statement does not exist".to_owned(),
            name => format!("prepared statement \"{}\" does not exist", lossy(name)),
        },
    )
}

pub(super) fn no_portal(name: &[u8]) -> Failure {
    Failure::error(NO_PORTAL, format!("portal \"{}\" does not exist", lossy(name)))
}

impl Statement {
    /// Whether it may be run in a transaction that has failed.
    fn ends_failure(&self) -> bool {
        self.verb.as_ref().is_some_and(Verb::ends_failure)
    }
}

impl Coordinator {
    /// Answers a message of the extended protocol.
    pub(crate) async fn extended_message(&mut self, message: &Message) -> Result<(), End> {
        let body = &message.body;
        let waits = match message.tag {
            tag::DESCRIBE => true,
            tag::EXECUTE => {
                let name = body.split(|&byte| byte == 0).next();
                self.extended.unseen.as_deref() == name
            }
            _ => false,
        };
        if !waits && !self.see_bound().await? {
            self.extended.skipping = true;
            if message.tag != tag::SYNC {
                return self.front.flush().await;
            }
        }
        match message.tag {
            tag::SYNC => return self.sync(body).await,
            tag::FLUSH if body.is_empty() => return self.front.flush().await,
            _ => {}
        }
        self.extended.is_open = true;
        let answered = match message.tag {
            _ if message.is_too_long => Err(self.too_long()),
            tag::BIND => self.bind_message(body).await,
            tag if fault(tag, body).is_some() => Err(malformed(tag, body)),
            tag::PARSE => self.parse_message(body).await,
            tag::DESCRIBE => self.describe_message(body).await,
            tag::EXECUTE => {
                let executed = self.execute_message(body).await;
                if executed.is_ok() {
                    self.extended.unseen = None;
                    self.front.release();
                }
                executed
            }
            tag::CLOSE => self.close_message(body).await,
            other => Err(malformed(other, body)),
        };
        match answered {
            Ok(()) => Ok(self.front.relieve().await?),
            Err(Failure::End(end)) => Err(end),
            Err(failure) => {
                self.extended.unseen = None;
                self.fail(&failure).await;
                self.extended.skipping = true;
                // Whoever has sent a Flush behind it, and no Sync, waits for it.
                self.front.flush().await
            }
        }
    }

    /// Lets a shard judge the values of the portal that was bound last, unless one has. `false`
    /// when it has refused them.
    pub(crate) async fn see_bound(&mut self) -> Result<bool, End> {
        let Some(name) = self.extended.unseen.take() else { return Ok(true) };
        match self.see(&name).await {
            Ok(()) => Ok(true),
            Err(Failure::End(end)) => Err(end),
            Err(failure) => {
                self.fail(&failure).await;
                Ok(false)
            }
        }
    }

    /// From now on everything up to a Sync is discarded.
    pub(crate) fn skip(&mut self) {
        self.extended.skipping = true;
    }

    /// Lets a shard judge the values of a portal that is not executed now.
    async fn see(&mut self, name: &[u8]) -> Result<(), Failure> {
        let Some(portal) = self.extended.portals.get(name) else {
            self.front.release();
            return Ok(());
        };
        let (statement, arguments) = portal.parts();
        let question = Question {
            sql: statement.text.as_bytes(),
            types: &statement.shape.parameters,
            arguments: &arguments,
            formats: &[],
        };
        let shard = self.any_shard();
        self.branch(shard).await?.try_bind(&question).await
    }

    async fn sync(&mut self, body: &[u8]) -> Result<(), End> {
        self.extended.skipping = false;
        self.extended.is_open = false;
        if !body.is_empty() {
            self.fail(&malformed(tag::SYNC, body)).await;
        }
        if self.transaction.state == State::Implicit {
            match self.finish_transaction().await {
                Ok(()) => {}
                Err(Failure::End(end)) => return Err(end),
                Err(failure) => self.fail(&failure).await,
            }
        }
        if !self.transaction.is_open() {
            self.extended.close_portals();
        }
        self.ready().await
    }

    async fn parse_message(&mut self, body: &[u8]) -> Result<(), Failure> {
        let parse = Parse::read(body).ok_or_else(|| malformed(tag::PARSE, body))?;
        self.readable(parse.name)?;
        let (_, types) = parse.definition.split_at(parse.text().len() + 3);
        let (types, _) = types.as_chunks::<4>();
        let types: Vec<u32> = types.iter().map(|it| u32::from_be_bytes(*it)).collect();
        let statement = match self.known_statement(parse.text(), &types) {
            Some(statement) => statement,
            None => {
                let statement = Rc::new(self.prepare(parse.text(), &types).await?);
                if statement.server.is_some() {
                    self.keep_statement(&types, &statement);
                }
                statement
            }
        };
        self.extended.keep(parse.name, statement)?;
        self.front.put(|out| backend::put_empty(out, backend::tag::PARSE_COMPLETE));
        Ok(())
    }

    async fn bind_message(&mut self, body: &[u8]) -> Result<(), Failure> {
        let bind = match Bind::read(body) {
            Some(bind) => bind,
            None => {
                // The statement is looked up before the values are read.
                if let Some(name) = body.split(|&byte| byte == 0).nth(1) {
                    self.extended.statement(name)?;
                }
                return Err(malformed(tag::BIND, body));
            }
        };
        self.readable(bind.portal)?;
        let statement = self.extended.statement(bind.statement)?;
        let arguments = bind.arguments(statement.shape.parameters.len())?;
        if self.transaction.state == State::Failed && !statement.ends_failure() {
            return Err(in_failed_transaction());
        }
        let is_taken = self.extended.portals.contains_key(bind.portal)
            || self.cursors.contains_key(&lossy(bind.portal));
        if !bind.portal.is_empty() && is_taken {
            let text = format!("cursor \"{}\" already exists", lossy(bind.portal));
            return Err(Failure::error(DUPLICATE_PORTAL, text));
        }
        let columns = statement.shape.columns();
        let returns_rows = statement.shape.row.is_some();
        if returns_rows && bind.formats.len() > 1 && bind.formats.len() != columns {
            let text = format!(
                "bind message has {} result formats but query has {columns} columns",
                bind.formats.len()
            );
            return Err(Failure::error(pgherd_wire::sqlstate::PROTOCOL_VIOLATION, text));
        }
        self.check_shape(&statement).await?;
        // The shard that executes it judges the values, and plans it with them, which may fail too.
        // Until then nothing is said of them.
        if arguments.len() > 0 || matches!(statement.verb, Some(Verb::Plan(_))) {
            self.front.hold();
            self.extended.unseen = Some(bind.portal.to_vec());
        }
        let portal = Portal::new(statement, arguments, bind.formats);
        self.extended.portals.insert(bind.portal.to_vec(), portal);
        self.front.put(|out| backend::put_empty(out, backend::tag::BIND_COMPLETE));
        Ok(())
    }

    async fn describe_message(&mut self, body: &[u8]) -> Result<(), Failure> {
        let (target, name) =
            frontend::parse_target(body).ok_or_else(|| malformed(tag::DESCRIBE, body))?;
        let row = match target {
            Target::Statement => {
                let statement = self.extended.statement(name)?;
                let is_failed = self.transaction.state == State::Failed;
                if is_failed && statement.shape.row.is_some() {
                    return Err(in_failed_transaction());
                }
                self.front.put(|out| {
                    frame::put(out, backend::tag::PARAMETER_DESCRIPTION, |body| {
                        body.extend_from_slice(&put_types(&statement.shape.parameters));
                    });
                });
                statement.shape.row.clone()
            }
            // Cursors of SQL are portals, too.
            Target::Portal if self.cursors.contains_key(&lossy(name)) => {
                let name = lossy(name);
                let text = format!("FETCH FROM {}", super::transaction::quoted(&name));
                let shape = self.shape_of_fetch(&name, false, &text).await?;
                match self.cursors.get(&name) {
                    Some(Cursor::On(_, Some((_, true)))) => shape.row_in(&[1]),
                    _ => shape.row.clone(),
                }
            }
            Target::Portal => {
                let portal = self.extended.portals.get(name).ok_or_else(|| no_portal(name))?;
                if self.transaction.state == State::Failed && portal.row().is_some() {
                    return Err(in_failed_transaction());
                }
                portal.row()
            }
        };
        self.front.put(|out| match row {
            Some(row) => frame::put(out, backend::tag::ROW_DESCRIPTION, |body| {
                body.extend_from_slice(&row);
            }),
            None => backend::put_empty(out, backend::tag::NO_DATA),
        });
        Ok(())
    }

    async fn close_message(&mut self, body: &[u8]) -> Result<(), Failure> {
        let (target, name) =
            frontend::parse_target(body).ok_or_else(|| malformed(tag::CLOSE, body))?;
        match target {
            Target::Statement => drop(self.extended.statements.remove(name)),
            // Cursors of SQL are portals, too.
            Target::Portal if self.transaction.state == State::Failed => {
                self.cursors.remove(&lossy(name));
                self.extended.portals.remove(name);
            }
            Target::Portal if self.cursors.contains_key(&lossy(name)) => {
                self.close_cursor(Some(&lossy(name))).await?;
            }
            Target::Portal => self.close_portal(name).await?,
        }
        self.front.put(|out| backend::put_empty(out, backend::tag::CLOSE_COMPLETE));
        Ok(())
    }

    /// DEALLOCATE. Returns the tag.
    pub(crate) fn deallocate(&mut self, name: Option<&str>) -> Result<&'static str, Failure> {
        match name {
            None => {
                self.extended.statements.retain(|name, _| name.is_empty());
                Ok("DEALLOCATE ALL")
            }
            Some(name) => match self.extended.statements.remove(name.as_bytes()) {
                Some(_) => Ok("DEALLOCATE"),
                None => Err(no_statement(name.as_bytes())),
            },
        }
    }

    /// Whether what is executed now is all that the batch does, so that it is a transaction by
    /// itself.
    pub(super) fn is_alone(&self) -> bool {
        self.front.tag_ahead(&[tag::CLOSE, tag::FLUSH]) == Some(tag::SYNC)
    }
}

/// What a statement does, where it is planned.
pub(super) fn nature(statement: &Statement) -> Option<Nature> {
    match statement.verb {
        Some(Verb::Plan(nature)) => Some(nature),
        _ => None,
    }
}

/// Parameters for the planner.
pub(super) fn parameters<'a>(
    shape: &Shape,
    arguments: &'a Arguments,
) -> Vec<pgherd_plan::Parameter<'a>> {
    let types = shape.parameters.iter();
    let values = arguments.iter();
    values
        .zip(types)
        .map(|((binary, value), type_oid)| pgherd_plan::Parameter {
            type_oid: *type_oid,
            value,
            binary,
        })
        .collect()
}
