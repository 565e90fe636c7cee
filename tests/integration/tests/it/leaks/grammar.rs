//! Random statements about session state.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::construct::Construct;
use super::history::{Step, Who};

/// Parameters that are looked at.
const SHOWN: &[&str] = &[
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "client_encoding",
    "application_name",
    "search_path",
    "standard_conforming_strings",
    "default_transaction_read_only",
    "default_transaction_isolation",
    "transaction_isolation",
    "transaction_read_only",
    "statement_timeout",
    "lock_timeout",
    "work_mem",
    "extra_float_digits",
    "bytea_output",
    "lc_messages",
    "client_min_messages",
    "enable_seqscan",
    "role",
    "session_authorization",
    "is_superuser",
];

/// What else is looked at: effects of the parameters on output, and the rest of a session's state.
/// Custom parameters that are empty and those that never were are the same here: once one was set,
/// even in a transaction that is rolled back, Postgres itself never forgets that it exists.
const LOOKED_AT: &[(&str, &str)] = &[
    ("my.var", "coalesce(current_setting('my.var', true), '')"),
    ("my.other", "coalesce(current_setting('my.other', true), '')"),
    ("users", "current_user || ' ' || session_user"),
    ("schemas", "current_schemas(false)"),
    ("date", "make_date(2026, 11, 21)"),
    ("time", "to_timestamp(0)"),
    ("interval", "make_interval(days => 1, hours => 2)"),
    ("bytea", "decode('01ff', 'hex')"),
    ("float", "1.1::float8 * 3"),
    ("text", "chr(233)"),
    (
        "locks",
        "(SELECT string_agg(mode || objid, ' ' ORDER BY objid, mode) FROM pg_locks \
            WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
    ),
    (
        "channels",
        "(SELECT string_agg(channel, ' ' ORDER BY channel) FROM pg_listening_channels() channel)",
    ),
    ("cursors", "(SELECT string_agg(name, ' ' ORDER BY name) FROM pg_cursors WHERE is_holdable)"),
    (
        "relations",
        "(SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class \
            WHERE relnamespace = pg_my_temp_schema() AND relkind <> 'i')",
    ),
];

/// Everything that a session has, in one row.
pub fn probe() -> String {
    let shown = SHOWN.iter().map(|name| format!("current_setting('{name}') AS \"{name}\""));
    let others = LOOKED_AT.iter().map(|(name, sql)| format!("{sql} AS \"{name}\""));
    format!("SELECT {}", shown.chain(others).collect::<Vec<_>>().join(", "))
}

/// A parameter with values that it takes, and one that it does not.
struct Parameter {
    name: &'static str,
    good: &'static [&'static str],
    bad: &'static str,
}

const REPORTED: &[Parameter] = &[
    Parameter {
        name: "TimeZone",
        good: &["UTC", "Europe/Rome", "asia/tokyo", "+3", "CET"],
        bad: "Nowhere/Land",
    },
    Parameter {
        name: "datestyle",
        good: &["ISO, DMY", "german", "SQL, MDY", "ymd", "Postgres"],
        bad: "nonsense",
    },
    Parameter {
        name: "IntervalStyle",
        good: &["postgres", "iso_8601", "SQL_STANDARD"],
        bad: "iso",
    },
    Parameter {
        name: "client_encoding",
        good: &["UTF8", "latin1", "SQL_ASCII", "WIN1252"],
        bad: "EBCDIC",
    },
    Parameter { name: "application_name", good: &["a", "", "it''s", "x\\y", "\u{e9}"], bad: "" },
    Parameter { name: "standard_conforming_strings", good: &["on", "off"], bad: "perhaps" },
    Parameter { name: "default_transaction_read_only", good: &["on", "false"], bad: "perhaps" },
    Parameter {
        name: "search_path",
        good: &["public", "pg_catalog, public", "\"$user\", public", "nowhere", ""],
        bad: "\"",
    },
];

