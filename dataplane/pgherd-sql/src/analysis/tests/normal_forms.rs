//! The property that the cache stands on: texts with one normal form have one analysis.

use proptest::prelude::*;

use super::*;
use crate::normal::normalise;

/// Pieces that statements are made of: literals in each place where the grammar takes some.
fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        (0u64..5_000_000_000).prop_map(|it| it.to_string()),
        "[0-9]{1,3}_[0-9]{3}",
        "0x[0-9a-f]{1,10}",
        "[0-9]{0,3}\\.[0-9]{1,3}(e[0-9])?",
        "'[a-z0-9_ ;()]{0,8}'",
        Just("'it''s'".to_owned()),
        "E'[a-z]{0,3}(\\\\'|\\\\n|\\\\\\\\)?'",
        "\\$[a-z]?\\$[a-z' ]{0,5}\\$[a-z]?\\$".prop_filter("one tag", |it| {
            let mut tags = it.split('$').skip(1).step_by(2);
            tags.next() == tags.next()
        }),
        "'[a-z]{0,3}'( |--[a-z' ]{0,4})?\n'[a-z]{0,3}'",
        "B'[01]{1,4}'",
        Just("'transaction_read_only'".to_owned()),
        Just("'off'".to_owned()),
    ]
}

const SHAPES: &[&str] = &[
    "SELECT # FROM t WHERE a = # AND b IN (#, #)",
    "SELECT f(#), nextval(#), now() - INTERVAL '1 day' LIMIT #",
    "SELECT current_setting(#), set_config(#, #, true)",
    "SELECT \"Set_Config\"(#), \"set_config\"(#, #, true)",
    "SELECT a::numeric(#, 2), b::float(#), c::char(#) /* # */ FROM t -- #\n",
    "INSERT INTO t VALUES (#, -#), (#, NULL) ON CONFLICT DO NOTHING",
    "UPDATE t SET a = #, b[#] = # WHERE c LIKE # ESCAPE #",
    "SET x.y = #",
    "SELECT #; SET x.y = #; SELECT #",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT #",
    "EXPLAIN (ANALYZE #) SELECT #",
    "SHOW x.y; SELECT #",
    "COPY (SELECT #) TO STDOUT WITH (DELIMITER #)",
    "COPY t TO #",
    "PREPARE x AS SELECT #",
    "EXECUTE x(#, #)",
    "PREPARE TRANSACTION #",
    "NOTIFY x, #",
    "BEGIN; SELECT #; COMMIT",
    "DECLARE c CURSOR FOR SELECT #",
    "FETCH # FROM c",
    "DO #",
    "CALL p(#)",
    "CREATE TABLE x AS SELECT #",
    "(SELECT # UNION SELECT #) ORDER BY #",
    "WITH x AS (SELECT #) SELECT * FROM x FETCH FIRST # ROWS ONLY",
    "SELECT # AT TIME ZONE #, DATE #, EXTRACT(# FROM x), # + #",
    "MERGE INTO t USING u ON a = # WHEN MATCHED THEN UPDATE SET b = #",
    "SELECT U&#, U&\"a\" UESCAPE #",
];

fn text() -> impl Strategy<Value = (usize, Vec<String>, Vec<String>)> {
    let literals = || prop::collection::vec(literal(), 5);
    (0..SHAPES.len(), literals(), literals())
}

fn filled(shape: &str, literals: &[String]) -> String {
    let mut literals = literals.iter().cycle();
    shape.split('#').fold(String::new(), |mut text, piece| {
        if !text.is_empty() {
            text.push_str(literals.next().map_or("", String::as_str));
        }
        text.push_str(piece);
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_form_one_analysis((shape, first, second) in text()) {
        let (first, second) = (filled(SHAPES[shape], &first), filled(SHAPES[shape], &second));
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let same = normalise(first.as_bytes(), &mut one)
            && normalise(second.as_bytes(), &mut two)
            && one == two;
        let (first, second) = (analyze(first.as_bytes()), analyze(second.as_bytes()));
        // What the parser refuses is not cached by its form.
        if same && first.unknown.is_none() && second.unknown.is_none() {
            prop_assert_eq!(first, second);
        }
    }

    /// The lexer and Postgres's scanner agree where literals are: another literal in each place
    /// that the lexer names keeps the text valid.
    #[test]
    fn literals_are_where_the_parser_sees_them((shape, first, _) in text()) {
        let text = filled(SHAPES[shape], &first);
        let mut form = Vec::new();
        let analysis = analyze(text.as_bytes());
        if analysis.unknown.is_none() && normalise(text.as_bytes(), &mut form) {
            let form = String::from_utf8(form).expect("only ASCII was put in");
            let refilled = form
                .replace("\0s", "'x'")
                .replace("\0b", "B'1'")
                .replace("\0i", "1")
                .replace("\0d", "1.5");
            let again = analyze(refilled.as_bytes());
            prop_assert_eq!(again, analysis, "{} as {}", text, refilled);
        }
    }

    #[test]
    fn nothing_panics(text in "\\PC{0,60}") {
        let analysis = analyze(text.as_bytes());
        let mut form = Vec::new();
        normalise(text.as_bytes(), &mut form);
        crate::directive(text.as_bytes());
        crate::command(text.as_bytes());
        prop_assert!(analysis.unknown.is_some() || analysis.statements.len() <= text.len());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), pieces in "[sSeEtTuU&'\"$ax/*;0-9._\\\\ \n-]{0,40}") {
        let mut form = Vec::new();
        for sql in [bytes.as_slice(), pieces.as_bytes()] {
            let analysis = analyze(sql);
            normalise(sql, &mut form);
            crate::directive(sql);
            crate::command(sql);
            prop_assert!(analysis.unknown.is_some() || analysis.statements.len() <= sql.len());
        }
    }
}
