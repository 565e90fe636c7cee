//! Prepared statements: what clients define, and what each server connection has.
//!
//! A statement is its text, its parameter types as the client gave them, and its shape: what the
//! server made of both when the client defined it. On a server connection it gets a name that is
//! never used again there, so that two clients with the same statement share it and two with the
//! same name do not meet. The shape keeps apart what DDL has changed in between: a client gets
//! "cached plan must not change result type" exactly where its own connection would have said so.

use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ahash::AHashMap;
use bytes::Bytes;
use parking_lot::Mutex;
use pgherd_wire::description::with_parameters;
use pgherd_wire::frontend::definition_text;

/// A statement as some client defined it.
#[derive(Debug)]
pub struct Statement {
    /// Unique in this process.
    pub id: u64,
    /// Text, zero, number of types, types: a Parse message without its name.
    pub definition: Bytes,
    /// What whoever defined it has to remember of its text.
    pub marks: u16,
    /// What it takes and returns; `None` until the server has said so.
    pub shape: Option<Shape>,
}

/// What a statement takes and returns, as far as Postgres compares it when it plans anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Number and types of the parameters: the body of a ParameterDescription.
    pub parameters: Bytes,
    /// The columns, see `pgherd_wire::description::row_type`; empty when it returns no rows.
    pub columns: Bytes,
}

/// The unnamed statement of a client.
#[derive(Clone, Debug)]
pub struct Unnamed {
    /// Unique in this process: which Parse message defined it.
    pub generation: u64,
    /// Its definition.
    pub definition: Bytes,
    /// As [`Statement::marks`].
    pub marks: u16,
    /// What its text says of prepared statements by name.
    pub sql: Option<Arc<[SqlUse]>>,
    /// Room for a large one.
    pub reserved: Option<Arc<Reservation>>,
}

impl Unnamed {
    /// Whether names were exchanged in its text; they are not any more.
    pub fn forget_exchanged(&mut self) -> bool {
        let Some(sql) = self.sql.as_ref().filter(|sql| sql.iter().any(|it| it.exchanged.is_some()))
        else {
            return false;
        };
        let unchanged = sql.iter().map(|it| SqlUse { exchanged: None, ..it.clone() });
        self.sql = Some(unchanged.collect());
        true
    }
}

/// Room for a large definition, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    taken: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What a request changed in the books of the client and of the server connection, so that it
/// can be undone when the server discards the request; and what its reply tells.
#[derive(Debug, Default)]
pub enum Effect {
    /// Nothing to undo.
    #[default]
    Nothing,
    /// The unnamed statement was replaced or dropped.
    Unnamed {
        /// The client's statement before.
        client: Option<Unnamed>,
        /// The server connection's generation before.
        server: u64,
        /// And the one that replaced it.
        now: u64,
    },
    /// A name was defined.
    Defined {
        /// The client's name.
        name: Bytes,
        /// The statement, which was parsed on the server connection for it.
        id: u64,
    },
    /// A statement was parsed on the server connection without the client's asking.
    Parsed(u64),
    /// The reply says what this statement takes and returns.
    Described {
        /// The statement.
        statement: Arc<Statement>,
        /// The client's name for it.
        name: Bytes,
    },
    /// The request uses the client's statement of this name.
    Uses(Bytes),
    /// The proxy refuses the request: the server's error gives way to this one.
    Refused {
        /// Whole messages that Postgres sends before it refuses.
        preface: Bytes,
        /// The body of the error.
        error: Bytes,
    },
    /// A name was defined on this server connection alone.
    DefinedSql(Bytes),
    /// The client closed a name that it had prepared with SQL.
    ClosedSql(Bytes),
    /// The client closed a name.
    Closed {
        /// The client's name.
        name: Bytes,
        /// What it stood for.
        before: Arc<Statement>,
    },
    /// A name on the server connection was closed to make room or to clean up.
    ServerClosed(Bytes),
}

