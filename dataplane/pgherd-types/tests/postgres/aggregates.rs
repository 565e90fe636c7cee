//! Aggregates of shards, merged, against those of all rows at once.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use pgherd_types::aggregate::{Argument, Call, Merge, OrderItem};
use pgherd_types::{Collation, Collations, Comparator, Format, Settings, SortOrder, Type, Value};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::generate::{self, ORDERED};
use crate::server::{Server, quoted, random};

const SHARDS: usize = 3;
const ROWS: usize = 1200;

/// A call: function, arguments, what stands in ORDER BY within it.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

/// Results are the same text.
const EXACT: &[Row] = &[
    ("count", &[], &[]),
    ("count", &["n"], &[]),
    ("sum", &["i2"], &[]),
    ("sum", &["i4"], &[]),
    ("sum", &["i8"], &[]),
    ("sum", &["n"], &[]),
    ("sum", &["clean"], &[]),
    ("sum", &["m"], &[]),
    ("sum", &["iv"], &[]),
    // Quarters: their sums are exact in any order.
    ("sum", &["f4"], &[]),
    ("sum", &["f8"], &[]),
    ("avg", &["i2"], &[]),
    ("avg", &["i4"], &[]),
    ("avg", &["i8"], &[]),
    ("avg", &["n"], &[]),
    ("avg", &["clean"], &[]),
    ("avg", &["f4"], &[]),
    ("avg", &["f8"], &[]),
    ("avg", &["iv"], &[]),
    ("min", &["i4"], &[]),
    ("max", &["i4 % 7"], &[]),
    ("bool_and", &["i4 > -5"], &[]),
    ("bool_or", &["i4 > 1000"], &[]),
    ("every", &["b"], &[]),
    ("bit_and", &["i2"], &[]),
    ("bit_or", &["i4"], &[]),
    ("bit_or", &["bits"], &[]),
    ("bit_and", &["bits"], &[]),
    ("variance", &["i2"], &[]),
    ("var_pop", &["i4"], &[]),
    ("stddev", &["i8"], &[]),
    ("stddev_pop", &["n"], &[]),
    ("stddev_samp", &["clean"], &[]),
    ("var_samp", &["clean"], &[]),
    ("variance", &["1"], &[]),
    ("regr_count", &["f4", "f8"], &[]),
    ("array_agg", &["t"], &["t", "id"]),
    ("array_agg", &["clean"], &["i4 desc", "id"]),
    ("array_agg", &["i4"], &["clean desc nulls last", "id"]),
    ("string_agg", &["t", "', '"], &["t desc", "id"]),
    ("string_agg", &["t", "t"], &["id"]),
    ("string_agg", &["convert_to(t, 'UTF8')", "'\\x00'::bytea"], &["id"]),
    ("json_agg", &["n"], &["id"]),
    ("json_agg", &["ts"], &["id"]),
    ("json_agg", &["ARRAY[i4, i2]"], &["id"]),
    ("json_agg", &["t"], &["id"]),
    ("jsonb_agg", &["clean"], &["id"]),
    ("jsonb_agg", &["t"], &["id"]),
    ("json_object_agg", &["id", "t"], &["id"]),
    ("json_object_agg", &["coalesce(ts, '2020-01-01Z')", "ARRAY[i4]"], &["id"]),
    ("jsonb_object_agg", &["coalesce(i2, 0)", "t"], &["id"]),
];

/// Results differ by rounding, as they do in one Postgres when the order of rows differs.
const NEARLY: &[Row] = &[
    ("variance", &["f8"], &[]),
    ("stddev_pop", &["f4"], &[]),
    ("stddev", &["f8 / 3"], &[]),
    ("corr", &["f8", "f4"], &[]),
    ("covar_pop", &["f8", "f4"], &[]),
    ("covar_samp", &["f8", "f4"], &[]),
    ("regr_sxx", &["f8", "f4"], &[]),
    ("regr_syy", &["f8", "f4"], &[]),
    ("regr_sxy", &["f8", "f4"], &[]),
    ("regr_avgx", &["f8", "f4"], &[]),
    ("regr_avgy", &["f8", "f4"], &[]),
    ("regr_r2", &["f8", "f4"], &[]),
    ("regr_slope", &["f8", "f4"], &[]),
    ("regr_intercept", &["f8", "f4"], &[]),
];

