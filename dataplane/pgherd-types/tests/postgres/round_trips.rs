//! What Postgres writes is read and written again, byte for byte, in both formats.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use pgherd_types::{Format, Settings, Type};

use crate::generate::{ORDERED, Row, UNORDERED};
use crate::server::{Server, quoted, random, text_array};

const VALUES: usize = 1500;

fn unhex(text: &str) -> Result<Bytes> {
    let digits = text.as_bytes().chunks(2);
    let bytes = digits.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    Ok(bytes.collect::<Result<Vec<u8>>>()?.into())
}

/// Both formats, each read and written as both.
fn check_value(data_type: &Type, text: &str, binary: &Bytes, settings: &Settings) -> Result<()> {
    let forms = [(Format::Text, Bytes::from(text.to_owned())), (Format::Binary, binary.clone())];
    for (from, bytes) in &forms {
        let value = data_type.decode(*from, bytes, settings)?;
        for (to, expected) in &forms {
            let mut written = Vec::new();
            data_type.encode(*to, &value, settings, &mut written)?;
            ensure!(
                written == *expected,
                "{from} to {to}: {:?} instead of {expected:?} ({value:?})",
                Bytes::from(written)
            );
        }
    }
    Ok(())
}

fn check_type(server: &mut Server, row: &Row, settings: &Settings, texts: &[String]) -> Result<()> {
    let data_type = server.data_type(row.name)?;
    let sql = format!(
        "SELECT v, encode({}(v), 'hex') FROM (SELECT t::{} v FROM unnest({}) t) s",
        row.send,
        row.name,
        text_array(texts)
    );
    let rows = server.rows(&sql)?;
    ensure!(rows.len() == texts.len(), "{} rows of {}", rows.len(), texts.len());
    for row in rows {
        check_value(&data_type, &row[0], &unhex(&row[1])?, settings)
            .with_context(|| format!("{} {:?} {}", data_type.name(), row[0], row[1]))?;
    }
    Ok(())
}

fn check_all(server: &mut Server, names: &[&str], settings: &[(&str, &str)]) -> Result<()> {
    let mut random = random()?;
    let mut known = Settings::default();
    for (name, value) in settings {
        server.client.simple(&format!("SET {name} = {}", quoted(value)))?;
        let shown = server.client.value(&format!("SHOW {name}"))?;
        known.set(name, &shown);
    }
    let major = server.major();
    let rows = ORDERED.iter().chain(UNORDERED).filter(|row| row.since <= major);
    for row in rows.filter(|row| names.is_empty() || names.contains(&row.name)) {
        // Their text is the same under most settings, and long.
        let texts: Vec<String> = (0..VALUES).map(|_| (row.generate)(&mut random)).collect();
        check_type(server, row, &known, &texts)?;
    }
    Ok(())
}

#[test]
fn every_type_is_read_and_written_as_postgres_does() -> Result<()> {
    check_all(&mut Server::start()?, &[], &[("timezone", "UTC")])
}

#[test]
fn times_look_as_the_session_wants_them() -> Result<()> {
    let mut server = Server::start()?;
    for zone in ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Africa/Monrovia", "-3"] {
        check_all(&mut server, &["timestamptz"], &[("datestyle", "ISO"), ("timezone", zone)])?;
    }
    let styles = [
        "SQL, DMY",
        "SQL, MDY",
        "German",
        "Postgres, DMY",
        "Postgres, MDY",
        "ISO, DMY",
        "ISO, YMD",
    ];
    for style in styles {
        check_all(&mut server, &["date", "timestamp"], &[("datestyle", style)])?;
    }
    Ok(())
}

#[test]
fn bytes_look_as_the_session_wants_them() -> Result<()> {
    check_all(&mut Server::start()?, &["bytea"], &[("bytea_output", "escape")])
}

#[test]
fn floats_have_as_many_digits_as_the_session_wants() -> Result<()> {
    let mut server = Server::start()?;
    let mut random = random()?;
    let rows = ORDERED.iter().filter(|row| row.name.starts_with("float"));
    for (row, digits) in rows.flat_map(|row| [-15, -8, -3, 0, 1, 3].map(|digits| (row, digits))) {
        let data_type = server.data_type(row.name)?;
        server.client.simple(&format!("SET extra_float_digits = {digits}"))?;
        let mut settings = Settings::default();
        settings.set("extra_float_digits", &digits.to_string());
        let texts: Vec<String> = (0..VALUES).map(|_| (row.generate)(&mut random)).collect();
        let sql = format!(
            "SELECT v, encode({}(v), 'hex') FROM (SELECT t::{} v FROM unnest({}) t) s",
            row.send,
            row.name,
            text_array(&texts)
        );
        for found in server.rows(&sql)? {
            // Fewer digits are not read back as the same number.
            let value = data_type.decode(Format::Binary, &unhex(&found[1])?, &settings)?;
            let mut written = Vec::new();
            data_type.encode(Format::Text, &value, &settings, &mut written)?;
            let written = String::from_utf8(written)?;
            ensure!(written == found[0], "{digits}: {written} instead of {}", found[0]);
        }
    }
    Ok(())
}
