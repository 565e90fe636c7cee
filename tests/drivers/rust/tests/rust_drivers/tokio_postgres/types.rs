//! Every type in binary against the server's own text, and the types that the driver looks up.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::SystemTime;

use anyhow::{Context, Result};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use postgres_types::{FromSql, ToSql};
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::fixture::{connect, show, unique};

/// The value goes there in binary and comes back in binary and as the server's text.
async fn check<T>(client: &Client, sql_type: &str, value: T, text: &str) -> Result<()>
where
    T: ToSql + Sync + PartialEq + std::fmt::Debug + for<'a> FromSql<'a>,
{
    let row = client
        .query_one(&format!("SELECT $1::{sql_type}, $1::{sql_type}::text"), &[&value])
        .await
        .with_context(|| sql_type.to_owned())?;
    assert_eq!(row.try_get::<_, T>(0)?, value, "{sql_type} in binary");
    assert_eq!(row.get::<_, &str>(1), text, "{sql_type} as text");
    // The simple protocol has text only.
    let literal = text.replace('\'', "''");
    let shown = show(client, &format!("SELECT '{literal}'::{sql_type}")).await?;
    assert_eq!(shown, text, "{sql_type} in the simple protocol");

    let none: Option<T> = None;
    let row = client.query_one(&format!("SELECT $1::{sql_type} IS NULL, $1"), &[&none]).await?;
    assert!(row.get::<_, bool>(0), "NULL as {sql_type}");
    assert_eq!(row.try_get::<_, Option<T>>(1)?, None);
    Ok(())
}

#[tokio::test]
async fn numbers() -> Result<()> {
    let client = connect().await?;
    client.batch_execute("SET extra_float_digits = 1").await?;
    check(&client, "int2", i16::MIN, "-32768").await?;
    check(&client, "int4", i32::MAX, "2147483647").await?;
    check(&client, "int8", i64::MIN, "-9223372036854775808").await?;
    check(&client, "oid", u32::MAX, "4294967295").await?;
    check(&client, "float4", 0.1_f32, "0.1").await?;
    check(&client, "float8", -1e-300_f64, "-1e-300").await?;
    check(&client, "float8", f64::INFINITY, "Infinity").await?;
    check(&client, "\"char\"", b'x'.cast_signed(), "x").await
}

#[tokio::test]
async fn texts_and_bytes() -> Result<()> {
    let client = connect().await?;
    let odd = "it's \"quoted\" \\ and ünïcödé 🐘\n\ttoo";
    check(&client, "text", odd.to_owned(), odd).await?;
    check(&client, "varchar(40)", odd.to_owned(), odd).await?;
    check(&client, "name", "a name".to_owned(), "a name").await?;
    check(&client, "text", String::new(), "").await?;
    check(&client, "bytea", vec![0_u8, 1, 0xfe, 0xff], "\\x0001feff").await?;
    let row = client.query_one("SELECT $1::char(5)", &[&"ab"]).await?;
    assert_eq!(row.get::<_, &str>(0), "ab   ");
    Ok(())
}

#[tokio::test]
async fn times() -> Result<()> {
    let client = connect().await?;
    client.batch_execute("SET TIME ZONE 'UTC'; SET DateStyle = 'ISO, MDY'").await?;
    let date = NaiveDate::from_ymd_opt(2024, 2, 29).context("a day")?;
    let time = NaiveTime::from_hms_micro_opt(23, 59, 59, 123_456).context("a time")?;
    let moment = NaiveDateTime::new(date, time);
    check(&client, "date", date, "2024-02-29").await?;
    check(&client, "time", time, "23:59:59.123456").await?;
    check(&client, "timestamp", moment, "2024-02-29 23:59:59.123456").await?;
    let zoned: DateTime<Utc> = moment.and_utc();
    check(&client, "timestamptz", zoned, "2024-02-29 23:59:59.123456+00").await?;
    let row = client.query_one("SELECT '2000-01-01 00:00:01Z'::timestamptz", &[]).await?;
    assert_eq!(DateTime::<Utc>::from(row.get::<_, SystemTime>(0)).timestamp(), 946_684_801);
    Ok(())
}