const DISTINCT: &[Row] = &[
    ("count", &["i2 % 5"], &[]),
    ("count", &["t"], &[]),
    ("sum", &["i2"], &[]),
    ("sum", &["i8"], &[]),
    ("avg", &["i4 % 9"], &[]),
    ("sum", &["trunc(clean)"], &[]),
    ("max", &["i4"], &[]),
    ("array_agg", &["i2 % 7"], &[]),
    ("array_agg", &["t"], &["t desc"]),
    ("string_agg", &["t", "'; '"], &["t"]),
];

/// With `WITHIN GROUP`.
const ORDERED_SETS: &[Row] = &[
    ("mode", &[], &["i2 % 7"]),
    ("mode", &[], &["t desc"]),
    ("percentile_disc", &["0.5"], &["i4"]),
    ("percentile_disc", &["0"], &["t"]),
    ("percentile_disc", &["1"], &["ts desc"]),
    ("percentile_disc", &["g / 1000.0"], &["i8"]),
    ("percentile_cont", &["0.5"], &["i4"]),
    ("percentile_cont", &["0.31"], &["f8 desc"]),
    ("percentile_cont", &["0.9"], &["clean"]),
    ("percentile_cont", &["NULL"], &["f4"]),
];

/// A table whose rows say which shard they are on, with groups that only some shards have.
fn fill(server: &mut Server, random: &mut StdRng) -> Result<()> {
    let rows: Vec<String> = (0..ROWS).map(|id| values(random, id)).collect();
    server.rows(&format!(
        "SET timezone = 'UTC'; CREATE TABLE r (id int, shard int, g int, i2 int2, i4 int4, i8 int8, \
         n numeric, clean numeric, m money, iv interval, f4 float4, f8 float8, b bool, bits bit(7), \
         t text, ts timestamptz); INSERT INTO r VALUES {}",
        rows.join(",")
    ))?;
    Ok(())
}

fn values(random: &mut StdRng, id: usize) -> String {
    let shard = random.random_range(0..SHARDS);
    // The last groups are small: one row, or none but NULLs, or on one shard only.
    let g = if random.random_range(0..20) == 0 {
        10 + random.random_range(0..20) + 100 * shard
    } else {
        random.random_range(0..5)
    };
    let mut cells = vec![id.to_string(), shard.to_string(), g.to_string()];
    let mut cell = |random: &mut StdRng, text: String| {
        let null = random.random_range(0..6) == 0 || g % 10 == 4 && g > 10;
        cells.push(if null { "NULL".to_owned() } else { quoted(&text) });
    };
    let quarter = |random: &mut StdRng| f64::from(random.random_range(-4000..4000)) / 4.0;
    let text = generate::integer(random, 16).to_string();
    cell(random, text);
    let text = (generate::integer(random, 32) / 2).to_string();
    cell(random, text);
    let text = generate::integer(random, 64).to_string();
    cell(random, text);
    let text = generate::numeric(random);
    cell(random, text);
    let text = loop {
        let text = generate::numeric(random);
        if text != "NaN" {
            break text;
        }
    };
    cell(random, text);
    let text = format!("{}.50", random.random_range(-99999..99999));
    cell(random, text);
    let text = generate::interval(random);
    cell(random, text);
    let text = quarter(random).to_string();
    cell(random, text);
    let text = quarter(random).to_string();
    cell(random, text);
    let text = random.random::<bool>().to_string();
    cell(random, text);
    let text = format!("{:07b}", random.random_range(0..128));
    cell(random, text);
    let text = generate::pick(random, &["a", "b", "B", "é", "", "x\"y", "z\\"]);
    cell(random, text);
    let text =
        format!("2024-01-0{} 00:00:00.{}+00", random.random_range(1..9), random.random_range(0..9));
    cell(random, text);
    format!("({})", cells.join(","))
}

/// The type of an expression over the table.
fn type_of(server: &mut Server, expression: &str) -> Result<Type> {
    let oid =
        server.client.value(&format!("SELECT pg_typeof({expression})::oid FROM r LIMIT 1"))?;
    Ok(server.catalog.get(oid.parse()?)?)
}

fn order_item(server: &mut Server, text: &str) -> Result<OrderItem> {
    let sql = text.split(" desc").next().unwrap_or_default().to_owned();
    let descending = text.contains(" desc");
    let data_type = type_of(server, &sql)?;
    let comparator = Comparator::new(&data_type, &Collation::Bytes, &Collations::bytes())?;
    let nulls_first = descending && !text.contains("nulls last");
    let order = SortOrder { comparator, descending, nulls_first };
    Ok(OrderItem { key: Argument { sql, data_type }, order })
}

