//! Types in binary against the server's own text, and those that sqlx looks up by name.

use anyhow::{Context, Result};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde_json::{Value, json};
use sqlx::postgres::types::{PgInterval, PgMoney, PgPoint, PgRange};
use sqlx::postgres::{PgConnection, PgTypeInfo, Postgres};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Decode, Encode, Row, Type};
use uuid::Uuid;

use crate::fixture::{options, sqlx_code, unique};

async fn check<T>(connection: &mut PgConnection, sql_type: &str, value: T, text: &str) -> Result<()>
where
    T: Clone + Send + PartialEq + std::fmt::Debug + Type<Postgres> + 'static,
    T: for<'a> Encode<'a, Postgres> + for<'a> Decode<'a, Postgres>,
{
    let sql = format!("SELECT $1::{sql_type}, $1::{sql_type}::text");
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(value.clone())
        .fetch_one(&mut *connection)
        .await
        .with_context(|| sql_type.to_owned())?;
    assert_eq!(row.try_get::<T, _>(0)?, value, "{sql_type} in binary");
    assert_eq!(row.try_get::<String, _>(1)?, text, "{sql_type} as text");

    // Without parameters and unprepared: the reply is in text, which sqlx decodes as well.
    let literal = format!("SELECT '{}'::{sql_type}", text.replace('\'', "''"));
    let row = sqlx::raw_sql(AssertSqlSafe(literal)).fetch_one(connection).await?;
    assert_eq!(row.try_get::<T, _>(0)?, value, "{sql_type} from text");
    Ok(())
}

#[tokio::test]
async fn scalars() -> Result<()> {
    let mut connection = options().connect().await?;
    let c = &mut connection;
    sqlx::raw_sql("SET TIME ZONE 'UTC'").execute(&mut *c).await?;
    check(c, "bool", true, "true").await?;
    check(c, "int2", -5_i16, "-5").await?;
    check(c, "int4", i32::MIN, "-2147483648").await?;
    check(c, "int8", i64::MAX, "9223372036854775807").await?;
    check(c, "float4", 1.5_f32, "1.5").await?;
    check(c, "float8", 1e300_f64, "1e+300").await?;
    check(c, "text", "it's ünï 🐘".to_owned(), "it's ünï 🐘").await?;
    check(c, "bytea", vec![0_u8, 255], "\\x00ff").await?;
    let date = NaiveDate::from_ymd_opt(1, 1, 1).context("a day")?;
    check(c, "date", date, "0001-01-01").await?;
    let time = NaiveTime::from_hms_micro_opt(1, 2, 3, 4).context("a time")?;
    check(c, "time", time, "01:02:03.000004").await?;
    let moment: DateTime<Utc> = "2024-02-29T12:00:00Z".parse()?;
    check(c, "timestamptz", moment, "2024-02-29 12:00:00+00").await?;
    check(c, "uuid", Uuid::nil(), "00000000-0000-0000-0000-000000000000").await?;
    let document: Json<Value> = Json(json!({ "a": [1, 2.5, null] }));
    check(c, "jsonb", document, r#"{"a": [1, 2.5, null]}"#).await?;
    Ok(connection.close().await?)
}

#[tokio::test]
async fn of_postgres_only() -> Result<()> {
    let mut connection = options().connect().await?;
    let c = &mut connection;
    check(c, "int4[]", vec![Some(1), None, Some(3)], "{1,NULL,3}").await?;
    check(c, "text[]", vec!["a b".to_owned(), "\"".to_owned()], r#"{"a b","\""}"#).await?;
    check(c, "int4range", PgRange::from(1..10), "[1,10)").await?;
    let interval = PgInterval { months: 14, days: -3, microseconds: 1_500_000 };
    let row = sqlx::query("SELECT $1::interval, $1::text").bind(interval).fetch_one(&mut *c);
    let row = row.await?;
    assert_eq!(row.try_get::<PgInterval, _>(0)?, interval);
    assert_eq!(row.try_get::<String, _>(1)?, "1 year 2 mons -3 days +00:00:01.5");
    // Those that sqlx reads in binary only.
    let row = sqlx::query("SELECT $1, $2, $1::text, $2::text")
        .bind(PgMoney(-12_345))
        .bind(PgPoint { x: 1.5, y: -2.0 })
        .fetch_one(&mut *c)
        .await?;
    assert_eq!(row.try_get::<PgMoney, _>(0)?, PgMoney(-12_345));
    assert_eq!(row.try_get::<PgPoint, _>(1)?, PgPoint { x: 1.5, y: -2.0 });
    assert_eq!((row.get::<&str, _>(2), row.get::<&str, _>(3)), ("-$123.45", "(1.5,-2)"));
    Ok(connection.close().await?)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Sad,
    Happy,
}

impl Type<Postgres> for Mood {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("mood_of_sqlx")
    }
}

impl sqlx::postgres::PgHasArrayType for Mood {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::array_of("mood_of_sqlx")
    }
}

