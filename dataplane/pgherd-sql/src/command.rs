//! Commands that the proxy answers itself: `SET pgherd.role = …` and pgcat's `SET SHARD TO …`.

use crate::RoleWish;

/// A text that is one command to the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `local`: until the end of the transaction.
    Set {
        setting: Setting,
        local: bool,
    },
    Reset(SettingName),
    /// `column`: how the answer's only column is called.
    Show {
        name: SettingName,
        column: &'static str,
    },
    /// A value that the setting does not take: an error for the client (22023).
    Invalid {
        name: &'static str,
        value: String,
    },
}

/// A setting with its new value; `None` is what the configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    Role(Option<RoleWish>),
    Shard(Option<u32>),
    ShardingKey(Option<String>),
    Traceparent(Option<String>),
    ReadYourWrites(Option<bool>),
    /// pgcat's `SET PRIMARY READS TO`: whether the primary serves reads, too.
    PrimaryReads(Option<bool>),
}

/// A setting of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SettingName {
    Role,
    Shard,
    ShardingKey,
    Traceparent,
    ReadYourWrites,
    PrimaryReads,
}

/// The command that a text is, if it is one.
pub fn command(_sql: &[u8]) -> Option<Command> {
    None
}
