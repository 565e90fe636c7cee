//! Which texts share an entry, and what the cache may hold.

use super::*;
use crate::{Access, analyze};

/// Whether the second text is answered from the first one's entry.
#[track_caller]
fn check(first: &str, second: &str, shared: bool) {
    let mut cache = Cache::new(1 << 20);
    let one = cache.get(first.as_bytes());
    let two = cache.get(second.as_bytes());
    assert_eq!(Rc::ptr_eq(&one, &two), shared, "{first} and {second}");
    assert_eq!(*two, analyze(second.as_bytes()), "{second}");
}

#[test]
fn literals_and_comments_do_not_matter() {
    let rows = [
        ("SELECT 1", "SELECT 1"),
        ("SELECT * FROM t WHERE id = 1", "SELECT * FROM t WHERE id = 2"),
        ("SELECT 'a', $$b$$, E'c\\'', 1.5", "SELECT 'd''', 'e', $x$f$x$, 2e10"),
        ("INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (2, 'b; DROP TABLE t')"),
        ("SELECT 1 /* trace=1 */", "SELECT 1 /* trace=2 */"),
        ("COMMIT PREPARED 'a'", "COMMIT PREPARED 'b'"),
        ("SELECT 1; SELECT 2", "SELECT 3; SELECT 4"),
        ("SELECT $1", "SELECT $1"),
    ];
    for (first, second) in rows {
        check(first, second, true);
    }
}

#[test]
fn what_matters_stays_in_the_key() {
    let rows = [
        ("SELECT a", "SELECT b"),
        ("SELECT 1", "SELECT '1'"),
        ("SELECT 1", "SELECT 1.0"),
        ("SET x.y = 'a'", "SET x.y = 'b'"),
        ("SELECT 1; SET x.y = 'a'", "SELECT 1; SET x.y = 'b'"),
        ("EXPLAIN (ANALYZE 0) SELECT 1", "EXPLAIN (ANALYZE 1) SELECT 1"),
        ("COPY t TO '/tmp/a'", "COPY t TO '/tmp/b'"),
        ("SELECT current_setting('a.b')", "SELECT current_setting('transaction_read_only')"),
        ("SELECT \"current_setting\"('a.b')", "SELECT \"current_setting\"('in_hot_standby')"),
        ("SELECT U&'a'", "SELECT U&'b'"),
        ("SELECT 'a'", "SELECT \"a\""),
        ("SELECT B'1'", "SELECT '1'"),
    ];
    for (first, second) in rows {
        check(first, second, false);
    }
}

#[test]
fn a_wrong_literal_harms_nobody_else() {
    let mut cache = Cache::new(1 << 20);
    assert!(cache.get(b"SELECT E'\\u12'").unknown.is_some());
    assert_eq!(cache.get(b"SELECT E'\\u0041'").access(&()), Access::Read);
}

#[test]
fn memory_is_bounded() {
    let limit = 256 * 1024;
    let mut cache = Cache::new(limit);
    for i in 0..10_000 {
        cache.get(format!("SELECT f{i}(a), '{}' FROM table_{i}", "x".repeat(i % 700)).as_bytes());
        assert!(cache.bytes() <= limit as u64, "{i}: {}", cache.bytes());
    }
    assert!(cache.len() > 100, "{}", cache.len());
}

#[test]
fn what_is_used_often_stays() {
    let mut cache = Cache::new(256 * 1024);
    for i in 0..10_000 {
        cache.get(b"SELECT often FROM used");
        cache.get(format!("SELECT f{i}(a)").as_bytes());
    }
    let Counts { hits, misses, .. } = cache.counts();
    assert!(hits >= 9_990 && misses <= 10_010, "{hits} {misses}");
}

#[test]
fn what_takes_long_to_read_is_refused_once_for_all_of_its_form() {
    let mut cache = Cache::new(1 << 20);
    let chain = |number: &str| format!("SELECT {}1", format!("{number}+").repeat(9000));
    assert_eq!(cache.get(chain("1").as_bytes()).unknown, Some(Unknown::TooLarge));
    assert_eq!(cache.get(chain("2").as_bytes()).unknown, Some(Unknown::TooLarge));
    let list = |number: &str| format!("SELECT a FROM t WHERE a IN (1{})", number.repeat(5000));
    assert_eq!(cache.get(list(", 2").as_bytes()).access(&()), Access::Read);
    assert_eq!(cache.get(list(", 3").as_bytes()).access(&()), Access::Read);
    assert_eq!(cache.counts(), Counts { hits: 2, misses: 2, refused: 0 });
}

#[test]
fn large_texts_and_strange_encodings_are_not_read() {
    let mut cache = Cache::new(1 << 20);
    let large = format!("SELECT '{}'", "x".repeat(LARGEST_CACHED));
    assert_eq!(cache.get(large.as_bytes()).unknown, Some(Unknown::TooLarge));
    let sjis = Lexical { client_encoding: crate::ClientEncoding::Opaque, ..Lexical::default() };
    // 表 in SJIS ends in a backslash.
    let found = cache.get_in(b"SELECT E'\x95\x5c', nextval('s') --'", sjis);
    assert_eq!(found.unknown, Some(Unknown::Encoding));
    assert_eq!(cache.get_in(b"SELECT 1", sjis).access(&()), Access::Read);
    assert_eq!(cache.len(), 1);
    assert_eq!(cache.counts(), Counts { hits: 0, misses: 1, refused: 2 });
}