fn decode(data_type: &Type, text: &str) -> Result<Option<Value>> {
    let raw = Bytes::from(text.to_owned());
    let value =
        (text != "NULL").then(|| data_type.decode(Format::Text, &raw, &Settings::default()));
    value.transpose().with_context(|| format!("{} {text}", data_type.name()))
}

/// By group: what one Postgres says, and what the shards' answers become.
fn both(
    server: &mut Server,
    row: &Row,
    filter: Option<&str>,
    distinct: bool,
) -> Result<Vec<(String, String)>> {
    let (function, arguments, order_by) = row;
    let word = if distinct { "DISTINCT " } else { "" };
    let inner = if arguments.is_empty() { "*".to_owned() } else { arguments.join(", ") };
    let order = if order_by.is_empty() {
        String::new()
    } else {
        format!(" ORDER BY {}", order_by.join(", "))
    };
    let condition = filter.map(|it| format!(" FILTER (WHERE {it})")).unwrap_or_default();
    let whole = if ORDERED_SETS.contains(row) {
        let inner = arguments.join(", ");
        format!("{function}({inner}) WITHIN GROUP ({}){condition}", order.trim_start())
    } else {
        format!("{function}({word}{inner}{order}){condition}")
    };
    let result = type_of_aggregate(server, &whole)?;
    let arguments = arguments
        .iter()
        .map(|sql| Ok(Argument { sql: (*sql).to_owned(), data_type: type_of(server, sql)? }));
    let arguments = arguments.collect::<Result<Vec<_>>>()?;
    let order_by = order_by.iter().map(|it| order_item(server, it)).collect::<Result<_>>()?;
    let merge = Merge::new(&Call {
        function: (*function).to_owned(),
        arguments,
        filter: filter.map(str::to_owned),
        distinct,
        order_by,
        collation: Collation::Bytes,
        collations: Collations::bytes(),
        result: result.clone(),
    })?;
    ensure!(
        merge.result().oid() == result.oid(),
        "{} instead of {}",
        merge.result().name(),
        result.name()
    );
    let expected = server.rows(&format!("SELECT g, {whole} FROM r GROUP BY g ORDER BY g"))?;
    let mut groups: Vec<_> = expected.iter().map(|_| merge.start()).collect();
    let partials: Vec<&str> = merge.partials().iter().map(|it| it.sql.as_str()).collect();
    for shard in 0..SHARDS {
        let sql =
            format!("SELECT g, {} FROM r WHERE shard = {shard} GROUP BY g", partials.join(", "));
        for row in server.rows(&sql)? {
            let place = expected.iter().position(|it| it[0] == row[0]).context("no such group")?;
            let values = merge.partials().iter().zip(row.iter().skip(1));
            let values = values.map(|(partial, text)| decode(&partial.data_type, text));
            groups[place].add(&values.collect::<Result<Vec<_>>>()?)?;
        }
    }
    expected
        .into_iter()
        .zip(groups)
        .map(|(row, group)| {
            let mut text = Vec::new();
            match group.finish()? {
                None => text.extend_from_slice(b"NULL"),
                Some(value) => {
                    merge.result().encode(Format::Text, &value, &Settings::default(), &mut text)?;
                }
            }
            Ok((row[1].clone(), String::from_utf8(text)?))
        })
        .collect()
}

fn type_of_aggregate(server: &mut Server, call: &str) -> Result<Type> {
    let oid =
        server.client.value(&format!("SELECT pg_typeof({call})::oid FROM r GROUP BY g LIMIT 1"))?;
    Ok(server.catalog.get(oid.parse()?)?)
}

fn check(
    rows: &[Row],
    filter: Option<&str>,
    distinct: bool,
    same: fn(&str, &str) -> bool,
) -> Result<()> {
    let mut server = Server::start()?;
    let mut random = random()?;
    fill(&mut server, &mut random)?;
    for row in rows {
        let context = || format!("{row:?} {filter:?}");
        for (expected, ours) in both(&mut server, row, filter, distinct).with_context(context)? {
            ensure!(same(&expected, &ours), "{}: {ours} instead of {expected}", context());
        }
    }
    Ok(())
}

#[test]
fn merged_aggregates_are_those_of_all_rows() -> Result<()> {
    check(EXACT, None, false, |a, b| a == b)
}

