//! What a session asks of the proxy itself: `pgherd.role`, `pgherd.shard` and their kin.
//!
//! As in Postgres, what is set inside a transaction is taken back when it is rolled back, and what
//! is set `LOCAL` ends with it; savepoints are not told apart.

use pgherd_pool::RoleWish;
use pgherd_sql::{Setting, SettingName};

/// The settings of one moment; `None` is what the configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Settings {
    role: Option<RoleWish>,
    shard: Option<u32>,
    key: Option<String>,
    traceparent: Option<String>,
    read_your_writes: Option<bool>,
    primary_reads: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct All {
    /// With which the session began.
    startup: Settings,
    now: Settings,
    /// As they are after a rollback and after a commit of the transaction that is open.
    ends: Option<(Settings, Settings)>,
}

/// What a session asks for. Takes no room while that is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes(Option<Box<All>>);

impl Wishes {
    /// With what stands in a startup packet: names without their prefix, and values. The first
    /// one that is not understood is returned.
    pub(crate) fn of_startup<'p>(
        params: impl IntoIterator<Item = &'p (String, String)>,
    ) -> Result<Self, &'p (String, String)> {
        let mut startup = Settings::default();
        let mut any = false;
        for param in params {
            let text = format!("SET pgherd.{} TO '{}'", param.0, param.1.replace('\'', "''"));
            match pgherd_sql::command(text.as_bytes()) {
                Some(pgherd_sql::Command::Set { setting, .. }) => startup.set(setting),
                _ => return Err(param),
            }
            any = true;
        }
        Ok(Self(any.then(|| Box::new(All { now: startup.clone(), startup, ends: None }))))
    }

    /// The instances that are asked for.
    pub(crate) fn role(&self) -> Option<RoleWish> {
        self.0.as_ref()?.now.role
    }

    /// The shard that is asked for.
    pub(crate) fn shard(&self) -> Option<u32> {
        self.0.as_ref()?.now.shard
    }

    /// The sharding key whose shard is asked for.
    pub(crate) fn sharding_key(&self) -> Option<String> {
        self.0.as_ref()?.now.key.clone()
    }

    /// Whether the primary is to serve reads.
    pub(crate) fn primary_reads(&self) -> Option<bool> {
        self.0.as_ref()?.now.primary_reads
    }

    /// Whether reads must see what the session has written.
    pub(crate) fn reads_own_writes(&self) -> bool {
        self.0.as_ref().is_some_and(|all| all.now.read_your_writes == Some(true))
    }

    /// Whether anything is asked for that decides where statements go.
    pub(crate) fn are_any(&self) -> bool {
        self.role().is_some() || self.primary_reads().is_some()
    }

    /// Takes a setting over.
    pub(crate) fn set(&mut self, setting: Setting, local: bool, in_transaction: bool) {
        let all = self.0.get_or_insert_default();
        if in_transaction {
            let (_, lasting) = all.ends.get_or_insert_with(|| (all.now.clone(), all.now.clone()));
            if !local {
                lasting.set(setting.clone());
            }
        } else if local {
            // As in Postgres: it has ended already.
            return;
        }
        all.now.set(setting);
    }

    /// Makes a setting again what it was at the start.
    pub(crate) fn reset(&mut self, name: SettingName, in_transaction: bool) {
        if let Some(all) = &self.0 {
            let first = all.startup.setting(name);
            self.set(first, false, in_transaction);
        }
    }

    /// Makes all settings again what they were at the start.
    pub(crate) fn reset_all(&mut self, in_transaction: bool) {
        for name in [
            SettingName::Role,
            SettingName::Shard,
            SettingName::ShardingKey,
            SettingName::Traceparent,
            SettingName::ReadYourWrites,
            SettingName::PrimaryReads,
        ] {
            self.reset(name, in_transaction);
        }
    }

    /// Whether the end of the transaction changes anything.
    pub(crate) fn end_with_transaction(&self) -> bool {
        self.0.as_ref().is_some_and(|all| all.ends.is_some())
    }

    /// The transaction has ended.
    pub(crate) fn end_transaction(&mut self, committed: bool) {
        if let Some(all) = &mut self.0
            && let Some((rolled_back, lasting)) = all.ends.take()
        {
            all.now = if committed { lasting } else { rolled_back };
        }
    }

    /// The value of a setting, as it is shown.
    pub(crate) fn show(&self, name: SettingName) -> String {
        let none = Settings::default();
        let now = self.0.as_ref().map_or(&none, |all| &all.now);
        let on = |value: Option<bool>, default: &str| match value {
            Some(true) => "on".to_owned(),
            Some(false) => "off".to_owned(),
            None => default.to_owned(),
        };
        match name {
            SettingName::Role => match now.role {
                Some(RoleWish::Primary) => "primary",
                Some(RoleWish::Replica) => "replica",
                Some(RoleWish::Any) => "any",
                None => "auto",
            }
            .to_owned(),
            SettingName::Shard => now.shard.map_or("any".to_owned(), |shard| shard.to_string()),
            SettingName::ShardingKey => now.key.clone().unwrap_or_default(),
            SettingName::Traceparent => now.traceparent.clone().unwrap_or_default(),
            SettingName::ReadYourWrites => on(now.read_your_writes, "off"),
            SettingName::PrimaryReads => on(now.primary_reads, "default"),
        }
    }
}

