//! What a session asks of the proxy itself: `pgherd.role`, `pgherd.shard` and their kin.
//!
//! They are custom parameters of Postgres, among all others that follow the client: it knows best
//! what a rollback, a savepoint or a `RESET ALL` makes of them. This is what they mean.

use pgherd_pool::RoleWish;
use pgherd_sql::{Setting, SettingName};
use pgherd_wire::ParamSet;

/// How the names of the proxy's own parameters begin.
const PREFIX: &str = "pgherd.";

/// Whether a parameter is one of the proxy's own.
pub(crate) fn is_own(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX))
}

/// The settings of one moment; `None` is what the configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) role: Option<RoleWish>,
    pub(crate) shard: Option<u32>,
    pub(crate) key: Option<String>,
    traceparent: Option<String>,
    pub(crate) read_your_writes: Option<bool>,
    pub(crate) primary_reads: Option<bool>,
}

/// What a session asks for. Takes no room while that is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes(Option<Box<Settings>>);

impl Wishes {
    /// What a session with these parameters asks for. A value that is not understood asks for
    /// nothing.
    pub(crate) fn of(params: &ParamSet) -> Self {
        let mut settings = None;
        for (name, value) in params.iter().filter(|(name, _)| is_own(name)) {
            if let Some(setting) = read(name, value) {
                settings.get_or_insert_with(Box::<Settings>::default).set(setting);
            }
        }
        Self(settings)
    }

    /// The instances that are asked for.
    pub(crate) fn role(&self) -> Option<RoleWish> {
        self.0.as_ref()?.role
    }

    /// All of it.
    pub(crate) fn settings(self) -> Settings {
        self.0.map(|settings| *settings).unwrap_or_default()
    }

    /// Whether the primary is to serve reads.
    pub(crate) fn primary_reads(&self) -> Option<bool> {
        self.0.as_ref()?.primary_reads
    }

    /// Whether reads must see what the session has written.
    pub(crate) fn reads_own_writes(&self) -> bool {
        self.0.as_ref().is_some_and(|settings| settings.read_your_writes == Some(true))
    }

    /// Whether anything is asked for that decides where statements go.
    pub(crate) fn are_any(&self) -> bool {
        self.role().is_some() || self.primary_reads().is_some()
    }

    /// The value of a setting, as it is shown.
    pub(crate) fn show(&self, name: SettingName) -> String {
        let none = Settings::default();
        self.0.as_deref().unwrap_or(&none).setting(name).value().into_owned()
    }
}

/// What a parameter sets; `None` when it is none of the proxy's, or takes no such value.
pub(crate) fn read(name: &str, value: &str) -> Option<Setting> {
    Setting::of(SettingName::of_parameter(name)?, value)
}

impl Settings {
    pub(crate) fn set(&mut self, setting: Setting) {
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

    pub(crate) fn setting(&self, name: SettingName) -> Setting {
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

    #[track_caller]
    fn check(params: &[(&str, &str)], role: &str, primary_reads: &str, asks: bool) {
        let mut set = ParamSet::default();
        for (name, value) in params {
            set.set(name, value);
        }
        let wishes = Wishes::of(&set);
        assert_eq!(
            (
                wishes.show(SettingName::Role).as_str(),
                wishes.show(SettingName::PrimaryReads).as_str(),
                wishes.are_any(),
            ),
            (role, primary_reads, asks)
        );
    }

    #[test]
    fn wishes_are_read_from_parameters() {
        check(&[], "auto", "default", false);
        check(&[("role", "primary"), ("pgherdx.role", "primary")], "auto", "default", false);
        check(&[("pgherd.role", "primary")], "primary", "default", true);
        check(&[("pgHerd.Role", "REPLICA")], "replica", "default", true);
        check(&[("pgherd.primary_reads", "no"), ("pgherd.role", "")], "auto", "off", true);
        check(&[("pgherd.role", "sideways"), ("pgherd.shard", "1")], "auto", "default", false);
    }
}
