//! Prepared statements: what clients define, and what each server connection has.
//!
//! A statement is its text and its parameter types, whatever name a client gives it. On a server
//! connection it gets a name that is never used again there, so that two clients with the same
//! statement share it and two with the same name do not meet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::AHashMap;
use bytes::Bytes;
use parking_lot::Mutex;

/// A statement as some client defined it.
#[derive(Debug)]
pub struct Statement {
    /// Unique in this process.
    pub id: u64,
    /// Text, zero, number of types, types: a Parse message without its name.
    pub definition: Bytes,
    /// What whoever defined it has to remember of its text.
    pub marks: u16,
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
}

/// What a request changed in the books of the client and of the server connection, so that it
/// can be undone when the server discards the request.
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
    },
    /// A name was defined.
    Defined {
        /// The client's name.
        name: Bytes,
        /// What the name stood for before.
        before: Option<Arc<Statement>>,
        /// The statement that was parsed on the server connection for it, if it was.
        parsed: Option<u64>,
    },
    /// A statement was parsed on the server connection without the client's asking.
    Parsed(u64),
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
}

impl From<Effect> for Note {
    fn from(undo: Effect) -> Self {
        Self { undo, plain_set: false }
    }
}

/// All statements that clients hold, by definition, so that equal ones are one.
#[derive(Debug, Default)]
pub struct StatementRegistry {
    known: Mutex<Known>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    by_definition: AHashMap<Bytes, Arc<Statement>>,
    bytes: usize,
    /// How many, and how long, they may become before those that nobody holds are thrown out.
    sweep_at: (usize, usize),
}

/// Below this many definitions, and bytes of them, nothing is thrown out.
const SWEEP_ABOVE: (usize, usize) = (4096, 16 << 20);

impl StatementRegistry {
    /// A number that was never given before in this process; never 0.
    pub fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The statement with this definition. `marks` follow from the definition.
    pub fn intern(&self, definition: &[u8], marks: u16) -> Arc<Statement> {
        let mut known = self.known.lock();
        if let Some(statement) = known.by_definition.get(definition) {
            return Arc::clone(statement);
        }
        known.sweep_if_due();
        let definition = Bytes::copy_from_slice(definition);
        let statement =
            Arc::new(Statement { id: self.next_id(), definition: definition.clone(), marks });
        known.bytes += definition.len();
        known.by_definition.insert(definition, Arc::clone(&statement));
        statement
    }

    /// Forgets a statement whose plans DDL has made useless: who defines it next gets a new one,
    /// and with it a fresh parse on every server connection.
    pub fn forget(&self, statement: &Statement) {
        let mut known = self.known.lock();
        let same = |entry: &Arc<Statement>| entry.id == statement.id;
        if known.by_definition.get(&statement.definition).is_some_and(same) {
            known.by_definition.remove(&statement.definition);
            known.bytes -= statement.definition.len();
        }
    }
}

impl Known {
    /// At twice what was left last time, so that the cost of a sweep is spread over many.
    fn sweep_if_due(&mut self) {
        if self.by_definition.len() < self.sweep_at.0.max(SWEEP_ABOVE.0)
            && self.bytes < self.sweep_at.1.max(SWEEP_ABOVE.1)
        {
            return;
        }
        self.by_definition.retain(|_, statement| Arc::strong_count(statement) > 1);
        self.bytes = self.by_definition.keys().map(Bytes::len).sum();
        self.sweep_at = (2 * self.by_definition.len(), 2 * self.bytes);
    }
}

/// The statements that one server connection has, least recently used first to go.
#[derive(Debug, Default)]
pub struct ServerStatements {
    names: AHashMap<u64, ServerName>,
    next_name: u64,
    clock: u64,
    /// Names that are to be closed with the next batch.
    doomed: Vec<Bytes>,
}

#[derive(Debug)]
struct ServerName {
    name: Bytes,
    used: u64,
}

/// Most statements that a server connection keeps.
const MAX_STATEMENTS: usize = 500;

impl ServerStatements {
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
        let name = Bytes::from(format!("pgherd_{}", self.next_name));
        let entry = ServerName { name: name.clone(), used: self.clock };
        if let Some(former) = self.names.insert(id, entry) {
            self.doomed.push(former.name);
        }
        name
    }

    /// The statement that has this name on the server.
    pub fn id(&self, name: &[u8]) -> Option<u64> {
        self.names.iter().find(|(_, entry)| entry.name == name).map(|(&id, _)| id)
    }

    /// Forgets the statement that has this name on the server; it is closed with the next batch.
    /// For clients that name a statement of theirs as the proxy names its own.
    pub fn evict_name(&mut self, name: &[u8]) {
        if let Some(entry) = self.id(name).and_then(|id| self.names.remove(&id)) {
            self.doomed.push(entry.name);
        }
    }

    /// Forgets a statement that was not parsed after all.
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
        if self.names.len() > MAX_STATEMENTS {
            self.evict();
        }
        std::mem::take(&mut self.doomed)
    }

    /// Whether [`ServerStatements::take_doomed`] would give anything.
    pub fn has_doomed(&self) -> bool {
        !self.doomed.is_empty() || self.names.len() > MAX_STATEMENTS
    }

    /// A tenth goes at once, so that a connection at its limit does not sort for each statement.
    fn evict(&mut self) {
        let mut by_use: Vec<(u64, u64)> =
            self.names.iter().map(|(&id, entry)| (entry.used, id)).collect();
        by_use.sort_unstable();
        let excess = self.names.len() - MAX_STATEMENTS + MAX_STATEMENTS / 10;
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

    #[test]
    fn equal_definitions_are_one_statement() {
        let registry = StatementRegistry::default();
        let a = registry.intern(b"SELECT 1\0\0\0", 0);
        let b = registry.intern(b"SELECT 1\0\0\0", 0);
        let c = registry.intern(b"SELECT 1\0\0\x01\0\0\0\x17", 0);
        assert_eq!(a.id, b.id);
        assert_ne!(a.id, c.id);
    }

    #[test]
    fn a_forgotten_statement_is_a_new_one_afterwards() {
        let registry = StatementRegistry::default();
        let old = registry.intern(b"SELECT * FROM t\0\0\0", 0);
        registry.forget(&old);
        let new = registry.intern(b"SELECT * FROM t\0\0\0", 0);
        assert_ne!(old.id, new.id);
        registry.forget(&old);
        assert_eq!(registry.intern(b"SELECT * FROM t\0\0\0", 0).id, new.id);
    }

    #[test]
    fn the_registry_forgets_what_nobody_holds() {
        let registry = StatementRegistry::default();
        for n in 0..3 * SWEEP_ABOVE.0 {
            registry.intern(format!("SELECT {n}\0\0\0").as_bytes(), 0);
        }
        assert!(registry.known.lock().by_definition.len() <= SWEEP_ABOVE.0);
    }

    #[test]
    fn names_on_a_server_connection_are_never_reused() {
        let mut statements = ServerStatements::default();
        let first = statements.add(7);
        statements.remove(7);
        assert_ne!(first, statements.add(7));
        let third = statements.add(7);
        assert_eq!(statements.name(7), Some(third));
        assert_eq!(statements.take_doomed(), [Bytes::from("pgherd_2")]);
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let mut statements = ServerStatements::default();
        for id in 0..=MAX_STATEMENTS as u64 {
            statements.add(id);
        }
        assert!(statements.name(0).is_some());
        let doomed = statements.take_doomed();
        assert_eq!(doomed.len(), 1 + MAX_STATEMENTS / 10);
        assert!(statements.name(0).is_some() && statements.name(1).is_none());
    }
}