#[tokio::test]
async fn structured() -> Result<()> {
    let client = connect().await?;
    assert!(client.query_one("SELECT $1::bool", &[&true]).await?.get::<_, bool>(0));
    assert_eq!(show(&client, "SELECT false").await?, "f");
    let document: Value = json!({ "a": [1, null, "x"], "b": { "c": 1.5 } });
    check(&client, "jsonb", document.clone(), r#"{"a": [1, null, "x"], "b": {"c": 1.5}}"#).await?;
    check(&client, "json", document.clone(), &document.to_string()).await?;
    let id = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    check(&client, "uuid", id, "01234567-89ab-cdef-0123-456789abcdef").await?;
    let address: IpAddr = "2001:db8::1".parse()?;
    let row = client.query_one("SELECT $1::inet, host($1)", &[&address]).await?;
    assert_eq!((row.get::<_, IpAddr>(0), row.get::<_, &str>(1)), (address, "2001:db8::1"));
    Ok(())
}

#[tokio::test]
async fn arrays() -> Result<()> {
    let client = connect().await?;
    check(&client, "int4[]", vec![1, -2, 3], "{1,-2,3}").await?;
    check(&client, "int4[]", Vec::<i32>::new(), "{}").await?;
    let words = vec![Some("a b".to_owned()), None, Some("\"".to_owned())];
    check(&client, "text[]", words, r#"{"a b",NULL,"\""}"#).await?;
    check(&client, "bytea[]", vec![vec![0_u8], vec![255]], r#"{"\\x00","\\xff"}"#).await?;
    let rows = client
        .query("SELECT n FROM generate_series(1, 9) n WHERE n = ANY ($1)", &[&vec![2, 4, 10]])
        .await?;
    assert_eq!(crate::fixture::column::<i32>(&rows), [2, 4]);
    Ok(())
}

#[derive(Debug, PartialEq, ToSql, FromSql)]
enum Mood {
    #[postgres(name = "sad")]
    Sad,
    #[postgres(name = "happy")]
    Happy,
}

#[derive(Debug, PartialEq, ToSql, FromSql)]
struct Item {
    name: String,
    price: i32,
    mood: Mood,
}

/// The driver asks `pg_type`, `pg_enum` and `pg_attribute` while it prepares, in statements of its
/// own that it keeps: the statement asked for waits for them.
#[tokio::test]
async fn types_that_the_driver_looks_up() -> Result<()> {
    let client = connect().await?;
    let schema = unique("types");
    client
        .batch_execute(&format!(
            "CREATE SCHEMA {schema}; SET search_path = {schema}; \
             CREATE TYPE \"Mood\" AS ENUM ('sad', 'happy'); \
             CREATE TYPE \"Item\" AS (name text, price int, mood \"Mood\"); \
             CREATE DOMAIN positive AS int CHECK (value > 0); \
             CREATE TABLE stock (id positive, item \"Item\", moods \"Mood\"[], range int4range)"
        ))
        .await?;
    let lamp = Item { name: "lamp, \"big\"".to_owned(), price: 30, mood: Mood::Happy };
    let moods = vec![Mood::Sad, Mood::Happy];
    let insert = client.prepare("INSERT INTO stock VALUES ($1::int, $2, $3)").await?;
    assert_eq!(client.execute(&insert, &[&1, &lamp, &moods]).await?, 1);
    let select = client.prepare("SELECT id, item, moods, range, item::text FROM stock").await?;
    let kinds: Vec<_> = select.columns().iter().map(|it| it.type_().name().to_owned()).collect();
    assert_eq!(kinds, ["int4", "Item", "_Mood", "int4range", "text"]);
    let row = client.query_one(&select, &[]).await?;
    assert_eq!(row.get::<_, Item>(1), lamp);
    assert_eq!(row.get::<_, Vec<Mood>>(2), moods);
    assert_eq!(row.get::<_, &str>(4), r#"("lamp, ""big""",30,happy)"#);
    let broken = client.execute(&insert, &[&-1, &lamp, &moods]).await;
    assert_eq!(crate::fixture::code(broken), "23514");

    // After this the driver looks everything up anew.
    client.clear_type_cache();
    let again = client.prepare("SELECT item, moods FROM stock WHERE item IS NOT NULL").await?;
    assert_eq!(client.query_one(&again, &[]).await?.get::<_, Item>(0), lamp);
    client.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await?;
    Ok(())
}

/// All that Postgres has, as its own text: nothing is lost on the way.
#[tokio::test]
async fn every_type_as_text() -> Result<()> {
    let client = connect().await?;
    client.batch_execute("SET TIME ZONE 'UTC'; SET IntervalStyle = 'postgres'").await?;
    let values: HashMap<&str, &str> = HashMap::from([
        ("numeric", "-12345678901234567890.0123456789"),
        ("numeric(10,2)", "NaN"),
        ("money", "$1,234.50"),
        ("interval", "1 year 2 mons -3 days +04:05:06.789"),
        ("timetz", "12:34:56+05:30"),
        ("cidr", "10.1.0.0/16"),
        ("macaddr8", "08:00:2b:01:02:03:04:05"),
        ("bit(5)", "10110"),
        ("varbit", "101"),
        ("point", "(1.5,-2)"),
        ("polygon", "((0,0),(1,1),(1,0))"),
        ("circle", "<(1,2),3>"),
        ("tsvector", "'a':1 'cat':2,5B"),
        ("tsquery", "'fat' & ( 'rat' | 'cat' )"),
        ("int4range", "[1,10)"),
        ("int4multirange", "{[1,3),[5,7)}"),
        ("tstzrange", "[\"2024-01-01 00:00:00+00\",)"),
        ("xml", "<a>b</a>"),
        ("jsonpath", "$.\"a\"[*]"),
        ("pg_lsn", "16/B374D848"),
        ("xid8", "18446744073709551615"),
        ("tid", "(0,1)"),
        ("regclass", "pg_class"),
        ("int4[]", "[0:1]={1,2}"),
        ("text[][]", "{{a,b},{c,NULL}}"),
    ]);
    for (sql_type, text) in values {
        let sql = format!("SELECT '{}'::{sql_type}", text.replace('\'', "''"));
        assert_eq!(show(&client, &sql).await?, text, "{sql_type} in the simple protocol");
        let prepared = client.prepare(&format!("{sql}::text")).await?;
        let got: String = client.query_one(&prepared, &[]).await?.get(0);
        assert_eq!(got.trim_end(), text, "{sql_type} in a prepared statement");
    }
    Ok(())
}