impl Settings {
    fn set(&mut self, setting: Setting) {
        match setting {
            Setting::Role(role) => {
                self.role = role.map(|role| match role {
                    pgherd_sql::RoleWish::Primary => RoleWish::Primary,
                    pgherd_sql::RoleWish::Replica => RoleWish::Replica,
                    pgherd_sql::RoleWish::Any => RoleWish::Any,
                });
            }
            Setting::Shard(shard) => self.shard = shard,
            Setting::ShardingKey(key) => self.key = key,
            Setting::Traceparent(traceparent) => self.traceparent = traceparent,
            Setting::ReadYourWrites(value) => self.read_your_writes = value,
            Setting::PrimaryReads(value) => self.primary_reads = value,
        }
    }

    fn setting(&self, name: SettingName) -> Setting {
        match name {
            SettingName::Role => Setting::Role(self.role.map(|role| match role {
                RoleWish::Primary => pgherd_sql::RoleWish::Primary,
                RoleWish::Replica => pgherd_sql::RoleWish::Replica,
                RoleWish::Any => pgherd_sql::RoleWish::Any,
            })),
            SettingName::Shard => Setting::Shard(self.shard),
            SettingName::ShardingKey => Setting::ShardingKey(self.key.clone()),
            SettingName::Traceparent => Setting::Traceparent(self.traceparent.clone()),
            SettingName::ReadYourWrites => Setting::ReadYourWrites(self.read_your_writes),
            SettingName::PrimaryReads => Setting::PrimaryReads(self.primary_reads),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica() -> Setting {
        Setting::Role(Some(pgherd_sql::RoleWish::Replica))
    }

    fn role(wishes: &Wishes) -> String {
        wishes.show(SettingName::Role)
    }

    #[test]
    fn what_is_set_in_a_transaction_follows_its_end() {
        for (local, committed, expected) in [
            (false, true, "replica"),
            (false, false, "auto"),
            (true, true, "auto"),
            (true, false, "auto"),
        ] {
            let mut wishes = Wishes::default();
            wishes.set(replica(), local, true);
            assert_eq!(role(&wishes), "replica");
            wishes.end_transaction(committed);
            assert_eq!(role(&wishes), expected, "local {local}, committed {committed}");
        }
    }

    #[test]
    fn outside_of_a_transaction_local_settings_end_at_once() {
        let mut wishes = Wishes::default();
        wishes.set(replica(), true, false);
        assert_eq!(role(&wishes), "auto");
        wishes.set(replica(), false, false);
        assert_eq!(role(&wishes), "replica");
        wishes.reset_all(false);
        assert_eq!(role(&wishes), "auto");
    }
}