const UNREPORTED: &[Parameter] = &[
    Parameter { name: "work_mem", good: &["7MB", "4096", "64kB", "1GB"], bad: "1" },
    Parameter { name: "statement_timeout", good: &["0", "90s", "2min", "61000"], bad: "-5" },
    Parameter { name: "lock_timeout", good: &["0", "90s"], bad: "soon" },
    Parameter { name: "extra_float_digits", good: &["0", "-3", "3", "1"], bad: "99" },
    Parameter { name: "bytea_output", good: &["hex", "escape"], bad: "octal" },
    Parameter { name: "lc_messages", good: &["C"], bad: "xx" },
    Parameter { name: "client_min_messages", good: &["notice", "error", "debug1"], bad: "loud" },
    Parameter { name: "enable_seqscan", good: &["on", "off"], bad: "perhaps" },
    Parameter {
        name: "default_transaction_isolation",
        good: &["serializable", "read committed", "repeatable read"],
        bad: "none",
    },
    Parameter { name: "no_such_parameter", good: &["1"], bad: "1" },
    // Settings of the server as a whole: refused.
    Parameter { name: "max_connections", good: &["5"], bad: "5" },
];

const CUSTOM: &[Parameter] = &[
    Parameter { name: "my.var", good: &["x", "", "it''s", "x\\y"], bad: "" },
    Parameter { name: "my.other", good: &["1", "2"], bad: "" },
];

/// Writes the steps of one client, with an idea of where it stands.
#[derive(Debug)]
pub struct Writer {
    who: Who,
    superuser: bool,
    kinds: Vec<Construct>,
    /// Probably in a transaction.
    in_transaction: bool,
}

// === impl Writer ===

impl Writer {
    pub fn new(who: Who, superuser: bool, kinds: &[Construct]) -> Self {
        Self { who, superuser, kinds: kinds.to_vec(), in_transaction: false }
    }

    /// The client has a new connection.
    pub fn reconnected(&mut self) {
        self.in_transaction = false;
    }

    /// The next thing that it does.
    pub fn step(&mut self, rng: &mut StdRng) -> Step {
        if self.in_transaction && rng.random_ratio(1, 4) {
            self.in_transaction = false;
            return Step::Simple(pick(rng, &["COMMIT", "COMMIT", "ROLLBACK", "END"]).to_owned());
        }
        let kind = self.kinds.choose(rng).copied().unwrap_or(Construct::Reported);
        if kind == Construct::Statements {
            return self.statement_step(rng);
        }
        let sql = self.statement(kind, rng);
        match rng.random_range(0..10) {
            0..5 => Step::Simple(sql),
            5..8 => Step::Batch(vec![sql]),
            8 => Step::Batch(vec![sql, self.any(rng)]),
            _ => Step::Simple(format!("{sql}; {}", self.any(rng))),
        }
    }

    fn any(&mut self, rng: &mut StdRng) -> String {
        let kind = self.kinds.choose(rng).copied().unwrap_or(Construct::Reported);
        self.statement(kind, rng)
    }

    fn statement_step(&mut self, rng: &mut StdRng) -> Step {
        let name = pick(rng, &["", "s1", "s1", "s2"]).to_owned();
        match rng.random_range(0..10) {
            0..4 => {
                let others: Vec<Construct> =
                    self.kinds.iter().copied().filter(|&it| it != Construct::Statements).collect();
                let sql = match others.choose(rng) {
                    Some(&kind) if rng.random_ratio(2, 3) => self.statement(kind, rng),
                    _ => pick(rng, &["SELECT 'one'", "SELECT 'two', 2", "SELECT 1/0", "nonsense"])
                        .to_owned(),
                };
                Step::Parse { name, sql }
            }
            4..8 => Step::Run(name),
            8 => Step::Describe(name),
            _ => Step::Close(name),
        }
    }

    fn statement(&mut self, kind: Construct, rng: &mut StdRng) -> String {
        match kind {
            Construct::Transactions => self.transaction(rng),
            Construct::Savepoints => self.savepoint(rng),
            Construct::Reported => set(rng, REPORTED),
            Construct::Unreported => set(rng, UNREPORTED),
            Construct::Custom => set(rng, CUSTOM),
            Construct::Local => local(rng),
            Construct::SetConfig => set_config(rng),
            Construct::Characteristics => characteristics(rng),
            Construct::Reset => {
                let from = [REPORTED, UNREPORTED, CUSTOM].choose(rng).copied().unwrap_or(REPORTED);
                let name = parameter(rng, from).0;
                if rng.random_ratio(1, 3) {
                    format!("SET {name} TO DEFAULT")
                } else {
                    format!("RESET {name}")
                }
            }
            Construct::ResetAll => "RESET ALL".to_owned(),
            Construct::DiscardAll => "DISCARD ALL".to_owned(),
            Construct::DiscardPart => pick(
                rng,
                &["DISCARD PLANS", "DISCARD SEQUENCES", "DISCARD TEMP", "discard temporary"],
            )
            .to_owned(),
            Construct::Roles => role(rng),
            Construct::Temporary => temporary(rng),
            Construct::Notify => notify(rng),
            Construct::AdvisoryLocks => advisory_lock(rng),
            Construct::Cursors => self.cursor(rng),
            Construct::SqlPrepare => sql_prepare(rng),
            Construct::Load => self.load(rng),
            Construct::Sequences => self.sequence(rng),
            Construct::Functions => function(rng),
            Construct::Statements
            | Construct::Startup
            | Construct::StartupText
            | Construct::StartupRole
            | Construct::Reconnects
            | Construct::Superuser => "SELECT 'nothing'".to_owned(),
        }
    }

