//! The names that statements have on one server connection.

use std::hash::BuildHasher;

use ahash::AHashMap;
use bytes::Bytes;

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
