//! Values in the order of `ORDER BY`, and equal where `GROUP BY` says so.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use pgherd_types::{Collation, Collations, Comparator, Format, Settings, Type, Value};

use crate::generate::{ORDERED, Row, UNORDERED};
use crate::server::{Server, random, text_array};

const VALUES: usize = 1500;

/// A value, how it looks, and its place in Postgres's order; equal values share one.
struct Ranked {
    value: Value,
    text: String,
    rank: u64,
}

fn ranked(
    server: &mut Server,
    row: &Row,
    data_type: &Type,
    texts: &[String],
) -> Result<Vec<Ranked>> {
    let sql = format!(
        "SELECT v, dense_rank() OVER (ORDER BY v) FROM (SELECT t::{} v FROM unnest({}) t) s",
        row.name,
        text_array(texts)
    );
    let settings = Settings::default();
    let ranked = server.rows(&sql)?.into_iter().map(|row| {
        let text = row[0].clone();
        let raw = Bytes::from(text.clone());
        let value = data_type.decode(Format::Text, &raw, &settings)?;
        Ok(Ranked { value, text, rank: row[1].parse()? })
    });
    ranked.collect()
}

fn check_type(server: &mut Server, row: &Row, texts: &[String]) -> Result<()> {
    let data_type = server.data_type(row.name)?;
    let (collation, collations) = (Collation::Bytes, Collations::bytes());
    let comparator = Comparator::new(&data_type, &collation, &collations)?;
    data_type.check_groupable(&collation, &collations)?;
    // In Postgres's order: each is compared with many others.
    let values = ranked(server, row, &data_type, texts)?;
    for (place, a) in values.iter().enumerate() {
        for b in values.iter().skip(place).step_by(1 + place % 7).take(40) {
            let order = comparator.compare(&a.value, &b.value)?;
            ensure!(
                order == a.rank.cmp(&b.rank),
                "{:?} and {:?} are {order:?}, in Postgres {:?}",
                a.text,
                b.text,
                a.rank.cmp(&b.rank)
            );
            let key = |it: &Ranked| {
                let mut key = Vec::new();
                data_type.group_key(Some(&it.value), &mut key).map(|()| key)
            };
            let equal = key(a)? == key(b)?;
            ensure!(equal == (a.rank == b.rank), "keys of {:?} and {:?}: {equal}", a.text, b.text);
        }
    }
    Ok(())
}

#[test]
fn every_type_is_ordered_and_grouped_as_postgres_does() -> Result<()> {
    let mut server = Server::start()?;
    server.client.simple("SET timezone = 'UTC'")?;
    let mut random = random()?;
    let major = server.major();
    let locale = "SELECT datcollate FROM pg_database WHERE datname = current_database()";
    ensure!(server.client.value(locale)?.starts_with('C'), "the harness's locale is by bytes");
    for row in ORDERED.iter().filter(|row| row.since <= major) {
        let texts: Vec<String> = (0..VALUES).map(|_| (row.generate)(&mut random)).collect();
        check_type(&mut server, row, &texts).with_context(|| row.name)?;
    }
    Ok(())
}

#[test]
fn types_without_an_order_are_refused_by_name() -> Result<()> {
    let mut server = Server::start()?;
    for row in UNORDERED {
        let data_type = server.data_type(row.name)?;
        let comparator = Comparator::new(&data_type, &Collation::Bytes, &Collations::bytes());
        // Postgres has an order for boxes, by their area, that no index of its own can use.
        let error = comparator.err().with_context(|| row.name)?.to_string();
        ensure!(error.contains(data_type.name().trim_end_matches("[]")), "{error}");
    }
    Ok(())
}
