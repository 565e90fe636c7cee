//! What a sharded session asks of the proxy itself: `pgherd.shard` and its kin.
//!
//! As in Postgres, what is set inside a transaction is taken back when it is rolled back, and what
//! is set `LOCAL` ends with it; savepoints are not told apart.

use pgherd_pool::RoleWish;
use pgherd_sql::{Setting, SettingName};
use pgherd_wire::ParamSet;

use crate::routing::wishes::{self, Settings};

#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    /// With which the session began.
    startup: Settings,
    now: Settings,
    /// As they are after a rollback and after a commit of the transaction that is open.
    ends: Option<(Settings, Settings)>,
}

impl Wishes {
    /// What a session asks for that begins with these parameters.
    pub(crate) fn of(params: &ParamSet) -> Self {
        let startup = wishes::Wishes::of(params).settings();
        Self { now: startup.clone(), startup, ends: None }
    }

    /// The instances that are asked for.
    pub(crate) fn role(&self) -> Option<RoleWish> {
        self.now.role
    }

    /// Whether primaries are to serve reads.
    pub(crate) fn primary_reads(&self) -> Option<bool> {
        self.now.primary_reads
    }

    /// Whether reads must see what the session has written.
    pub(crate) fn reads_own_writes(&self) -> bool {
        self.now.read_your_writes == Some(true)
    }

    /// The shard that is asked for.
    pub(crate) fn shard(&self) -> Option<u32> {
        self.now.shard
    }

    /// The sharding key whose shard is asked for.
    pub(crate) fn sharding_key(&self) -> Option<String> {
        self.now.key.clone()
    }

    pub(crate) fn has_sharding_key(&self) -> bool {
        self.now.key.is_some()
    }

    /// Takes a setting over.
    pub(crate) fn set(&mut self, setting: Setting, local: bool, in_transaction: bool) {
        if in_transaction {
            let (_, lasting) =
                self.ends.get_or_insert_with(|| (self.now.clone(), self.now.clone()));
            if !local {
                lasting.set(setting.clone());
            }
        } else if local {
            // As in Postgres: it has ended already.
            return;
        }
        self.now.set(setting);
    }

    /// Makes a setting again what it was at the start.
    pub(crate) fn reset(&mut self, name: SettingName, local: bool, in_transaction: bool) {
        self.set(self.startup.setting(name), local, in_transaction);
    }

    /// Makes all settings again what they were at the start.
    pub(crate) fn reset_all(&mut self, in_transaction: bool) {
        for name in SettingName::ALL {
            self.reset(name, false, in_transaction);
        }
    }

    /// The transaction has ended.
    pub(crate) fn end_transaction(&mut self, committed: bool) {
        if let Some((rolled_back, lasting)) = self.ends.take() {
            self.now = if committed { lasting } else { rolled_back };
        }
    }

    /// The value of a setting, as it is shown.
    pub(crate) fn show(&self, name: SettingName) -> String {
        self.now.setting(name).value().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard() -> Setting {
        Setting::Shard(Some(1))
    }

    #[test]
    fn what_is_set_in_a_transaction_follows_its_end() {
        for (local, committed, expected) in
            [(false, true, Some(1)), (false, false, None), (true, true, None), (true, false, None)]
        {
            let mut wishes = Wishes::default();
            wishes.set(shard(), local, true);
            assert_eq!(wishes.shard(), Some(1));
            wishes.end_transaction(committed);
            assert_eq!(wishes.shard(), expected, "local {local}, committed {committed}");
        }
    }

    #[test]
    fn outside_of_a_transaction_local_settings_end_at_once() {
        let mut wishes = Wishes::default();
        wishes.set(shard(), true, false);
        assert_eq!(wishes.shard(), None);
        wishes.set(shard(), false, false);
        assert_eq!(wishes.shard(), Some(1));
        wishes.reset_all(false);
        assert_eq!(wishes.shard(), None);
    }
}