impl Encode<'_, Postgres> for Mood {
    fn encode_by_ref(
        &self,
        buffer: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> std::result::Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        let label = match self {
            Self::Sad => "sad",
            Self::Happy => "happy",
        };
        <&str as Encode<'_, Postgres>>::encode(label, buffer)
    }
}

impl<'a> Decode<'a, Postgres> for Mood {
    fn decode(
        value: sqlx::postgres::PgValueRef<'a>,
    ) -> std::result::Result<Self, sqlx::error::BoxDynError> {
        match value.as_str()? {
            "sad" => Ok(Self::Sad),
            "happy" => Ok(Self::Happy),
            other => Err(format!("a mood called {other}").into()),
        }
    }
}

/// sqlx asks the catalog for types that it does not know, in the middle of its own dialogue, and
/// keeps the answers.
#[tokio::test]
async fn types_by_name() -> Result<()> {
    let mut connection = options().connect().await?;
    let table = unique("moods");
    let set_up = format!(
        "DROP TYPE IF EXISTS mood_of_sqlx CASCADE; \
         CREATE TYPE mood_of_sqlx AS ENUM ('sad', 'happy'); \
         CREATE TABLE {table} (one mood_of_sqlx, many mood_of_sqlx[])"
    );
    sqlx::raw_sql(AssertSqlSafe(set_up)).execute(&mut connection).await?;
    let insert = format!("INSERT INTO {table} VALUES ($1, $2) RETURNING one, many");
    let many = vec![Mood::Happy, Mood::Sad, Mood::Happy];
    for mood in [Mood::Sad, Mood::Happy] {
        let row = sqlx::query(AssertSqlSafe(insert.as_str()))
            .bind(mood)
            .bind(&many)
            .fetch_one(&mut connection)
            .await?;
        assert_eq!(row.try_get::<Mood, _>(0)?, mood);
        assert_eq!(row.try_get::<Vec<Mood>, _>(1)?, many);
    }
    let mut fresh = options().connect().await?;
    let select = format!("SELECT one, many FROM {table} WHERE one = $1");
    let rows = sqlx::query(AssertSqlSafe(select)).bind(Mood::Sad).fetch_all(&mut fresh).await?;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].try_get::<Mood, _>(0)?, Mood::Sad);

    // A type that is not there: an error, and the connection goes on.
    #[derive(Clone, Debug)]
    struct Missing;
    impl Type<Postgres> for Missing {
        fn type_info() -> PgTypeInfo {
            PgTypeInfo::with_name("no_such_type")
        }
    }
    impl Encode<'_, Postgres> for Missing {
        fn encode_by_ref(
            &self,
            _: &mut sqlx::postgres::PgArgumentBuffer,
        ) -> std::result::Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
            Ok(sqlx::encode::IsNull::Yes)
        }
    }
    let missing = sqlx::query("SELECT $1").bind(Missing).fetch_one(&mut fresh).await;
    assert!(missing.is_err(), "{}", sqlx_code(missing));
    fresh.ping().await?;
    fresh.close().await?;
    Ok(connection.close().await?)
}
