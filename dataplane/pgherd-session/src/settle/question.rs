//! What the server is asked about the state of a session.

use crate::pins::Pins;

/// One row for each parameter that is set in the session, and one for each other kind of state
/// that is there. Every name is qualified: `search_path` is the client's.
pub(crate) fn question(kinds: Pins, names: &[String]) -> String {
    let mut parts = Vec::new();
    if kinds.contains(Pins::SETTINGS) {
        parts.push(
            "SELECT '0', name, setting FROM pg_catalog.pg_settings \
             WHERE source OPERATOR(pg_catalog.=) 'session' AND name OPERATOR(pg_catalog.!~) '^transaction_'"
                .to_owned(),
        );
        parts.push("SELECT '0', 'role', pg_catalog.current_setting('role')".to_owned());
        for name in names {
            let name = format!("'{}'", name.replace('\'', "''"));
            let escape = if name.contains('\\') { "E" } else { "" };
            let name = format!("{escape}{}", name.replace('\\', "\\\\"));
            parts.push(format!("SELECT '0', {name}, pg_catalog.current_setting({name}, true)"));
        }
    }
    for (kind, exists) in [
        (
            Pins::TEMPORARY,
            "SELECT FROM pg_catalog.pg_class WHERE relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() \
             UNION ALL SELECT FROM pg_catalog.pg_proc WHERE pronamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() \
             UNION ALL SELECT FROM pg_catalog.pg_type WHERE typnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()",
        ),
        (Pins::LISTEN, "SELECT pg_catalog.pg_listening_channels()"),
        (
            Pins::ADVISORY_LOCK,
            "SELECT FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory' \
             AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()",
        ),
        (Pins::HELD_CURSOR, "SELECT FROM pg_catalog.pg_cursors WHERE is_holdable"),
        (Pins::PREPARED, "SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql"),
    ] {
        if kinds.contains(kind) {
            parts.push(format!("SELECT '{}', NULL, NULL WHERE EXISTS ({exists})", kind.bits()));
        }
    }
    parts.join(" UNION ALL ")
}
