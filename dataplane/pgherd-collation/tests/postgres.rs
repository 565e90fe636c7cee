//! The order of this machine's library against that of a Postgres on it, which judges.
//!
//! The texts are drawn from a seed that is printed; `PGHERD_SEED` repeats one.

use std::cmp::Ordering;

use anyhow::{Context, Result, ensure};
use pgherd_collation::library;
use pgherd_harness::postgres::{DATABASE, Postgres};
use pgherd_harness::raw::Client;
use pgherd_types::catalog;
use pgherd_types::{Collation, CollationFacts};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// Locales whose rules differ: accents, letters of their own, case, contractions.
const LOCALES: &[&str] = &["en_US.utf8", "de_DE.utf8", "sv_SE.utf8", "tr_TR.utf8", "cs_CZ.utf8"];
/// What linguistic order treats in ways of its own.
const PIECES: &[&str] = &[
    "a", "A", "b", "B", "c", "ch", "h", "z", "Z", "ä", "Ä", "a\u{308}", "å", "ö", "ø", "ß", "ss",
    "ı", "i", "İ", "I", "é", "e", "ñ", "n", "0", "1", "10", "9", " ", "  ", "-", "_", ".", "'",
    "\"", "\\", "(", "\t", "\n", "€", "日", "本", "ﬁ", "Ω", "ω", "я", "Я", "\u{200d}", "👍", "👍🏽",
    "\u{1}",
];
const TEXTS: usize = 400;

fn facts(client: &mut Client, major: u32) -> Result<Vec<CollationFacts>> {
    // The server may have been initialised before they were installed.
    client.simple("SELECT pg_import_system_collations('pg_catalog')")?;
    let rows = client.rows(&catalog::collations(major))?;
    rows.into_iter()
        .map(|row| {
            Ok(CollationFacts {
                name: row[1].clone(),
                provider: row[2].chars().next().context("no provider")?,
                locale: row[3].clone(),
                deterministic: row[4] == "t",
                version: row[5].clone(),
            })
        })
        .collect()
}

fn texts() -> Vec<String> {
    let seed = std::env::var("PGHERD_SEED").ok().and_then(|it| it.parse().ok());
    let seed = seed.unwrap_or_else(|| rand::rng().random::<u64>());
    println!("PGHERD_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    (0..TEXTS)
        .map(|index| {
            // Some are longer than what is compared without memory of its own.
            let pieces = if index % 50 == 0 { 400 } else { random.random_range(0..6) };
            (0..pieces).filter_map(|_| PIECES.choose(&mut random).copied()).collect()
        })
        .collect()
}

#[test]
fn text_is_ordered_as_postgres_orders_it() -> Result<()> {
    let postgres = Postgres::start()?;
    let mut client = postgres.superuser(DATABASE)?;
    let all = facts(&mut client, postgres.install().major())?;
    let texts = texts();
    let quoted = |text: &String| format!("('{}')", text.replace('\'', "''"));
    let values: Vec<String> = texts.iter().map(quoted).collect();
    client.simple("CREATE TABLE texts (id integer GENERATED ALWAYS AS IDENTITY, t text)")?;
    client.simple(&format!("INSERT INTO texts (t) VALUES {}", values.join(", ")))?;
    for locale in LOCALES {
        let known = all.iter().find(|it| it.name == *locale);
        let facts = known.with_context(|| format!("locale {locale} is not installed"))?;
        let collation = facts.resolve_with(library);
        ensure!(matches!(collation, Collation::Library { .. }), "{facts:?}");
        let order = |a: &str, b: &str| collation.order(a.as_bytes(), b.as_bytes());
        let sorted = client
            .rows(&format!("SELECT id - 1 FROM texts ORDER BY t COLLATE \"{locale}\", id"))?;
        let sorted: Vec<usize> =
            sorted.iter().map(|row| row[0].parse()).collect::<Result<_, _>>()?;
        ensure!(sorted.len() == texts.len());
        for pair in sorted.windows(2) {
            let (a, b) = (&texts[pair[0]], &texts[pair[1]]);
            let expected = if a == b { Ordering::Equal } else { Ordering::Less };
            ensure!(order(a, b) == Some(expected), "{locale}: {a:?} before {b:?}");
            ensure!(order(b, a) == Some(expected.reverse()), "{locale}: {b:?} after {a:?}");
        }
    }
    Ok(())
}

#[test]
fn what_is_not_the_same_library_is_not_known() -> Result<()> {
    let postgres = Postgres::start()?;
    let mut client = postgres.superuser(DATABASE)?;
    let all = facts(&mut client, postgres.install().major())?;
    let mut known = all.iter().filter(|it| it.name == "en_US.utf8");
    let facts = known.next().context("locale en_US.utf8 is not installed")?;
    ensure!(library(facts).is_some());
    let another = CollationFacts { version: "2.28".to_owned(), ..facts.clone() };
    ensure!(library(&another).is_none(), "another version");
    let another = CollationFacts { version: String::new(), ..facts.clone() };
    ensure!(library(&another).is_none(), "no version");
    let another = CollationFacts { locale: "xx_XX.utf8".to_owned(), ..facts.clone() };
    ensure!(library(&another).is_none(), "a locale that is not installed");
    let another = CollationFacts { locale: "en_US.iso88591".to_owned(), ..facts.clone() };
    ensure!(library(&another).is_none(), "another encoding");
    for facts in all.iter().filter(|it| it.provider == 'i') {
        ensure!(library(facts).is_none(), "ICU");
    }
    Ok(())
}
