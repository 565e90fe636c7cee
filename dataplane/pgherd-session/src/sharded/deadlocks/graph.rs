//! Who waits for whom over all shards, and the circles in it.

use std::collections::{BTreeMap, BTreeSet};

/// How many bits of a mark are the number of a party; the others are a process id.
pub(super) const MARK_BITS: u32 = 41;
const PID_BITS: u32 = 63 - MARK_BITS;

/// Somebody who waits or is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    /// A transaction over several shards, by its number.
    Party(u64),
    /// A backend of a shard of which nothing more is known.
    Backend(usize, i32),
}

/// One waits for another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub(super) shard: usize,
    pub(super) pid: i32,
    pub(super) blocker: i32,
    /// What for, as Postgres says it.
    pub(super) lock: String,
    /// The transaction that waits, by the name that only it has.
    pub(super) transaction: String,
}

/// A circle: each edge waits for who waits in the next one.
pub(super) type Cycle = Vec<Edge>;

/// All waits.
#[derive(Debug, Default)]
pub(super) struct Graph {
    parties: BTreeMap<(usize, i32), u64>,
    edges: BTreeMap<Node, Vec<Edge>>,
}

/// The mark that says that a backend belongs to a party. `None` where it has no room.
pub(super) fn mark(party: u64, pid: i32) -> Option<i64> {
    let pid = u64::try_from(pid).ok().filter(|pid| *pid < 1 << PID_BITS)?;
    i64::try_from(party << PID_BITS | pid).ok()
}

/// The party and the backend of a mark.
pub(super) fn read_mark(mark: i64) -> Option<(u64, i32)> {
    let mark = u64::try_from(mark).ok()?;
    let pid = i32::try_from(mark & ((1 << PID_BITS) - 1)).ok()?;
    Some((mark >> PID_BITS, pid))
}

// === impl Graph ===

impl Graph {
    /// A backend belongs to a party.
    pub(super) fn belongs(&mut self, shard: usize, pid: i32, party: u64) {
        self.parties.insert((shard, pid), party);
    }

    /// Called when all that belongs together is known.
    pub(super) fn wait(&mut self, edge: Edge) {
        let node = self.node(edge.shard, edge.pid);
        self.edges.entry(node).or_default().push(edge);
    }

    fn node(&self, shard: usize, pid: i32) -> Node {
        match self.parties.get(&(shard, pid)) {
            Some(party) => Node::Party(*party),
            None => Node::Backend(shard, pid),
        }
    }

    /// A circle that this party stands in, over more than one shard. It begins with the party's own
    /// wait.
    pub(super) fn cycle(&self, party: u64) -> Option<Cycle> {
        let mut seen = BTreeSet::new();
        let mut path = Vec::new();
        let found = self.search(Node::Party(party), Node::Party(party), &mut seen, &mut path);
        let first = path.first().map(|edge: &Edge| edge.shard);
        // Within one shard Postgres sees it.
        (found && path.iter().any(|edge| Some(edge.shard) != first)).then_some(path)
    }

    fn search(
        &self,
        from: Node,
        to: Node,
        seen: &mut BTreeSet<Node>,
        path: &mut Vec<Edge>,
    ) -> bool {
        if !seen.insert(from) {
            return false;
        }
        for edge in self.edges.get(&from).into_iter().flatten() {
            let next = self.node(edge.shard, edge.blocker);
            path.push(edge.clone());
            if next == to || self.search(next, to, seen, path) {
                return true;
            }
            path.pop();
        }
        false
    }

    /// The youngest party of a circle.
    pub(super) fn youngest(&self, cycle: &Cycle) -> Option<u64> {
        let party = |edge: &Edge| self.parties.get(&(edge.shard, edge.pid)).copied();
        cycle.iter().filter_map(party).max()
    }
}

/// What Postgres would say of a circle.
pub(super) fn detail(cycle: &Cycle) -> String {
    let line = |edge: &Edge| {
        let Edge { pid, lock, blocker, .. } = edge;
        format!("Process {pid} waits for {lock}; blocked by process {blocker}.")
    };
    cycle.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(shard: usize, pid: i32, blocker: i32) -> Edge {
        let lock = format!("ShareLock on transaction {blocker}");
        Edge { shard, pid, blocker, lock, transaction: pid.to_string() }
    }

    /// Parties by their backends, and who waits for whom.
    fn graph(parties: &[(u64, &[(usize, i32)])], waits: &[(usize, i32, i32)]) -> Graph {
        let mut graph = Graph::default();
        for (party, backends) in parties {
            backends.iter().for_each(|(shard, pid)| graph.belongs(*shard, *pid, *party));
        }
        waits.iter().for_each(|(shard, pid, blocker)| graph.wait(edge(*shard, *pid, *blocker)));
        graph
    }

    #[test]
    fn opposite_orders_are_a_circle() {
        let parties: [(u64, &[(usize, i32)]); 2] = [(7, &[(0, 1), (1, 2)]), (9, &[(0, 3), (1, 4)])];
        let both = graph(&parties, &[(1, 2, 4), (0, 3, 1)]);
        let cycle = both.cycle(9).expect("a circle");
        assert_eq!(cycle, [edge(0, 3, 1), edge(1, 2, 4)]);
        assert_eq!(both.youngest(&cycle), Some(9));
        assert_eq!(
            detail(&cycle),
            "Process 3 waits for ShareLock on transaction 1; blocked by process 1.\n\
             Process 2 waits for ShareLock on transaction 4; blocked by process 4."
        );
        // One of them only.
        assert_eq!(graph(&parties, &[(1, 2, 4)]).cycle(7), None);
    }

    #[test]
    fn what_one_postgres_sees_is_left_to_it() {
        let parties: [(u64, &[(usize, i32)]); 2] = [(7, &[(0, 1), (1, 2)]), (9, &[(0, 3), (1, 4)])];
        let within = graph(&parties, &[(0, 1, 3), (0, 3, 1)]);
        assert_eq!((within.cycle(7), within.cycle(9)), (None, None));
    }

    #[test]
    fn strangers_may_stand_between() {
        let parties: [(u64, &[(usize, i32)]); 2] = [(7, &[(0, 1), (1, 2)]), (9, &[(0, 3), (1, 4)])];
        let graph = graph(&parties, &[(0, 1, 100), (0, 100, 3), (1, 4, 2), (1, 200, 4)]);
        assert_eq!(graph.cycle(7).map(|it| it.len()), Some(3));
        // Who only waits behind the circle does not stand in it.
        assert_eq!(graph.node(1, 200), Node::Backend(1, 200));
        assert_eq!(graph.youngest(&graph.cycle(7).expect("a circle")), Some(9));
    }

    #[test]
    fn a_mark_says_whose_backend_it_is() {
        for (party, pid) in [(0, 1), (1 << 40, 99), ((1 << MARK_BITS) - 1, (1 << PID_BITS) - 1)] {
            assert_eq!(mark(party, pid).and_then(read_mark), Some((party, pid)));
        }
        assert_eq!((mark(1, -1), read_mark(-1)), (None, None));
    }
}
