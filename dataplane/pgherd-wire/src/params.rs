//! A set of session parameters (GUCs) that a client wants or a server connection has.

use std::collections::BTreeMap;

/// The parameters that Postgres 13 to 18 reports by itself with ParameterStatus when they change,
/// and that a session can set.
const REPORTED: [&str; 11] = [
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "IntervalStyle",
    "is_superuser",
    "search_path",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

/// The current role, a parameter in Postgres too.
const ROLE: &str = "role";

/// It may end the statements by which parameters are set.
const TIMEOUT: &str = "statement_timeout";

/// How isolated transactions are that do not say it themselves.
pub const ISOLATION: &str = "default_transaction_isolation";

/// Parameters with their values, by name in Postgres's own spelling.
///
/// Compared by content; two sets are the same when a statement would see the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ParamSet(BTreeMap<Box<str>, Box<str>>);

impl ParamSet {
    /// Sets a parameter and says whether that changed anything.
    pub fn set(&mut self, name: &str, value: &str) -> bool {
        match self.0.get(name) {
            Some(old) if **old == *value => false,
            _ => {
                self.0.insert(name.into(), value.into());
                true
            }
        }
    }

    /// Takes a parameter out.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| &**value)
    }

    /// Only the parameters that can be carried over to another connection.
    #[must_use]
    pub fn settable(&self) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(name, _)| is_settable(name))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect(),
        )
    }

    /// Whether transactions are serializable that do not say otherwise.
    pub fn is_serializable(&self) -> bool {
        self.get(ISOLATION).is_some_and(|level| level.eq_ignore_ascii_case("serializable"))
    }

    /// All parameters in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// These, with the parameters that are not among the `reported` ones replaced by `others`, as
    /// read from a server.
    #[must_use]
    pub fn with_unreported<'o>(
        &self,
        reported: &Self,
        others: impl IntoIterator<Item = (&'o str, &'o str)>,
    ) -> Self {
        let mut all = self.clone();
        all.0.retain(|name, _| reported.get(name).is_some());
        for (name, value) in others {
            if reported.get(name).is_none() {
                all.set(name, value);
            }
        }
        all
    }

    /// The SQL that takes a server connection from these parameters to `wanted`; empty when
    /// nothing differs. Names and values are quoted as literals (CVE-2025-12819), and set by
    /// function: `SET` would read a list such as `search_path` as one element.
    ///
    /// A role is taken off before everything else and put on last: what it may set is not what
    /// the session's user may. Only a `statement_timeout` goes before it, and what makes a hot
    /// standby execute a query at all, which has no serializable transactions.
    pub fn sql_to(&self, wanted: &Self) -> String {
        let role = wanted.get(ROLE);
        let differs = self.get(ROLE) != role;
        let mut sql = String::new();
        // A short timeout of the last client's ends nothing that is behind its RESET.
        let timeout = self.get(TIMEOUT).is_some() && self.get(TIMEOUT) != wanted.get(TIMEOUT);
        let first = [(TIMEOUT, timeout), (ROLE, differs && self.get(ROLE).is_some())];
        let first = first.into_iter().filter(|(_, resets)| *resets).map(|(name, _)| name);
        let gone = self.iter().map(|(name, _)| name).filter(|name| {
            is_settable(name) && ![ROLE, TIMEOUT].contains(name) && wanted.get(name).is_none()
        });
        for name in first.chain(gone) {
            sql.push_str(if sql.is_empty() { "RESET " } else { "; RESET " });
            push_identifier(&mut sql, name);
        }
        let changed = wanted.iter().filter(|(name, value)| {
            is_settable(name) && *name != ROLE && self.get(name) != Some(value)
        });
        let role = role.filter(|_| differs).map(|role| (ROLE, role));
        let mut has_query = false;
        for (index, (name, value)) in changed.chain(role).enumerate() {
            sql.push_str(match (index, sql.is_empty()) {
                (0, true) => "SELECT ",
                (0, false) => "; SELECT ",
                _ => ", ",
            });
            has_query = true;
            sql.push_str("pg_catalog.set_config(");
            push_literal(&mut sql, name);
            sql.push_str(", ");
            push_literal(&mut sql, value);
            sql.push_str(", false)");
        }
        if has_query && self.is_serializable() {
            sql.insert_str(0, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; ");
        }
        sql
    }
}

/// Lists whose elements `SET` takes one by one; a string would be a single element.
const LISTS: [&str; 3] = ["search_path", "temp_tablespaces", "local_preload_libraries"];

impl ParamSet {
    /// The SQL that sets all of these where `SET TRANSACTION` may still follow, which it may not
    /// behind a query.
    pub fn to_set_statements(&self) -> String {
        let mut sql = String::new();
        for (name, value) in self.iter().filter(|(name, _)| is_settable(name)) {
            if !sql.is_empty() {
                sql.push_str("; ");
            }
            if LISTS.contains(&name) {
                sql.push_str("SELECT pg_catalog.set_config(");
                push_literal(&mut sql, name);
                sql.push_str(", ");
                push_literal(&mut sql, value);
                sql.push_str(", false)");
            } else {
                sql.push_str("SET ");
                push_identifier(&mut sql, name);
                sql.push_str(" TO ");
                push_literal(&mut sql, value);
            }
        }
        sql
    }
}

/// Postgres's own spelling of a parameter that it reports and a client can set.
pub fn reported_name(name: &str) -> Option<&'static str> {
    REPORTED
        .iter()
        .copied()
        .filter(|reported| is_settable(reported))
        .find(|reported| reported.eq_ignore_ascii_case(name))
}