/// What is noted with each request that a server owes a reply to.
#[derive(Debug, Default)]
pub struct Note {
    /// What to undo when the server discards the request.
    pub undo: Effect,
    /// The request is one plain `SET` of a parameter that Postgres reports.
    pub plain_set: bool,
    /// What its text says of prepared statements by name.
    pub sql: Option<Arc<[SqlUse]>>,
}

/// What SQL does with a prepared statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlVerb {
    /// `PREPARE`.
    Prepare,
    /// `EXECUTE`, also behind `EXPLAIN` and `CREATE TABLE … AS`.
    Execute,
    /// `DEALLOCATE`.
    Deallocate,
    /// `DEALLOCATE ALL`, `DISCARD ALL`.
    ForgetAll,
}

/// A place in an SQL text that names a prepared statement.
#[derive(Clone, Debug)]
pub struct SqlUse {
    /// What is done.
    pub verb: SqlVerb,
    /// The name, as Postgres reads it.
    pub name: Bytes,
    /// Where it is written.
    pub at: Range<usize>,
    /// What was put there instead, where the statement is one of the protocol.
    pub exchanged: Option<Exchanged>,
}

/// A name that stands in a text instead of the client's.
#[derive(Clone, Debug)]
pub struct Exchanged {
    /// Where it stands, in characters from 1.
    pub at: usize,
    /// How many characters the client wrote.
    pub written: usize,
    /// How many characters stand there instead.
    pub put: usize,
    /// The name.
    pub server_name: Bytes,
}

impl SqlUse {
    /// A use of all statements.
    pub fn all() -> Self {
        Self { verb: SqlVerb::ForgetAll, name: Bytes::new(), at: 0..0, exchanged: None }
    }
}

impl From<Effect> for Note {
    fn from(undo: Effect) -> Self {
        Self { undo, plain_set: false, sql: None }
    }
}

/// All statements that clients hold, by definition, so that equal ones are one.
#[derive(Debug, Default)]
pub struct StatementRegistry {
    known: Mutex<Known>,
    next: AtomicU64,
    /// Bytes of large definitions.
    large: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Known {
    by_meaning: AHashMap<(Bytes, Shape), Arc<Statement>>,
    bytes: usize,
    /// How many, and how long, they may become before those that nobody holds are thrown out.
    sweep_at: (usize, usize),
}

/// Most bytes of large definitions in a process.
const MAX_LARGE: usize = 256 << 20;

/// Below this many definitions, and bytes of them, nothing is thrown out.
const SWEEP_ABOVE: (usize, usize) = (4096, 16 << 20);

impl StatementRegistry {
    /// A number that was never given before in this process; never 0.
    pub fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether there is room for a large definition.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.large.load(Ordering::Relaxed) + bytes <= MAX_LARGE
    }

    /// Takes room for a large definition, also where there is none.
    pub fn reserve(&self, bytes: usize) -> Reservation {
        self.large.fetch_add(bytes, Ordering::Relaxed);
        Reservation { taken: Arc::clone(&self.large), bytes }
    }

    /// A statement of which it is not known yet what the server makes of it.
    pub fn define(&self, definition: &[u8], marks: u16) -> Arc<Statement> {
        let definition = Bytes::copy_from_slice(definition);
        Arc::new(Statement { id: self.next_id(), definition, marks, shape: None })
    }

    /// The one statement with this definition and shape. `marks` follow from the definition.
    pub fn intern(&self, definition: &Bytes, shape: Shape, marks: u16) -> Arc<Statement> {
        let mut known = self.known.lock();
        let key = (definition.clone(), shape);
        if let Some(statement) = known.by_meaning.get(&key) {
            return Arc::clone(statement);
        }
        known.sweep_if_due();
        let (definition, shape) = key.clone();
        let id = self.next_id();
        let statement = Arc::new(Statement { id, definition, marks, shape: Some(shape) });
        known.bytes += statement.len();
        known.by_meaning.insert(key, Arc::clone(&statement));
        statement
    }
}

