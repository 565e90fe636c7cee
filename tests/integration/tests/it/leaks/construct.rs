//! The kinds of session state in the histories, and those that the proxy does not carry yet.

/// A kind of session state, or a way to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Construct {
    /// BEGIN, COMMIT, ROLLBACK, AND CHAIN, SET TRANSACTION.
    Transactions,
    /// SAVEPOINT, ROLLBACK TO, RELEASE.
    Savepoints,
    /// SET and SHOW of what Postgres reports by itself.
    Reported,
    /// The same of what it does not report.
    Unreported,
    /// Parameters with a prefix that no module has registered.
    Custom,
    /// SET LOCAL.
    Local,
    /// `set_config()` in a SELECT.
    SetConfig,
    /// SET SESSION CHARACTERISTICS.
    Characteristics,
    /// RESET of one parameter, SET … TO DEFAULT.
    Reset,
    /// RESET ALL.
    ResetAll,
    /// DISCARD ALL.
    DiscardAll,
    /// DISCARD PLANS, SEQUENCES, TEMP.
    DiscardPart,
    /// SET ROLE and SET SESSION AUTHORIZATION.
    Roles,
    /// Temporary tables, views and sequences.
    Temporary,
    /// LISTEN, UNLISTEN, NOTIFY.
    Notify,
    /// Session-level advisory locks.
    AdvisoryLocks,
    /// Cursors, those WITH HOLD too.
    Cursors,
    /// PREPARE, EXECUTE, DEALLOCATE.
    SqlPrepare,
    /// Parse, Bind, Describe and Close of named and unnamed statements.
    Statements,
    /// LOAD.
    Load,
    /// `currval()` and `lastval()`.
    Sequences,
    /// Parameters in the startup message.
    Startup,
    /// Letters beyond ASCII in the startup message.
    StartupText,
    /// A role in the startup message.
    StartupRole,
    /// Clients that leave, orderly or not, and others that come.
    Reconnects,
    /// Session state that a function or DO block changes inside the server.
    Functions,
    /// All of it as superuser, who may do more.
    Superuser,
}

/// All of them.
pub const ALL: &[Construct] = &[
    Construct::Transactions,
    Construct::Savepoints,
    Construct::Reported,
    Construct::Unreported,
    Construct::Custom,
    Construct::Local,
    Construct::SetConfig,
    Construct::Characteristics,
    Construct::Reset,
    Construct::ResetAll,
    Construct::DiscardAll,
    Construct::DiscardPart,
    Construct::Roles,
    Construct::Temporary,
    Construct::Notify,
    Construct::AdvisoryLocks,
    Construct::Cursors,
    Construct::SqlPrepare,
    Construct::Statements,
    Construct::Load,
    Construct::Sequences,
    Construct::Startup,
    Construct::StartupText,
    Construct::StartupRole,
    Construct::Reconnects,
    Construct::Functions,
    Construct::Superuser,
];

/// What is left out, each with its reason. A line goes when the histories with it pass.
pub const NOT_YET: &[(Construct, &str)] = &[
    (Construct::Sequences, "lastval and currval tell of the other client"),
    (Construct::StartupText, "it is read in the client_encoding that the last client had"),
    (Construct::StartupRole, "SET SESSION AUTHORIZATION forgets it"),
    (Construct::Functions, "what a function does to the session is not seen"),
];

impl Construct {
    /// As in the environment: the variant in small letters.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// Several names on one line.
pub fn names(constructs: &[Construct]) -> String {
    constructs.iter().map(|construct| construct.name()).collect::<Vec<_>>().join(",")
}

/// Those that the environment asks for, else all that should work.
pub fn chosen() -> Vec<Construct> {
    if let Ok(only) = std::env::var("PGHERD_LEAK_ONLY") {
        let named = only.split(',').map(|name| {
            let found = ALL.iter().copied().find(|construct| construct.name() == name);
            found.unwrap_or_else(|| panic!("PGHERD_LEAK_ONLY: {name} is none of {}", names(ALL)))
        });
        return named.collect();
    }
    let all = std::env::var_os("PGHERD_LEAK_ALL").is_some();
    let left_out =
        |construct: &Construct| NOT_YET.iter().any(|(left_out, _)| left_out == construct);
    ALL.iter().copied().filter(|construct| all || !left_out(construct)).collect()
}