    fn transaction(&mut self, rng: &mut StdRng) -> String {
        const BEGIN: &[&str] = &[
            "BEGIN",
            "begin work",
            "START TRANSACTION READ ONLY",
            "BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE",
        ];
        const INSIDE: &[&str] = &[
            "SELECT 1/0",
            "COMMIT AND CHAIN",
            "ROLLBACK AND CHAIN",
            "SET TRANSACTION READ ONLY",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SELECT 'inside'",
            "ABORT",
            "COMMIT",
        ];
        if self.in_transaction || rng.random_ratio(1, 8) {
            let sql = pick(rng, INSIDE);
            self.in_transaction &= !matches!(sql, "ABORT" | "COMMIT");
            return sql.to_owned();
        }
        self.in_transaction = true;
        pick(rng, BEGIN).to_owned()
    }

    fn savepoint(&mut self, rng: &mut StdRng) -> String {
        const ALL: &[&str] = &[
            "SAVEPOINT a",
            "SAVEPOINT b",
            "SAVEPOINT a",
            "ROLLBACK TO a",
            "ROLLBACK TO SAVEPOINT b",
            "RELEASE a",
            "RELEASE SAVEPOINT b",
        ];
        if !self.in_transaction && rng.random_ratio(3, 4) {
            self.in_transaction = true;
            return "BEGIN".to_owned();
        }
        pick(rng, ALL).to_owned()
    }

    fn cursor(&mut self, rng: &mut StdRng) -> String {
        const ALL: &[&str] = &[
            "DECLARE h CURSOR WITH HOLD FOR SELECT generate_series(1, 5)",
            "DECLARE h SCROLL CURSOR WITH HOLD FOR SELECT generate_series(1, 5)",
            "DECLARE c CURSOR FOR SELECT generate_series(11, 15)",
            "FETCH 2 FROM h",
            "FETCH FROM c",
            "MOVE 1 IN h",
            "CLOSE h",
            "CLOSE c",
            "CLOSE ALL",
        ];
        let sql = pick(rng, ALL);
        if sql.starts_with("DECLARE c") && !self.in_transaction {
            self.in_transaction = true;
            return format!("BEGIN; {sql}");
        }
        sql.to_owned()
    }

    fn load(&self, rng: &mut StdRng) -> String {
        // What anybody else may load lies in a directory that is empty as Debian ships it.
        const ALL: &[&str] = &["LOAD 'no_such_library'", "SHOW auto_explain.log_min_duration"];
        if self.superuser && rng.random_ratio(1, 2) {
            return "LOAD 'auto_explain'".to_owned();
        }
        pick(rng, ALL).to_owned()
    }

    fn sequence(&self, rng: &mut StdRng) -> String {
        // Each client draws from its own, so that only `currval` can tell of the other one.
        let own = self.who.index();
        match rng.random_range(0..6) {
            0..2 => format!("SELECT nextval('numbers_{own}')"),
            2 => format!("SELECT currval('numbers_{}')", rng.random_range(0..2)),
            3 => format!("SELECT setval('numbers_{own}', {})", rng.random_range(50..60)),
            _ => "SELECT lastval()".to_owned(),
        }
    }
}