impl Shape {
    fn len(&self) -> usize {
        self.parameters.len() + self.columns.len()
    }
}

impl Statement {
    /// The definition by which another server connection gets the same statement: the types of
    /// the parameters stay what they were.
    pub fn definition_elsewhere(&self) -> Bytes {
        match &self.shape {
            Some(shape) => {
                let text = definition_text(&self.definition);
                with_parameters(text, &shape.parameters).into()
            }
            None => self.definition.clone(),
        }
    }

    /// Bytes that it takes, roughly.
    fn len(&self) -> usize {
        self.definition.len() + self.shape.as_ref().map_or(0, Shape::len)
    }
}

impl Known {
    /// At twice what was left last time, so that the cost of a sweep is spread over many.
    fn sweep_if_due(&mut self) {
        if self.by_meaning.len() < self.sweep_at.0.max(SWEEP_ABOVE.0)
            && self.bytes < self.sweep_at.1.max(SWEEP_ABOVE.1)
        {
            return;
        }
        self.by_meaning.retain(|_, statement| Arc::strong_count(statement) > 1);
        self.bytes = self.by_meaning.values().map(|statement| statement.len()).sum();
        self.sweep_at = (2 * self.by_meaning.len(), 2 * self.bytes);
    }
}

/// The statements that one server connection has, least recently used first to go.
#[derive(Debug)]
pub struct ServerStatements {
    names: AHashMap<u64, ServerName>,
    /// How its names begin. No client can know that by accident.
    prefix: String,
    next_name: u64,
    clock: u64,
    /// Names that are to be closed with the next batch.
    doomed: Vec<Bytes>,
    most: usize,
}

#[derive(Debug)]
struct ServerName {
    name: Bytes,
    used: u64,
}

/// Most statements that a server connection keeps, unless told otherwise.
const MAX_STATEMENTS: usize = 500;

impl Default for ServerStatements {
    fn default() -> Self {
        Self::new(MAX_STATEMENTS)
    }
}

impl ServerStatements {
    /// None yet, and `most` later on.
    pub fn new(most: usize) -> Self {
        // Randomly keyed, each time anew.
        let nonce = std::hash::RandomState::new().hash_one(0) & 0xffff_ffff;
        Self {
            names: AHashMap::new(),
            prefix: format!("pgherd_{nonce:08x}_"),
            next_name: 0,
            clock: 0,
            doomed: Vec::new(),
            most,
        }
    }

    /// How the names on this connection begin.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The server's name for a statement that is parsed there.
    pub fn name(&mut self, id: u64) -> Option<Bytes> {
        self.clock += 1;
        let entry = self.names.get_mut(&id)?;
        entry.used = self.clock;
        Some(entry.name.clone())
    }

    /// A fresh name for a statement that is about to be parsed; a former one is closed.
    pub fn add(&mut self, id: u64) -> Bytes {
        self.next_name += 1;
        self.clock += 1;
        let name = Bytes::from(format!("{}{}", self.prefix, self.next_name));
        let entry = ServerName { name: name.clone(), used: self.clock };
        if let Some(former) = self.names.insert(id, entry) {
            self.doomed.push(former.name);
        }
        name
    }

    /// A fresh name for what the caller drops again.
    pub fn passing_name(&mut self) -> Bytes {
        self.next_name += 1;
        Bytes::from(format!("{}{}", self.prefix, self.next_name))
    }

    /// A statement has turned out to be another one: that one keeps what it has here.
    pub fn rename(&mut self, from: u64, to: u64) {
        let Some(entry) = self.names.remove(&from) else { return };
        if self.names.contains_key(&to) {
            self.doomed.push(entry.name);
        } else {
            self.names.insert(to, entry);
        }
    }

