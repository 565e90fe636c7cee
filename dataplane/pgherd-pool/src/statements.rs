//! Prepared statements: what clients define, and what each server connection has.
//!
//! A statement is its text, its parameter types as the client gave them, and its shape: what the
//! server made of both when the client defined it. On a server connection it gets a name that is
//! never used again there, so that two clients with the same statement share it and two with the
//! same name do not meet. The shape keeps apart what DDL has changed in between: a client gets
//! "cached plan must not change result type" exactly where its own connection would have said so.

mod note;
mod on_server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ahash::AHashMap;
use bytes::Bytes;
use parking_lot::Mutex;
use pgherd_wire::description::with_parameters;
use pgherd_wire::frontend::definition_text;

pub use note::{Effect, Exchanged, Note, SqlUse, SqlVerb};
pub use on_server::ServerStatements;

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
    /// What whoever routes it last has made of its text, and under which circumstances; 0 for
    /// nothing.
    pub verdict: AtomicU64,
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
        Arc::new(Statement {
            id: self.next_id(),
            definition,
            marks,
            shape: None,
            verdict: AtomicU64::new(0),
        })
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
        let statement = Arc::new(Statement {
            id,
            definition,
            marks,
            shape: Some(shape),
            verdict: AtomicU64::new(0),
        });
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
}
