//! Kinds and their data.

use super::*;

#[track_caller]
fn check(sql: &str, expected: Kind) {
    let analysis = analyze(sql.as_bytes());
    let kinds: Vec<&Kind> = analysis.statements.iter().map(|it| &it.kind).collect();
    assert_eq!(kinds, [&expected], "{sql} {:?}", analysis.unknown);
}

fn name(name: &str) -> Box<str> {
    name.into()
}

#[test]
fn transactions_tell_their_modes() {
    check("BEGIN", Kind::Begin { read_only: None });
    check("BEGIN READ ONLY", Kind::Begin { read_only: Some(true) });
    check(
        "START TRANSACTION READ WRITE, ISOLATION LEVEL SERIALIZABLE, NOT DEFERRABLE",
        Kind::Begin { read_only: Some(false) },
    );
    check("BEGIN READ ONLY, READ WRITE", Kind::Begin { read_only: Some(false) });
    check("END AND CHAIN", Kind::Commit { chain: true });
    check("ABORT", Kind::Rollback { chain: false });
    check("SAVEPOINT a", Kind::Savepoint);
    check("RELEASE a", Kind::ReleaseSavepoint);
    check("ROLLBACK TO a", Kind::RollbackToSavepoint);
    let set = |read_only, session| Kind::SetTransaction { read_only, session };
    check("SET TRANSACTION READ ONLY", set(Some(true), false));
    check("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", set(None, false));
    check("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", set(Some(false), true));
}

#[test]
fn settings_tell_their_values() {
    let set = |it: &str, value: Option<&str>, local| Kind::Set {
        name: name(it),
        value: value.map(name),
        local,
    };
    check("SET a.b = 'x'", set("a.b", Some("x"), false));
    check("SET LOCAL work_mem TO 5", set("work_mem", Some("5"), true));
    check(
        "SET default_transaction_read_only = on",
        set("default_transaction_read_only", Some("on"), false),
    );
    check("SET geqo = true", set("geqo", Some("true"), false));
    check("SET a.b = 1.5", set("a.b", Some("1.5"), false));
    check("SET a.b TO DEFAULT", set("a.b", None, false));
    check("SET search_path = a, b", set("search_path", None, false));
    check("SET TIME ZONE 'UTC'", set("timezone", Some("UTC"), false));
    check("SET NAMES 'UTF8'", set("client_encoding", Some("UTF8"), false));
    check("RESET a.b", Kind::Reset { name: Some(name("a.b")) });
    check("RESET ALL", Kind::Reset { name: None });
    check("SHOW a.b", Kind::Show { name: name("a.b") });
}

#[test]
fn names_of_statements_and_cursors_are_told() {
    check("EXECUTE x(1)", Kind::Execute { name: name("x") });
    check("DEALLOCATE x", Kind::Deallocate { name: Some(name("x")) });
    check("DEALLOCATE ALL", Kind::Deallocate { name: None });
    check("DECLARE c CURSOR WITH HOLD FOR SELECT 1", Kind::Declare { name: name("c"), hold: true });
    check("DECLARE c SCROLL CURSOR FOR SELECT 1", Kind::Declare { name: name("c"), hold: false });
    check("FETCH ALL FROM c", Kind::Fetch { name: name("c") });
    check("CLOSE ALL", Kind::Close { name: None });
    let analysis = analyze(b"PREPARE x (int) AS DELETE FROM t WHERE a = $1");
    let Kind::Prepare { name, inner } = &analysis.statements[0].kind else {
        panic!("{analysis:?}")
    };
    assert_eq!((&**name, &inner.kind), ("x", &Kind::Delete));
}

#[test]
fn explain_tells_whether_it_executes() {
    let rows = [
        ("EXPLAIN SELECT 1", false),
        ("EXPLAIN ANALYZE SELECT 1", true),
        ("EXPLAIN (ANALYZE) SELECT 1", true),
        ("EXPLAIN (ANALYZE off) SELECT 1", false),
        ("EXPLAIN (ANALYZE 0, ANALYZE true) SELECT 1", true),
        ("EXPLAIN (COSTS, ANALYZE 'false') SELECT 1", false),
    ];
    for (sql, expected) in rows {
        let analysis = analyze(sql.as_bytes());
        match &analysis.statements[0].kind {
            Kind::Explain { analyze, inner } => {
                assert_eq!((*analyze, &inner.kind), (expected, &Kind::Select), "{sql}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
}
