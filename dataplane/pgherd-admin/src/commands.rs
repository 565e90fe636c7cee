//! The commands of the console, a file for each.

use std::fmt;

use crate::authorise::{Outcome, Request};

mod ban;
mod reload;
mod set;
mod show_bans;
mod show_clients;
mod show_databases;
mod show_help;
mod show_instances;
mod show_lists;
mod show_pools;
mod show_servers;
mod show_shards;
mod show_stats;
mod show_version;
mod shutdown;
mod unban;

/// All commands, in the order in which `SHOW HELP` lists them. No name begins with another.
pub(crate) const COMMANDS: &[Command] = &[
    show_help::COMMAND,
    show_pools::COMMAND,
    show_stats::COMMAND,
    show_clients::COMMAND,
    show_servers::COMMAND,
    show_databases::COMMAND,
    show_instances::COMMAND,
    show_shards::COMMAND,
    show_bans::COMMAND,
    show_lists::COMMAND,
    show_version::COMMAND,
    ban::COMMAND,
    unban::COMMAND,
    reload::COMMAND,
    shutdown::COMMAND,
    set::COMMAND,
];

/// One command.
pub(crate) struct Command {
    /// Its words, in capitals, one space between them.
    pub(crate) name: &'static str,
    /// What `SHOW HELP` says of it.
    pub(crate) help: &'static str,
    /// What may follow the name.
    pub(crate) arguments: Arguments,
    /// Carries it out. Must not wait: it runs on a worker's thread.
    pub(crate) run: fn(&Request<'_>) -> Outcome,
}

/// What may follow the name of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// Nothing.
    None,
    /// Anything: the command looks itself.
    Any,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_can_be_reached() {
        for command in COMMANDS {
            assert_eq!(command.name, command.name.to_ascii_uppercase());
            let found = COMMANDS.iter().filter(|other| {
                command.name == other.name || command.name.starts_with(&format!("{} ", other.name))
            });
            assert_eq!(found.count(), 1, "{command:?} is hidden by another command");
        }
    }
}