/// The same, also of what is not reported and decides where statements go.
pub fn known_name(name: &str) -> Option<&'static str> {
    let unreported = || Some(ISOLATION).filter(|known| known.eq_ignore_ascii_case(name));
    reported_name(name).or_else(unreported)
}

/// Whether a reported parameter is one that `SET` can change and a proxy may carry over.
pub fn is_settable(name: &str) -> bool {
    !matches!(
        name,
        "server_version"
            | "server_encoding"
            | "integer_datetimes"
            | "is_superuser"
            | "session_authorization"
            | "in_hot_standby"
            | "scram_iterations"
    )
}

fn push_identifier(sql: &mut String, name: &str) {
    // A custom parameter has a prefix: each part is quoted by itself.
    for (index, part) in name.split('.').enumerate() {
        if index > 0 {
            sql.push('.');
        }
        sql.push('"');
        sql.push_str(&part.replace('"', "\"\""));
        sql.push('"');
    }
}

/// An escape string where there is a backslash, so that the literal means the same under either
/// setting of `standard_conforming_strings`.
fn push_literal(sql: &mut String, value: &str) {
    if value.contains('\\') {
        sql.push_str(" E'");
        sql.push_str(&value.replace('\\', "\\\\").replace('\'', "''"));
    } else {
        sql.push('\'');
        sql.push_str(&value.replace('\'', "''"));
    }
    sql.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> ParamSet {
        let mut params = ParamSet::default();
        for (name, value) in pairs {
            params.set(name, value);
        }
        params
    }

    #[track_caller]
    fn check(have: &[(&str, &str)], want: &[(&str, &str)], sql: &str) {
        assert_eq!(set(have).sql_to(&set(want)), sql);
    }

    #[test]
    fn only_what_differs_is_set() {
        check(&[("TimeZone", "UTC")], &[("TimeZone", "UTC")], "");
        check(
            &[("TimeZone", "UTC"), ("work_mem", "1MB")],
            &[("TimeZone", "Europe/Rome"), ("search_path", "a, \"B\"")],
            "RESET \"work_mem\"; SELECT pg_catalog.set_config('TimeZone', 'Europe/Rome', false), \
             pg_catalog.set_config('search_path', 'a, \"B\"', false)",
        );
        check(&[("is_superuser", "on")], &[("is_superuser", "off")], "");
    }

    #[test]
    fn a_role_is_taken_off_first_and_put_on_last() {
        check(
            &[("role", "a"), ("log_statement", "all")],
            &[("role", "b"), ("work_mem", "1MB")],
            "RESET \"role\"; RESET \"log_statement\"; \
             SELECT pg_catalog.set_config('work_mem', '1MB', false), \
             pg_catalog.set_config('role', 'b', false)",
        );
        check(&[("role", "a")], &[("role", "a")], "");
        check(&[("role", "a")], &[], "RESET \"role\"");
    }

    #[test]
    fn a_statement_timeout_is_taken_off_first() {
        check(
            &[("role", "a"), ("statement_timeout", "1"), ("a", "b")],
            &[("statement_timeout", "2")],
            "RESET \"statement_timeout\"; RESET \"role\"; RESET \"a\"; \
             SELECT pg_catalog.set_config('statement_timeout', '2', false)",
        );
    }

    #[test]
    fn a_query_is_not_serializable() {
        check(
            &[(ISOLATION, "Serializable"), ("a", "b")],
            &[("c", "d")],
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; RESET \"a\"; \
             RESET \"default_transaction_isolation\"; SELECT pg_catalog.set_config('c', 'd', false)",
        );
        check(&[(ISOLATION, "serializable")], &[], "RESET \"default_transaction_isolation\"");
        let wanted = &[(ISOLATION, "serializable")];
        check(
            &[],
            wanted,
            "SELECT pg_catalog.set_config('default_transaction_isolation', 'serializable', false)",
        );
        assert!(set(wanted).is_serializable());
        assert!(!set(&[(ISOLATION, "repeatable read")]).is_serializable());
    }

    #[test]
    fn a_set_is_no_query() {
        assert_eq!(
            set(&[("DateStyle", "SQL, DMY"), ("a.b", "it's"), ("search_path", "a, b")])
                .to_set_statements(),
            "SET \"DateStyle\" TO 'SQL, DMY'; SET \"a\".\"b\" TO 'it''s'; \
             SELECT pg_catalog.set_config('search_path', 'a, b', false)"
        );
    }

    #[test]
    fn what_is_not_reported_is_replaced_by_what_was_read() {
        let reported = set(&[("TimeZone", "GMT")]);
        let have = set(&[("TimeZone", "UTC"), ("work_mem", "1MB"), ("role", "x")]);
        assert_eq!(
            have.with_unreported(&reported, [("work_mem", "2MB"), ("TimeZone", "not this")]),
            set(&[("TimeZone", "UTC"), ("work_mem", "2MB")])
        );
    }

    #[test]
    fn names_and_values_cannot_leave_their_quotes() {
        check(
            &[],
            &[("a.b", "x'; DROP TABLE t; --")],
            "SELECT pg_catalog.set_config('a.b', 'x''; DROP TABLE t; --', false)",
        );
        check(&[], &[("a'", "\\'")], "SELECT pg_catalog.set_config('a''',  E'\\\\''', false)");
        check(&[("a\"b.c", "x")], &[], "RESET \"a\"\"b\".\"c\"");
    }
}
