//! A server with the types of the tests, and its catalog.

use anyhow::{Context, Result, ensure};
use pgherd_harness::postgres::{DATABASE, Postgres};
use pgherd_harness::raw::Client;
use pgherd_types::Type;
use pgherd_types::catalog::{self, Catalog, FieldRow, LabelRow, MultirangeRow, TypeRow};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Enum labels out of alphabetical and OID order, a domain, composites within arrays.
const SCHEMA: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    ALTER TYPE mood ADD VALUE 'angry' BEFORE 'sad';
    ALTER TYPE mood ADD VALUE 'Odd one, \"quoted\"' AFTER 'ok';
    CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
    CREATE DOMAIN amounts AS numeric[];
    CREATE TYPE pair AS (number integer, word text);
    CREATE TYPE nested AS (p pair, l text[], m mood, d positive);
    CREATE TYPE textrange AS RANGE (subtype = text, collation = \"C\");";

pub struct Server {
    // Ends after its client.
    pub client: Client,
    pub catalog: Catalog,
    pub postgres: Postgres,
}

impl Server {
    pub fn start() -> Result<Self> {
        let postgres = Postgres::start()?;
        let mut client = postgres.superuser(DATABASE)?;
        client.simple(SCHEMA)?;
        let catalog = read_catalog(&mut client, postgres.install().major())?;
        Ok(Self { client, catalog, postgres })
    }

    pub fn major(&self) -> u32 {
        self.postgres.install().major()
    }

    /// The type with this name.
    pub fn data_type(&mut self, name: &str) -> Result<Type> {
        let oid = self.client.value(&format!("SELECT '{name}'::regtype::oid"))?;
        Ok(self.catalog.get(oid.parse()?)?)
    }

    /// The rows of a query that must succeed.
    #[track_caller]
    pub fn rows(&mut self, sql: &str) -> Result<Vec<Vec<String>>> {
        let rows = self.client.rows(sql);
        rows.with_context(|| sql.chars().take(2000).collect::<String>())
    }
}

fn read_catalog(client: &mut Client, major: u32) -> Result<Catalog> {
    let number = |text: &String| text.parse::<u32>().context("an OID");
    let byte = |text: &String| text.bytes().next().unwrap_or_default();
    let types = client.rows(catalog::TYPES)?;
    ensure!(types.len() > 100, "{} types", types.len());
    let types = types
        .iter()
        .map(|row| {
            Ok(TypeRow {
                oid: number(&row[0])?,
                name: row[1].clone(),
                kind: byte(&row[2]),
                element: number(&row[3])?,
                delimiter: byte(&row[4]),
                base: number(&row[5])?,
                relation: number(&row[6])?,
                is_array: row[7] == "t",
                subtype: number(&row[8])?,
                range_collation: number(&row[9])?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let labels = client.rows(catalog::LABELS)?;
    let labels = labels
        .iter()
        .map(|row| {
            let (enum_type, oid) = (number(&row[0])?, number(&row[1])?);
            Ok(LabelRow { enum_type, oid, label: row[2].clone() })
        })
        .collect::<Result<Vec<_>>>()?;
    let fields = client.rows(catalog::FIELDS)?;
    let fields = fields
        .iter()
        .map(|row| {
            let (relation, name) = (number(&row[0])?, row[1].clone());
            Ok(FieldRow {
                relation,
                name,
                data_type: number(&row[2])?,
                collation: number(&row[3])?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let multiranges = if major >= 14 { client.rows(catalog::MULTIRANGES)? } else { Vec::new() };
    let multiranges = multiranges
        .iter()
        .map(|row| Ok(MultirangeRow { multirange: number(&row[0])?, range: number(&row[1])? }))
        .collect::<Result<Vec<_>>>()?;
    Ok(Catalog::new(types, labels, fields, multiranges))
}

/// A generator of random values whose seed is printed for when the test fails.
pub fn random() -> Result<StdRng> {
    let seed = match std::env::var("PGHERD_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => rand::random(),
    };
    println!("PGHERD_SEED={seed}");
    Ok(StdRng::seed_from_u64(seed))
}

/// A string constant.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `ARRAY['a', 'b']::text[]`
pub fn text_array(texts: &[String]) -> String {
    let all: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("ARRAY[{}]::text[]", all.join(","))
}