    /// Forgets a statement that was not parsed after all, or that the server has dropped.
    pub fn remove(&mut self, id: u64) {
        self.names.remove(&id);
    }

    /// Forgets everything, as after `DISCARD ALL` or `DEALLOCATE ALL`.
    pub fn clear(&mut self) {
        self.names.clear();
        self.doomed.clear();
    }

    /// Asks for a name to be closed with the next batch.
    pub fn doom(&mut self, name: Bytes) {
        self.doomed.push(name);
    }

    /// Takes the names to be closed now. Called between batches, so that no name is taken that
    /// the current batch uses.
    pub fn take_doomed(&mut self) -> Vec<Bytes> {
        if self.names.len() > self.most {
            self.evict();
        }
        std::mem::take(&mut self.doomed)
    }

    /// Whether [`ServerStatements::take_doomed`] would give anything.
    pub fn has_doomed(&self) -> bool {
        !self.doomed.is_empty() || self.names.len() > self.most
    }

    /// A tenth goes at once, so that a connection at its limit does not sort for each statement.
    fn evict(&mut self) {
        let mut by_use: Vec<(u64, u64)> =
            self.names.iter().map(|(&id, entry)| (entry.used, id)).collect();
        by_use.sort_unstable();
        let excess = self.names.len() - self.most + self.most / 10;
        for (_, id) in by_use.into_iter().take(excess) {
            if let Some(entry) = self.names.remove(&id) {
                self.doomed.push(entry.name);
            }
        }
    }

    /// How many statements the connection has.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether the connection has none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intern(registry: &StatementRegistry, definition: &str, shape: &str) -> u64 {
        let definition = Bytes::copy_from_slice(definition.as_bytes());
        let columns = Bytes::copy_from_slice(shape.as_bytes());
        registry.intern(&definition, Shape { columns, ..Shape::default() }, 0).id
    }

    #[test]
    fn equal_definitions_of_one_shape_are_one_statement() {
        let registry = StatementRegistry::default();
        let a = intern(&registry, "SELECT 1\0\0\0", "int4");
        assert_eq!(a, intern(&registry, "SELECT 1\0\0\0", "int4"));
        assert_ne!(a, intern(&registry, "SELECT 1\0\0\x01\0\0\0\x17", "int4"));
        assert_ne!(a, intern(&registry, "SELECT 1\0\0\0", "int8"));
    }

    #[test]
    fn the_registry_forgets_what_nobody_holds() {
        let registry = StatementRegistry::default();
        for n in 0..3 * SWEEP_ABOVE.0 {
            intern(&registry, &format!("SELECT {n}\0\0\0"), "int4");
        }
        assert!(registry.known.lock().by_meaning.len() <= SWEEP_ABOVE.0);
    }

    #[test]
    fn names_on_a_server_connection_are_never_reused() {
        let mut statements = ServerStatements::default();
        let first = statements.add(7);
        statements.remove(7);
        let second = statements.add(7);
        assert_ne!(first, second);
        let third = statements.add(7);
        assert_eq!(statements.name(7), Some(third));
        assert_eq!(statements.take_doomed(), [second]);
    }

    #[test]
    fn a_statement_that_is_another_one_shares_its_name() {
        let mut statements = ServerStatements::default();
        let first = statements.add(1);
        statements.rename(1, 9);
        assert_eq!((statements.name(1), statements.name(9)), (None, Some(first.clone())));
        let second = statements.add(2);
        statements.rename(2, 9);
        assert_eq!((statements.name(9), statements.take_doomed()), (Some(first), vec![second]));
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let mut statements = ServerStatements::new(100);
        for id in 0..=100 {
            statements.add(id);
        }
        assert!(statements.name(0).is_some());
        let doomed = statements.take_doomed();
        assert_eq!(doomed.len(), 1 + 100 / 10);
        assert!(statements.name(0).is_some() && statements.name(1).is_none());
    }
}
