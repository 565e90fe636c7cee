//! Texts made to crash or to stall. Work is bounded by counting it, so no clock is looked at here:
//! what a refused text costs is its one pass of the lexer, what an accepted one costs is bounded by
//! `LARGEST_ANALYZED` and the budget of nodes.

use super::*;
use crate::Cache;

#[track_caller]
fn understood(sql: &str) {
    assert_eq!(analyze(sql.as_bytes()).unknown, None, "{}…", &sql[..40]);
}

#[track_caller]
fn refused(sql: &[u8], why: Unknown) {
    let analysis = analyze(sql);
    assert_eq!(
        analysis.unknown,
        Some(why),
        "{}…",
        String::from_utf8_lossy(&sql[..sql.len().min(40)])
    );
    assert_eq!(analysis.access(&()), Access::Write);
    // Small ones through the cache, too.
    assert!(Cache::new(1 << 20).get(sql).unknown.is_some());
}

#[test]
fn long_chains_are_understood() {
    understood(&format!("SELECT {}1", "1+".repeat(10_000)));
    understood(&format!("SELECT 'a'{}", "||'b'".repeat(10_000)));
    understood(&format!("SELECT 1{}", "::int".repeat(10_000)));
    understood(&format!("SELECT 1{}", " UNION SELECT 1".repeat(10_000)));
    understood(&format!("SELECT * FROM t{}", " JOIN t USING (a)".repeat(10_000)));
    understood(&format!("SELECT * FROM t WHERE a{}", " AND b OR c".repeat(10_000)));
    understood(&format!("SELECT a{}", ".b".repeat(10_000)));
    understood(&format!("SELECT 1 IN ({}1)", "1,".repeat(50_000)));
    understood(&"SELECT 1;".repeat(10_000));
    understood(&format!("SELECT {} a", "NOT ".repeat(4_000)));
    understood(&format!("SELECT {}1", "- ".repeat(4_000)));
}

#[test]
fn writes_are_found_at_any_depth() {
    let deep =
        |inner: &str| format!("SELECT {}{inner}{}", "(SELECT ".repeat(1_500), ")".repeat(1_500));
    check(&deep("1"), Access::Read);
    check(&deep("nextval('s')"), Access::Write);
    check(&format!("SELECT {}nextval('s')", "1+".repeat(10_000)), Access::Write);
}

#[test]
fn nesting_beyond_the_parser_is_refused() {
    let nested = |open: &str, close: &str| {
        format!("SELECT {}1{}", open.repeat(100_000), close.repeat(100_000))
    };
    refused(nested("(", ")").as_bytes(), Unknown::Syntax);
    refused(nested("CASE WHEN a THEN ", " END").as_bytes(), Unknown::TooLarge);
    refused(nested("[", "]").as_bytes(), Unknown::Syntax);
    refused(format!("SELECT {}", "(".repeat(100_000)).as_bytes(), Unknown::Syntax);
    refused(nested("/*", "*/").as_bytes(), Unknown::TooDeep);
    refused("/*".repeat(100_000).as_bytes(), Unknown::TooDeep);
    refused(format!("SELECT 1{}", "/**/".repeat(50_000)).as_bytes(), Unknown::TooDeep);
    refused(format!("SELECT {}1", "+".repeat(50_000)).as_bytes(), Unknown::TooDeep);
}

#[test]
fn a_hundred_megabytes_are_not_even_read() {
    let large = vec![b'('; 100 << 20];
    assert_eq!(analyze(&large).unknown, Some(Unknown::TooLarge));
    assert_eq!(Cache::new(1 << 20).get(&large).unknown, Some(Unknown::TooLarge));
}

#[test]
fn nodes_that_hang_in_many_places_are_visited_in_bounds() {
    // Each level's subquery hangs below every column of its assignment.
    let mut inner = "1, 2".to_owned();
    for _ in 0..500 {
        inner = format!("WITH x AS (UPDATE t SET (a, b) = (SELECT {inner})) SELECT 1, 2");
    }
    assert_eq!(analyze(inner.as_bytes()).access(&()), Access::Write);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    refused(b"SELECT '\xff'", Unknown::Encoding);
    refused(b"SELECT \xc3", Unknown::Encoding);
    refused(b"SELECT '\xed\xa0\x80'", Unknown::Encoding);
    refused(b"SELECT 1\0; DELETE FROM t", Unknown::Encoding);
    refused(b"SELECT 'abc", Unknown::Syntax);
    refused(b"SELEC 1", Unknown::Syntax);
    refused(b"SELECT E'\\xff'", Unknown::Syntax);
}

#[test]
fn encodings_with_ascii_inside_characters_are_not_read() {
    // A character of each whose second byte is a backslash, a quote or a pipe to ASCII.
    let rows: [(&str, &[u8]); 7] = [
        ("SJIS", b"SELECT E'\x95\x5c' || nextval('s') -- '"),
        ("SHIFT_JIS_2004", b"SELECT E'\x95\x5c'"),
        ("BIG5", b"SELECT E'\xa5\x5c' || nextval('s') -- '"),
        ("GBK", b"SELECT E'\x81\x5c'"),
        ("GB18030", b"SELECT E'\x81\x5c'"),
        ("UHC", b"SELECT '\x81\x41'"),
        ("JOHAB", b"SELECT E'\x88\x5c'"),
    ];
    for (name, sql) in rows {
        let client_encoding = ClientEncoding::named(name);
        let lexical = Lexical { client_encoding, ..Lexical::default() };
        assert_eq!(analyze_in(sql, lexical).unknown, Some(Unknown::Encoding), "{name}");
        assert_eq!(analyze_in(b"SELECT 'a'", lexical).unknown, None, "{name}");
        assert_eq!(crate::directive_in(b"SELECT '\x81' /*pgherd: role=any*/", lexical), None);
    }
}

#[test]
fn encodings_that_keep_ascii_are_read() {
    for name in ["LATIN1", "WIN1252", "EUC_JP", "EUC_KR", "KOI8R", "SQL_ASCII"] {
        let client_encoding = ClientEncoding::named(name);
        let lexical = Lexical { client_encoding, ..Lexical::default() };
        let access = |sql: &[u8]| analyze_in(sql, lexical).access(&Catalog);
        assert_eq!(access(b"SELECT '\xe4\xf6' AS \xfc FROM \xa4\xa2"), Access::Read, "{name}");
        assert_eq!(access(b"SELECT '\xe4', nextval('s')"), Access::Write, "{name}");
        // A function whose name cannot be compared.
        assert_eq!(access(b"SELECT \xe4()"), Access::Write, "{name}");
    }
}

#[test]
fn old_strings_with_backslashes_are_not_read() {
    let lexical = Lexical { standard_conforming_strings: false, ..Lexical::default() };
    assert_eq!(
        analyze_in(b"SELECT 'a\\', nextval(', '') --'", lexical).unknown,
        Some(Unknown::Encoding)
    );
    assert_eq!(analyze_in(b"SELECT 'a'", lexical).unknown, None);
}
