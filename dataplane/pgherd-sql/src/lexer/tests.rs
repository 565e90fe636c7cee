//! Token borders, row by row, and what the scanner must not be given.

use super::*;

fn tokens(sql: &str) -> Result<Vec<(Token, String)>, LexError> {
    let mut lexer = Lexer::new(sql.as_bytes());
    let mut found = Vec::new();
    while let Some((token, range)) = lexer.next_token()? {
        found.push((token, sql[range].to_owned()));
    }
    Ok(found)
}

/// `expected`: a letter per token, a space, the tokens separated by `|`.
#[track_caller]
fn check(sql: &str, letters: &str, expected: &[&str]) {
    let found = tokens(sql).expect(sql);
    let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, expected, "{sql}");
    let kinds: String = found
        .iter()
        .map(|(token, _)| match token {
            Token::Word => 'w',
            Token::Quoted => 'q',
            Token::String => 's',
            Token::Bits => 'b',
            Token::Unicode => 'u',
            Token::Integer => 'i',
            Token::Decimal => 'd',
            Token::Parameter => 'p',
            Token::Semicolon => ';',
            Token::Other => 'o',
            Token::Comment => 'c',
        })
        .collect();
    assert_eq!(kinds, letters, "{sql}");
}

#[test]
fn strings_end_where_postgres_ends_them() {
    check("'a''b' 'c'", "ss", &["'a''b'", "'c'"]);
    check("'a'\n 'b'", "s", &["'a'\n 'b'"]);
    check("'a' -- x\n --y\n'b'c", "sw", &["'a' -- x\n --y\n'b'", "c"]);
    check("'a' /* \n */ 'b'", "scs", &["'a'", "/* \n */", "'b'"]);
    check("'a\\' b", "sw", &["'a\\'", "b"]);
    check("E'a\\'b' e'\\\\'", "ss", &["E'a\\'b'", "e'\\\\'"]);
    check("E'a'\n'\\'b'", "s", &["E'a'\n'\\'b'"]);
    check("N'a' B'01' x'1F'\n'2'", "wsbb", &["N", "'a'", "B'01'", "x'1F'\n'2'"]);
    check("U&'a''b' u&\"c\"\"d\" U&x", "uuwow", &["U&'a''b'", "u&\"c\"\"d\"", "U", "&", "x"]);
    check("$$a'$b$$ $x$ $$ $y$ $x$", "ss", &["$$a'$b$$", "$x$ $$ $y$ $x$"]);
    check("a$$b $1 $ü$'$ü$", "wps", &["a$$b", "$1", "$ü$'$ü$"]);
}

#[test]
fn names_and_comments_end_where_postgres_ends_them() {
    check("\"a\"\"b\" c$1 _é", "qww", &["\"a\"\"b\"", "c$1", "_é"]);
    check("a--b'\n'c'", "wcs", &["a", "--b'", "'c'"]);
    check("/* /* ' */ */ 1", "ci", &["/* /* ' */ */", "1"]);
    check("/*/ */*/**/", "coc", &["/*/ */", "*", "/**/"]);
    check("a+--x\n-b", "wocow", &["a", "+", "--x", "-", "b"]);
    check("a<=/**/b;", "wocw;", &["a", "<=", "/**/", "b", ";"]);
}

#[test]
fn numbers_end_where_postgres_ends_them() {
    check(
        "1 -1 1.5 .5 1. 1e5 1.e-5",
        "ioiddddd",
        &["1", "-", "1", "1.5", ".5", "1.", "1e5", "1.e-5"],
    );
    check("1_000 0x1F 0b1_0 0o_17", "iiii", &["1_000", "0x1F", "0b1_0", "0o_17"]);
    check("2147483647 2147483648 0xFFFFFFFF", "idd", &["2147483647", "2147483648", "0xFFFFFFFF"]);
    check("1..2 1...2", "ioiiod", &["1", "..", "2", "1", "..", ".2"]);
    check("99999999999999999999999999", "d", &["99999999999999999999999999"]);
}

#[test]
fn what_has_no_end_is_malformed() {
    for sql in
        ["'a", "E'a\\", "E'a\\'", "\"a", "$x$ $$", "/* /* */", "B'1", "1a", "1_", "0x", "$1a"]
    {
        assert_eq!(tokens(sql), Err(LexError::Malformed), "{sql}");
    }
}

#[test]
fn what_costs_the_scanner_too_much_is_refused() {
    let rows = [
        "/*".repeat(100_000),
        "/**/".repeat(100_000),
        "+/**/".repeat(100_000),
        "+".repeat(100_000),
        format!("{}{}", "/*".repeat(65), "*/".repeat(65)),
    ];
    for sql in rows {
        assert_eq!(tokens(&sql), Err(LexError::TooDeep), "{}", &sql[..10]);
    }
    // What people do write.
    let banner = format!("/*{}*/ SELECT 1 {}\n", "*".repeat(5_000), "-".repeat(5_000));
    let many = "/* c */ ".repeat(10_000);
    let nested = format!("{}x{}", "/* ".repeat(60), "*/".repeat(60));
    for sql in [banner, many, nested] {
        assert!(tokens(&sql).is_ok(), "{}", &sql[..20]);
    }
}