#[test]
fn filters_hold_on_each_shard() -> Result<()> {
    check(EXACT, Some("i4 > 100 OR t = 'a'"), false, |a, b| a == b)
}

#[test]
fn distinct_values_of_several_shards_count_once() -> Result<()> {
    check(DISTINCT, None, true, |a, b| a == b)
}

#[test]
fn ordered_sets_are_taken_from_the_values_of_all_shards() -> Result<()> {
    check(ORDERED_SETS, None, false, |a, b| a == b)?;
    check(ORDERED_SETS, Some("i2 > 0"), false, |a, b| a == b)
}

#[test]
fn floating_point_differs_by_rounding_only() -> Result<()> {
    check(NEARLY, None, false, |a, b| {
        let (Ok(x), Ok(y)) = (a.parse::<f64>(), b.parse::<f64>()) else { return a == b };
        a == b || (x - y).abs() <= 1e-9 * x.abs().max(1e-3)
    })
}

#[test]
fn the_extreme_of_every_type_is_postgres_own() -> Result<()> {
    let mut server = Server::start()?;
    server.client.simple("SET timezone = 'UTC'")?;
    let mut random = random()?;
    let major = server.major();
    for row in ORDERED.iter().filter(|row| row.since <= major) {
        // Is there such a function at all, and one spelling of each value?
        let known =
            server.rows(&format!("SELECT max(x::{}) FROM (SELECT NULL::text x) s", row.name));
        let unclear =
            ["interval", "numeric", "float4", "float8", "jsonb", "amounts", "char(6)", "timetz"];
        if known.is_err() || unclear.contains(&row.name) || row.name.starts_with("jsonb") {
            continue;
        }
        let texts: Vec<String> = (0..200).map(|_| quoted(&(row.generate)(&mut random))).collect();
        server.rows(&format!(
            "DROP TABLE IF EXISTS r; CREATE TABLE r (shard int, g int, v {}); \
             INSERT INTO r SELECT random() * 2, 1, x::{} FROM unnest(ARRAY[{}]) x",
            row.name,
            row.name,
            texts.join(",")
        ))?;
        for function in ["min", "max"] {
            let row = (function, &["v"][..], &[][..]);
            let rows = both(&mut server, &row, None, false).with_context(|| format!("{row:?}"))?;
            for (expected, ours) in rows {
                ensure!(expected == ours, "{row:?}: {ours} instead of {expected}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_null_key_is_the_servers_own_error() -> Result<()> {
    let mut server = Server::start()?;
    fill(&mut server, &mut random()?)?;
    for function in ["json_object_agg", "jsonb_object_agg"] {
        let call = Call {
            function: function.to_owned(),
            arguments: vec![
                Argument { sql: "i2".to_owned(), data_type: server.data_type("int2")? },
                Argument { sql: "t".to_owned(), data_type: server.data_type("text")? },
            ],
            filter: None,
            distinct: false,
            order_by: Vec::new(),
            collation: Collation::Bytes,
            collations: Collations::bytes(),
            result: server.data_type("json")?,
        };
        let merge = Merge::new(&call)?;
        let partials: Vec<&str> = merge.partials().iter().map(|it| it.sql.as_str()).collect();
        let error = |sql: &str, server: &mut Server| {
            let answer = server.client.simple(&format!("SELECT {sql} FROM r"));
            answer.map(|messages| format!("{:?}", messages.iter().find(|it| it.tag == b'E')))
        };
        let whole = error(&format!("{function}(i2, t)"), &mut server)?;
        ensure!(whole.contains("null"), "{whole}");
        ensure!(error(&partials.join(", "), &mut server)? == whole);
    }
    Ok(())
}

#[test]
fn an_unknown_aggregate_is_refused_by_name() -> Result<()> {
    let text = Type::named("text").context("text")?;
    let call = Call {
        function: "sum".to_owned(),
        arguments: vec![Argument { sql: "t".to_owned(), data_type: text.clone() }],
        filter: None,
        distinct: false,
        order_by: Vec::new(),
        collation: Collation::Bytes,
        collations: Collations::bytes(),
        result: text,
    };
    let error = Merge::new(&call).err().context("sum(text)")?;
    ensure!(error.to_string() == "sum(text) cannot be merged over shards", "{error}");
    ensure!(error.sqlstate() == "0A000");
    let call = Call { function: "rank".to_owned(), ..call };
    ensure!(Merge::new(&call).is_err());
    Ok(())
}
