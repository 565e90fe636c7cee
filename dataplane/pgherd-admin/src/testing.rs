//! A proxy without connections, for the tests of the commands.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use expect_test::Expect;
use parking_lot::Mutex;
use pgherd_config::Topology;
use pgherd_pool::{Directory, Need};
use pgherd_session::{AdminReply, Limits, Shared};

use crate::{Console, Control, ReloadError};

/// Three clusters: one with a replica, one with two shards and one for every name.
const TOPOLOGY: &str = r#"{"clusters": [
    {"name": "app", "pool_size": 7, "min_pool_size": 2,
     "users": [{"name": "alice", "password": "a"},
               {"name": "bob", "password": "b", "server_user": "robert", "pool_mode": "session"}],
     "shards": [{"instances": [
        {"host": "10.0.0.1", "port": 5432, "database": "app_0", "role": "primary"},
        {"host": "10.0.0.2", "port": 5432, "database": "app_0", "role": "replica"}]}]},
    {"name": "sharded", "users": [{"name": "alice", "password": "a"}],
     "sharded_tables": [{"column": "user_id", "type": "bigint"}],
     "shards": [
        {"instances": [{"host": "10.0.1.0", "database": "s_0", "role": "primary"}]},
        {"instances": [{"host": "10.0.1.0", "database": "s_1", "role": "primary"}]}]},
    {"name": "*", "pool_mode": "statement", "users": [{"name": "alice", "password": "a"}],
     "shards": [{"instances": [{"host": "::1", "port": 5433, "role": "primary"}]}]}
]}"#;

/// The replies to statements, one after the other, on a stand of their own.
#[track_caller]
pub(crate) fn check(statements: &[&str], expected: Expect) {
    let stand = Stand::new();
    let replies: String = statements.iter().map(|statement| stand.run(statement)).collect();
    expected.assert_eq(&replies);
}

/// The shared state of a proxy and a console on it.
pub(crate) struct Stand {
    pub(crate) shared: Shared,
    pub(crate) process: Arc<Process>,
}

/// Notes what was asked of it.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) asked: Mutex<Vec<&'static str>>,
    pub(crate) refuse: Option<ReloadError>,
}

impl Control for Process {
    fn reload(&self) -> Result<(), ReloadError> {
        self.asked.lock().push("reload");
        self.refuse.clone().map_or(Ok(()), Err)
    }

    fn shutdown(&self) {
        self.asked.lock().push("shutdown");
    }
}

impl Stand {
    pub(crate) fn new() -> Self {
        Self::with(Process::default())
    }

    pub(crate) fn with(process: Process) -> Self {
        let process = Arc::new(process);
        let directory = Directory::new(2, [0; 32]);
        directory.load(&Topology::from_json(TOPOLOGY.as_bytes()).unwrap()).unwrap();
        let limits =
            Limits { login_timeout: Duration::from_secs(1), max_clients: 0, max_user_clients: 0 };
        let console = Arc::new(Console::new(Arc::<Process>::clone(&process)));
        Self { shared: Shared::new(directory, limits, AHashMap::new(), console), process }
    }

    /// Three pools, as if clients had come.
    pub(crate) fn with_pools() -> Self {
        let stand = Self::new();
        for (database, user) in [("other", "alice"), ("app", "bob"), ("app", "alice")] {
            stand.shared.directory.pool(database, user).unwrap();
        }
        let shards = stand.shared.directory.shards("sharded", "alice").unwrap();
        for targets in shards.all() {
            targets.choose(&Need::WRITE, 0).unwrap();
        }
        stand
    }

    /// What an admin gets, a line for each row.
    pub(crate) fn run(&self, statement: &str) -> String {
        match self.shared.admin.run(&self.shared, "admin", statement) {
            AdminReply::Rows(table) => {
                let names: Vec<String> = table
                    .columns
                    .iter()
                    .map(|column| {
                        let kind = match column.type_oid {
                            16 => "bool",
                            20 => "int8",
                            25 => "text",
                            _ => "?",
                        };
                        format!("{}:{kind}", column.name)
                    })
                    .collect();
                let mut text = names.join(" | ") + "\n";
                for row in &table.rows {
                    assert_eq!(row.len(), table.columns.len());
                    let values: Vec<&str> =
                        row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
                    text += &(values.join(" | ") + "\n");
                }
                text
            }
            AdminReply::Done(tag) => format!("{tag}\n"),
            AdminReply::Refused(error) => {
                let mut text = format!("{}: {}\n", error.code, error.message);
                for (name, field) in [("detail", &error.detail), ("hint", &error.hint)] {
                    if let Some(field) = field {
                        writeln!(text, "{name}: {field}").unwrap();
                    }
                }
                text
            }
        }
    }
}
