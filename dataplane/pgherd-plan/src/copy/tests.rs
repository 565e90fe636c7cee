//! Data of COPY taken apart, at every border of chunks.

use expect_test::{Expect, expect};

use super::options::{CopyFormat, CopyOptions};
use super::split::{CopyError, Field, Piece, Splitter};

fn options(format: CopyFormat) -> CopyOptions {
    let csv = format == CopyFormat::Csv;
    CopyOptions {
        format,
        header: false,
        matches_header: false,
        delimiter: if csv { b',' } else { b'\t' },
        null: if csv { Vec::new() } else { b"\\N".to_vec() },
        quote: b'"',
        escape: b'"',
        encoding: None,
        force_null: Vec::new(),
        force_not_null: Vec::new(),
        force_quote: Vec::new(),
        default: None,
        skips_errors: false,
    }
}

fn pieces<'a>(
    options: &CopyOptions,
    key: usize,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<String>, CopyError> {
    let mut splitter = Splitter::new(options, Some(key), "key");
    let mut out = Vec::new();
    let mut each = |piece: Piece<'_>| {
        out.push(match piece {
            Piece::Everywhere(bytes, lines) => format!("all {} +{lines}", bytes.escape_ascii()),
            Piece::Row { bytes, key, lines, last_line, .. } => {
                let key = match key {
                    Field::Value(value) => value.escape_ascii().to_string(),
                    other => format!("{other:?}"),
                };
                format!("{last_line} +{lines} {} = {key}", bytes.escape_ascii())
            }
        });
        Ok::<(), CopyError>(())
    };
    for chunk in chunks {
        splitter.push(chunk, &mut each)?;
    }
    splitter.finish(&mut each)?;
    Ok(out)
}

/// However the data is cut, the same pieces come out, and together they are the data.
#[track_caller]
fn check(options: &CopyOptions, key: usize, data: &[u8], expected: Expect) {
    let shown = |it: Result<Vec<String>, CopyError>| match it {
        Ok(pieces) => pieces.join("\n"),
        Err(error) => format!("{} {} in line {}", error.sqlstate, error.message, error.line),
    };
    let whole = shown(pieces(options, key, [data]));
    for at in 0..=data.len() {
        let (one, other) = data.split_at(at);
        assert_eq!(shown(pieces(options, key, [one, other])), whole, "cut at {at}");
    }
    for size in [1, 2, 3, 5, 7] {
        assert_eq!(shown(pieces(options, key, data.chunks(size))), whole, "chunks of {size}");
    }
    expected.assert_eq(&whole);
}

