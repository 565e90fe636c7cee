//! Merging sorted rows of several sources into one sorted sequence, and cutting it.

use std::cmp::Ordering;

use crate::{SortOrder, TypeError, Value};

/// The values that a row is sorted by, in the order of the items.
pub type Keys = Vec<Option<Value>>;

/// Merges sources that are each sorted. It holds one row's keys of each source; the rows are the
/// caller's.
///
/// As long as [`wanted`](Self::wanted) names sources, each gives its next row's keys
/// ([`offer`](Self::offer)) or says that it has no more ([`close`](Self::close)); then
/// [`pop`](Self::pop) says whose row comes next.
#[derive(Debug)]
pub struct Merger {
    orders: Vec<SortOrder>,
    sources: Vec<Source>,
    /// Those with a row, the next one last.
    ready: Vec<usize>,
}

#[derive(Debug)]
enum Source {
    Waiting,
    Ready(Keys),
    Closed,
}

/// Leaves out the rows before OFFSET and those behind LIMIT.
#[derive(Debug)]
pub struct Cut {
    orders: Vec<SortOrder>,
    offset: u64,
    limit: Option<u64>,
    /// With WITH TIES: the keys of the last row within the limit.
    last: Option<Keys>,
    with_ties: bool,
}

/// What to do with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Skip,
    Send,
    /// Neither this row nor any that follows.
    Stop,
}

fn compare(orders: &[SortOrder], a: &Keys, b: &Keys) -> Result<Ordering, TypeError> {
    for ((order, a), b) in orders.iter().zip(a).zip(b) {
        let order = order.compare(a.as_ref(), b.as_ref())?;
        if order.is_ne() {
            return Ok(order);
        }
    }
    Ok(Ordering::Equal)
}

// === impl Merger ===

impl Merger {
    pub fn new(orders: Vec<SortOrder>, sources: usize) -> Self {
        let sources = (0..sources).map(|_| Source::Waiting).collect();
        Self { orders, sources, ready: Vec::new() }
    }

    /// Sources that must give their next row before one can be popped.
    pub fn wanted(&self) -> impl Iterator<Item = usize> {
        let waiting = |(_, it): &(usize, &Source)| matches!(it, Source::Waiting);
        self.sources.iter().enumerate().filter(waiting).map(|(index, _)| index)
    }

    /// The next row of a source that was waited for.
    ///
    /// # Errors
    /// When a value is not of the type that it is sorted by.
    pub fn offer(&mut self, source: usize, keys: Keys) -> Result<(), TypeError> {
        // From the back, where the next row is; among equals, the first source goes first.
        let (mut low, mut high) = (0, self.ready.len());
        while low < high {
            let place = low + (high - low) / 2;
            let other = self.ready.get(place).copied().unwrap_or_default();
            let before = match self.sources.get(other) {
                Some(Source::Ready(others)) => compare(&self.orders, &keys, others)?,
                _ => Ordering::Equal,
            };
            if before.then(source.cmp(&other)).is_lt() {
                low = place + 1;
            } else {
                high = place;
            }
        }
        self.ready.insert(low, source);
        if let Some(it) = self.sources.get_mut(source) {
            *it = Source::Ready(keys);
        }
        Ok(())
    }

    /// A source that was waited for has no more rows.
    pub fn close(&mut self, source: usize) {
        if let Some(it) = self.sources.get_mut(source) {
            *it = Source::Closed;
        }
    }

    /// The source whose row comes next, with its keys; it is waited for again. `None` when there are
    /// no more rows (or some source is waited for).
    pub fn pop(&mut self) -> Option<(usize, Keys)> {
        if self.wanted().next().is_some() {
            return None;
        }
        let source = self.ready.pop()?;
        match std::mem::replace(self.sources.get_mut(source)?, Source::Waiting) {
            Source::Ready(keys) => Some((source, keys)),
            _ => None,
        }
    }
}

// === impl Cut ===

impl Cut {
    /// `orders` are asked with `with_ties` only.
    pub fn new(orders: Vec<SortOrder>, offset: u64, limit: Option<u64>, with_ties: bool) -> Self {
        Self { orders, offset, limit, last: None, with_ties }
    }