/// Parameters of a startup message.
pub fn startup(rng: &mut StdRng) -> Vec<(String, String)> {
    const ALL: &[(&str, &str)] = &[
        ("options", "-c work_mem=9MB"),
        ("options", "-c statement_timeout=77s -c my.var=started"),
        ("options", "--extra-float-digits=2 -c DateStyle=German"),
        ("options", "-c search_path=pg_catalog"),
        ("options", "-c default_transaction_isolation=serializable"),
        ("TimeZone", "Asia/Tokyo"),
        ("DateStyle", "SQL, DMY"),
        ("client_encoding", "LATIN1"),
        ("client_encoding", "utf-8"),
        ("application_name", "started"),
        ("application_name", "it's"),
        ("search_path", "public, pg_catalog"),
        ("bytea_output", "escape"),
    ];
    const BAD: &[(&str, &str)] = &[("options", "-c work_mem=none"), ("timezone", "Nowhere/Land")];
    // Of several that are wrong, which one is complained of is Postgres's own affair.
    if rng.random_ratio(1, 10) {
        let (name, value) = BAD.choose(rng).copied().unwrap_or_default();
        return vec![(name.to_owned(), value.to_owned())];
    }
    let mut chosen: Vec<(&str, &str)> = ALL.sample(rng, 3).copied().collect();
    chosen.sort_unstable();
    chosen.dedup_by_key(|(name, _)| *name);
    chosen.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Startup parameters with letters beyond ASCII.
pub fn startup_text() -> Vec<(String, String)> {
    vec![("application_name".to_owned(), "it's \u{e9}".to_owned())]
}

/// Startup parameters that change who the client is.
pub fn startup_role() -> Vec<(String, String)> {
    vec![("options".to_owned(), "-c role=clerk".to_owned())]
}

fn pick<'a>(rng: &mut impl Rng, from: &[&'a str]) -> &'a str {
    from.choose(rng).copied().unwrap_or_default()
}

fn parameter<'a>(rng: &mut impl Rng, from: &'a [Parameter]) -> (&'a str, &'a str) {
    let Some(parameter) = from.choose(rng) else { return ("work_mem", "7MB") };
    if rng.random_ratio(1, 8) {
        return (parameter.name, parameter.bad);
    }
    (parameter.name, pick(rng, parameter.good))
}

fn set(rng: &mut impl Rng, from: &[Parameter]) -> String {
    let (name, value) = parameter(rng, from);
    match rng.random_range(0..12) {
        0..5 | 6 => format!("SET {name} = '{value}'"),
        5 => format!("set session {name} to '{value}'"),
        // Whether a custom parameter exists at all is another matter; see `LOOKED_AT`.
        7..10 if name.contains('.') => format!("SET {name} = '{value}'"),
        7..10 => format!("SHOW {name}"),
        _ => match name {
            "TimeZone" => pick(
                rng,
                &[
                    "SET TIME ZONE 'Europe/Paris'",
                    "SET TIME ZONE 'PST8PDT'",
                    "SET TIME ZONE -7",
                    "SET TIME ZONE INTERVAL '+02:00' HOUR TO MINUTE",
                    "SHOW TIME ZONE",
                ],
            )
            .to_owned(),
            "client_encoding" => pick(rng, &["SET NAMES 'latin1'", "set names 'UTF8'"]).to_owned(),
            "search_path" => {
                pick(rng, &["SET search_path = public, pg_catalog", "SET SCHEMA 'public'"])
                    .to_owned()
            }
            "default_transaction_isolation" => "SHOW TRANSACTION ISOLATION LEVEL".to_owned(),
            _ => format!("SET /* here */ {name} = '{value}' -- and there"),
        },
    }
}

fn local(rng: &mut impl Rng) -> String {
    let from = [REPORTED, UNREPORTED, CUSTOM].choose(rng).copied().unwrap_or(REPORTED);
    let (name, value) = parameter(rng, from);
    match rng.random_range(0..6) {
        0 => "SET LOCAL TIME ZONE 'Europe/Berlin'".to_owned(),
        _ => format!("SET LOCAL {name} = '{value}'"),
    }
}

fn set_config(rng: &mut impl Rng) -> String {
    let from = [REPORTED, UNREPORTED, CUSTOM].choose(rng).copied().unwrap_or(REPORTED);
    let (name, value) = parameter(rng, from);
    let is_local = rng.random_ratio(1, 3);
    match rng.random_range(0..4) {
        0 => {
            let (other, its_value) = parameter(rng, from);
            format!(
                "SELECT set_config('{name}', '{value}', {is_local}), \
                 pg_catalog.set_config('{other}', '{its_value}', false)"
            )
        }
        _ => format!("SELECT set_config('{name}', '{value}', {is_local})"),
    }
}

fn characteristics(rng: &mut impl Rng) -> String {
    let what = pick(
        rng,
        &[
            "READ ONLY",
            "READ WRITE",
            "ISOLATION LEVEL SERIALIZABLE",
            "ISOLATION LEVEL READ COMMITTED",
        ],
    );
    format!("SET SESSION CHARACTERISTICS AS TRANSACTION {what}")
}

