//! Sharding keys as parameters of every type that can stand beside them.

use anyhow::Result;
use pgherd_harness::raw::frontend::{bind, describe_statement, execute, parse, sync};

use super::compare::Twins;

/// OIDs of types and a value of each that equals the key 7, or none.
const SCALARS: &[(&str, u32, &[&str])] = &[
    ("not declared", 0, &["7", " 7 ", "7.0", "x"]),
    ("int2", 21, &["7", "-7"]),
    ("int4", 23, &["7"]),
    ("int8", 20, &["7", "9223372036854775807"]),
    ("numeric", 1700, &["7", "7.00", "7.5", "NaN"]),
    ("float8", 701, &["7", "7.5", "-0"]),
    ("float4", 700, &["7"]),
    ("oid", 26, &["7"]),
    ("text", 25, &["7"]),
    ("boolean", 16, &["t"]),
];

const ARRAYS: &[(&str, u32, &[&str])] = &[
    ("not declared", 0, &["{7,8}", "{}", "{NULL,7}", "{{7},{9}}", "{\"7\"}", "7"]),
    ("int2[]", 1005, &["{7,8}"]),
    ("int4[]", 1007, &["{7,NULL}"]),
    ("int8[]", 1016, &["{7,8}", "[5:6]={7,8}"]),
    ("numeric[]", 1231, &["{7}", "{7.00,8.5}"]),
    ("float8[]", 1022, &["{7}"]),
    ("text[]", 1009, &["{7}"]),
];

fn same(twins: &mut Twins, sql: &str, (name, oid, values): (&str, u32, &[&str])) {
    for value in values {
        let bytes = [
            parse("", sql, &[oid]),
            describe_statement(""),
            bind("", "", &[Some(value.as_bytes())]),
            execute("", 0),
            sync(),
        ]
        .concat();
        twins.same(&format!("{sql} with {value} as {name}"), &bytes, 1);
    }
}

#[test]
fn a_key_is_found_whatever_its_type() -> Result<()> {
    let mut twins = Twins::start(3)?;
    for sql in [
        "SELECT id, name FROM users WHERE id = $1",
        "SELECT id, name FROM users WHERE $1 = id",
        "SELECT count(*) FROM orders WHERE user_id IN ($1, 9)",
        "SELECT count(*) FROM orders o JOIN users u ON u.id = o.user_id WHERE u.id = $1",
        "UPDATE users SET balance = balance WHERE id = $1 RETURNING id",
    ] {
        for scalar in SCALARS {
            same(&mut twins, sql, *scalar);
        }
    }
    for sql in [
        "SELECT id, name FROM users WHERE id = ANY($1) ORDER BY id",
        "SELECT count(*) FROM users WHERE id <> ALL($1)",
        "SELECT count(*) FROM orders WHERE user_id = ANY($1)",
        "DELETE FROM users WHERE id = ANY($1) AND false RETURNING id",
    ] {
        for array in ARRAYS {
            same(&mut twins, sql, *array);
        }
    }
    Ok(())
}