#[test]
fn text_has_escapes() {
    let text = options(CopyFormat::Text);
    check(
        &text,
        1,
        b"a\t1\tb\n\\N\t\\N\t\\\n\\\\\t\\x41\\102\\t\\q\t\\\\\nx\n\n\ty\\\tz\n",
        expect![[r#"
            1 +1 a\t1\tb\n = 1
            2 +1 \\N\t\\N\t\\\n\\\\\t\\x41\\102\\t\\q\t\\\\\n = Null
            3 +1 x\n = Missing
            4 +1 \n = Missing
            5 +1 \ty\\\tz\n = y\tz"#]],
    );
    check(
        &text,
        0,
        b"1\n2\n\\.\nrest\n",
        expect![[r#"
        1 +1 1\n = 1
        2 +1 2\n = 2
        all \\.\n +1"#]],
    );
    check(
        &text,
        0,
        b"1\r\n2\r\n3",
        expect![[r#"
        1 +1 1\r\n = 1
        2 +1 2\r\n = 2
        3 +1 3 = 3"#]],
    );
    check(&text, 0, b"1\n2\r\n3", expect!["22P04 literal carriage return found in data in line 2"]);
    check(
        &text,
        0,
        b"1\r2\r3\r",
        expect![[r#"
        1 +1 1\r = 1
        2 +1 2\r = 2
        3 +1 3\r = 3"#]],
    );
    check(
        &text,
        0,
        b"1\na\\.\n",
        expect!["22P04 end-of-copy marker is not alone on its line in line 2"],
    );
    let odd = CopyOptions {
        header: true,
        delimiter: b'|',
        null: b"none".to_vec(),
        default: Some(b"\\D".to_vec()),
        ..text
    };
    check(
        &odd,
        1,
        b"x|key\n1|none\n2|\\D\n3|\n",
        expect![[r#"
        all x|key\n +1
        2 +1 1|none\n = Null
        3 +1 2|\\D\n = Default
        4 +1 3|\n = "#]],
    );
}

#[test]
fn csv_has_quotes() {
    let csv = options(CopyFormat::Csv);
    check(
        &csv,
        1,
        b"a,1\n\"b\nc\",\"2\"\n\"d\"\"\",\n,\"\"\n\"e,f\",\"g\"\"\nh\"i\nlast",
        expect![[r#"
            1 +1 a,1\n = 1
            3 +2 \"b\nc\",\"2\"\n = 2
            4 +1 \"d\"\"\",\n = Null
            5 +1 ,\"\"\n = 
            7 +2 \"e,f\",\"g\"\"\nh\"i\n = g\"\nhi
            8 +1 last = Missing"#]],
    );
    let other = CopyOptions {
        header: true,
        delimiter: b';',
        quote: b'\'',
        escape: b'\\',
        null: b"NULL".to_vec(),
        force_null: vec!["key".to_owned()],
        ..csv.clone()
    };
    check(
        &other,
        0,
        b"'the\r\nkey';x\r\n'a\\'b\\\\';2\r\nNULL;3\r\n'NULL';4\r\n",
        expect![[r#"
            all \'the\r\nkey\';x\r\n +2
            3 +1 \'a\\\'b\\\\\';2\r\n = a\'b\\
            4 +1 NULL;3\r\n = Null
            5 +1 \'NULL\';4\r\n = Null"#]],
    );
    let strict = CopyOptions { force_not_null: vec!["*".to_owned()], ..csv.clone() };
    check(&strict, 0, b",1\n", expect![[r#"1 +1 ,1\n = "#]]);
    check(
        &csv,
        0,
        b"1\n\\.\n",
        expect!["0A000 \\. in CSV cannot be answered over shards in line 2"],
    );
    check(&csv, 0, b"a\nb\rc\n", expect!["22P04 unquoted carriage return found in data in line 2"]);
}

#[test]
fn binary_has_lengths() {
    let mut data = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\x02xy".to_vec();
    data.extend_from_slice(b"\0\x02\0\0\0\x01a\0\0\0\x03key");
    data.extend_from_slice(b"\0\x02\0\0\0\0\xff\xff\xff\xff");
    data.extend_from_slice(b"\0\x01\0\0\0\x01z");
    data.extend_from_slice(b"\xff\xff");
    check(
        &options(CopyFormat::Binary),
        1,
        &data,
        expect![[r#"
        all PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x02xy +0
        1 +1 \x00\x02\x00\x00\x00\x01a\x00\x00\x00\x03key = key
        2 +1 \x00\x02\x00\x00\x00\x00\xff\xff\xff\xff = Null
        3 +1 \x00\x01\x00\x00\x00\x01z = Missing
        all \xff\xff +0"#]],
    );
    check(
        &options(CopyFormat::Binary),
        0,
        b"PGCOPX",
        expect!["22P04 COPY file signature not recognized in line 1"],
    );
    check(
        &options(CopyFormat::Binary),
        0,
        &data[..30],
        expect!["22P04 unexpected EOF in COPY data in line 1"],
    );
}

/// Random bytes of the formats' own characters: rows together are what came, up to an end marker.
#[test]
fn any_data_is_cut_the_same_way() {
    let mut state = 42_u64;
    let mut random = move |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap_or(0) % limit
    };
    for round in 0..4000 {
        let format = if round % 2 == 0 { CopyFormat::Text } else { CopyFormat::Csv };
        let mut options = options(format);
        options.header = random(3) == 0;
        if random(3) == 0 {
            options.escape = b'\\';
        }
        let letters = b"ab\\\\,,\t\t\"\"\n\n\r.N1";
        let data: Vec<u8> = (0..random(24)).map(|_| letters[random(letters.len())]).collect();
        let whole = pieces(&options, 1, [data.as_slice()]);
        for _ in 0..6 {
            let at = random(data.len() + 1);
            let (one, other) = data.split_at(at);
            let (two, three) = other.split_at(random(other.len() + 1));
            let cut = pieces(&options, 1, [one, two, three]);
            assert_eq!(cut, whole, "{} cut at {at}", data.escape_ascii());
        }
    }
}