fn role(rng: &mut impl Rng) -> String {
    pick(
        rng,
        &[
            "SET ROLE clerk",
            "SET ROLE clerk",
            "SET SESSION ROLE 'clerk'",
            "SET LOCAL ROLE clerk",
            "SET ROLE NONE",
            "RESET ROLE",
            "SET ROLE nobody_at_all",
            "SET SESSION AUTHORIZATION clerk",
            "SET SESSION AUTHORIZATION app",
            "SET SESSION AUTHORIZATION DEFAULT",
            "RESET SESSION AUTHORIZATION",
            "SELECT current_user, session_user",
        ],
    )
    .to_owned()
}

fn temporary(rng: &mut impl Rng) -> String {
    let name = pick(rng, &["t1", "t1", "t2"]);
    match rng.random_range(0..14) {
        0..2 => format!("CREATE TEMP TABLE {name} (n int)"),
        2 => format!("CREATE TEMPORARY TABLE IF NOT EXISTS {name} (n int) ON COMMIT DROP"),
        3 => format!("CREATE TEMP TABLE {name} (n int) ON COMMIT DELETE ROWS"),
        4 => format!("SELECT 1 AS n INTO TEMP {name}"),
        5 => format!("CREATE TABLE pg_temp.{name} AS SELECT 5 AS n"),
        6 => "CREATE OR REPLACE TEMP VIEW w AS SELECT 1 AS n".to_owned(),
        7 => "CREATE TEMP SEQUENCE numbers_of_mine".to_owned(),
        8 => format!("INSERT INTO {name} VALUES (1), (2)"),
        9..11 => format!("SELECT count(*), sum(n) FROM {name}"),
        11 => "DROP VIEW IF EXISTS w; DROP SEQUENCE IF EXISTS numbers_of_mine".to_owned(),
        12 => format!("DROP TABLE IF EXISTS {name}"),
        _ => format!("DROP TABLE {name}"),
    }
}

fn notify(rng: &mut impl Rng) -> String {
    pick(
        rng,
        &[
            "LISTEN one",
            "LISTEN two",
            "UNLISTEN one",
            "UNLISTEN *",
            "NOTIFY one, 'x'",
            "NOTIFY one, 'y'",
            "NOTIFY two",
            "SELECT pg_notify('one', 'by function')",
        ],
    )
    .to_owned()
}

fn advisory_lock(rng: &mut impl Rng) -> String {
    let key = rng.random_range(1..3);
    match rng.random_range(0..10) {
        0..2 => format!("SELECT pg_advisory_lock({key})"),
        2 => format!("SELECT pg_try_advisory_lock({key})"),
        3 => format!("SELECT pg_advisory_lock_shared({key}, 0)"),
        4..6 => format!("SELECT pg_advisory_unlock({key})"),
        6 => format!("SELECT pg_advisory_unlock_shared({key}, 0)"),
        7 => "SELECT pg_advisory_unlock_all()".to_owned(),
        8 => format!("SELECT pg_advisory_xact_lock({key})"),
        _ => format!("SELECT pg_try_advisory_xact_lock({key})"),
    }
}

fn sql_prepare(rng: &mut impl Rng) -> String {
    pick(
        rng,
        &[
            "PREPARE q1 AS SELECT 'one'",
            "PREPARE q1 (text) AS SELECT $1 || current_setting('work_mem')",
            "PREPARE q2 AS SELECT current_setting('TimeZone')",
            "EXECUTE q1",
            "EXECUTE q1 ('x')",
            "EXECUTE q2",
            "DEALLOCATE q1",
            "DEALLOCATE PREPARE q2",
            "DEALLOCATE ALL",
        ],
    )
    .to_owned()
}

fn function(rng: &mut impl Rng) -> String {
    pick(
        rng,
        &[
            "SELECT inside_set('work_mem', '9MB')",
            "SELECT inside_set('TimeZone', 'Asia/Tokyo')",
            "SELECT inside_set('my.var', 'inside')",
            "SELECT inside_temp()",
            "DO $$ BEGIN SET statement_timeout = '88s'; END $$",
            "DO $$ BEGIN PERFORM set_config('my.other', 'done', false); END $$",
            "SELECT inside_lock(3)",
        ],
    )
    .to_owned()
}