    /// Whether no row can follow, so that none need be read.
    pub fn is_done(&self) -> bool {
        self.limit == Some(0) && (!self.with_ties || self.last.is_none())
    }

    /// What to do with the next row.
    ///
    /// # Errors
    /// When a value is not of the type that it is sorted by.
    pub fn judge(&mut self, keys: Keys) -> Result<Verdict, TypeError> {
        if self.is_done() {
            return Ok(Verdict::Stop);
        }
        if self.offset > 0 {
            self.offset -= 1;
            return Ok(Verdict::Skip);
        }
        match &mut self.limit {
            None => {}
            Some(0) => {
                let tied = match &self.last {
                    Some(last) => compare(&self.orders, last, &keys)?.is_eq(),
                    None => false,
                };
                return Ok(if tied { Verdict::Send } else { Verdict::Stop });
            }
            Some(limit) => {
                *limit -= 1;
                if *limit == 0 && self.with_ties {
                    self.last = Some(keys);
                }
            }
        }
        Ok(Verdict::Send)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Collation, Collations, Comparator, Type};

    fn order(descending: bool, nulls_first: bool) -> SortOrder {
        let int8 = Type::builtin(20).expect("bigint is built in");
        let comparator = Comparator::new(&int8, &Collation::Bytes, &Collations::bytes());
        SortOrder {
            comparator: comparator.expect("integers have an order"),
            descending,
            nulls_first,
        }
    }

    /// Numbers that a seed repeats.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 20) % limit
        }
    }

    fn merged(orders: &[SortOrder], sources: &[Vec<Keys>], cut: &mut Cut) -> Vec<Keys> {
        let mut merger = Merger::new(orders.to_vec(), sources.len());
        let mut next = vec![0; sources.len()];
        let mut out = Vec::new();
        loop {
            let wanted: Vec<usize> = merger.wanted().collect();
            for source in wanted {
                match sources[source].get(next[source]) {
                    Some(keys) => {
                        next[source] += 1;
                        merger.offer(source, keys.clone()).expect("integers");
                    }
                    None => merger.close(source),
                }
            }
            let Some((_, keys)) = merger.pop() else { return out };
            match cut.judge(keys.clone()).expect("integers") {
                Verdict::Skip => {}
                Verdict::Send => out.push(keys),
                Verdict::Stop => return out,
            }
        }
    }

    #[test]
    fn merged_rows_are_those_of_one_sort() {
        for seed in 1..400 {
            let mut random = Random(seed * 0x9e37_79b9);
            let items = 1 + random.below(2);
            let orders: Vec<SortOrder> =
                (0..items).map(|_| order(random.below(2) == 0, random.below(2) == 0)).collect();
            let by = |a: &Keys, b: &Keys| compare(&orders, a, b).expect("integers");
            let mut sources = vec![Vec::new(); 1 + random.below(9) as usize];
            let mut all: Vec<Keys> = Vec::new();
            for source in &mut sources {
                for _ in 0..random.below(12) {
                    let value = |random: &mut Random| match random.below(5) {
                        0 => None,
                        it => Some(Value::Int8(it as i64)),
                    };
                    source.push((0..items).map(|_| value(&mut random)).collect::<Keys>());
                }
                source.sort_by(by);
                all.extend(source.iter().cloned());
            }
            all.sort_by(by);
            let offset = random.below(5);
            let limit = (random.below(3) > 0).then(|| random.below(8));
            let with_ties = random.below(2) == 0;
            let mut cut = Cut::new(orders.clone(), offset, limit, with_ties);
            let skipped = all.iter().skip(offset as usize);
            let expected: Vec<Keys> = match limit {
                None => skipped.cloned().collect(),
                Some(limit) => {
                    let head: Vec<&Keys> = skipped.clone().take(limit as usize).collect();
                    let last = head.last().copied().filter(|_| with_ties);
                    let ties = skipped.skip(limit as usize);
                    let ties = ties.take_while(|it| last.is_some_and(|last| by(last, it).is_eq()));
                    head.iter().copied().chain(ties).cloned().collect()
                }
            };
            assert_eq!(merged(&orders, &sources, &mut cut), expected, "seed {seed}");
        }
    }
}
