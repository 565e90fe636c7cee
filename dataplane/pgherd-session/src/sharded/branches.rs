//! The branches that a session has open, in the order of their shards.

use super::branch::Branch;

/// At most one for each shard.
#[derive(Default)]
pub(crate) struct Branches(Vec<Branch>);

impl Branches {
    pub(crate) fn add(&mut self, branch: Branch) {
        let at = self.0.partition_point(|it| it.shard < branch.shard);
        self.0.insert(at, branch);
    }

    pub(crate) fn has(&self, shard: usize) -> bool {
        self.0.iter().any(|it| it.shard == shard)
    }

    pub(crate) fn get(&mut self, shard: usize) -> Option<&mut Branch> {
        self.0.iter_mut().find(|it| it.shard == shard)
    }

    /// Takes one out.
    pub(crate) fn take(&mut self, shard: usize) -> Option<Branch> {
        let at = self.0.iter().position(|it| it.shard == shard)?;
        Some(self.0.remove(at))
    }

    /// The shard of the first one.
    pub(crate) fn first(&self) -> Option<usize> {
        self.0.first().map(|it| it.shard)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Branch> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Branch> {
        self.0.iter_mut()
    }

    /// Gives all back.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&Branch) -> bool) {
        self.0.retain(keep);
    }
}
