//! Text in the order of languages, merged by the proxy: random strings on one Postgres and over
//! shards. The proxy may gather next to nothing, so that what is not merged as it comes fails.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER};
use pgherd_harness::raw::{Client, Login};
use pgherd_harness::sharded::{CLUSTER, ShardedCluster, WHOLE};

const ROWS: usize = 6000;
const SHARDS: usize = 3;
/// Longest answer, on a machine that does other things as well.
const DEADLINE: Duration = Duration::from_secs(60);

/// What languages order otherwise than bytes: case, accents composed and not, letters of their own,
/// what is ignored, digits, blanks, other scripts.
const PARTS: &[&str] = &[
    "a",
    "A",
    "b",
    "B",
    "z",
    "Z",
    "o",
    "O",
    "s",
    "ss",
    "ß",
    "ẞ",
    "ä",
    "Ä",
    "a\u{308}",
    "ö",
    "Ö",
    "ø",
    "å",
    "Å",
    "é",
    "e",
    "E",
    "ü",
    "u",
    "U",
    "w",
    "W",
    "v",
    "V",
    "y",
    "x",
    "æ",
    "œ",
    "þ",
    "ð",
    "ñ",
    "ç",
    "ı",
    "İ",
    "i",
    "I",
    "-",
    "_",
    ".",
    ",",
    "'",
    " ",
    "  ",
    "\t",
    "0",
    "1",
    "2",
    "10",
    "09",
    "٣",
    "\u{ad}",
    "\u{200b}",
    "\u{200d}",
    "я",
    "Я",
    "ж",
    "λ",
    "Λ",
    "漢",
    "字",
    "한",
    "あ",
    "ア",
    "😀",
    "🏳",
    "€",
    "$",
    "§",
    "½",
    "²",
    "ﬁ",
    "Ⅻ",
    "\u{e000}",
    "\u{10ffff}",
];

/// Each gives all of its order.
const QUERIES: &[&str] = &[
    "SELECT id, german FROM names ORDER BY german, id",
    "SELECT german FROM names ORDER BY german DESC NULLS LAST",
    "SELECT id, swedish FROM names ORDER BY swedish DESC, id DESC",
    "SELECT id FROM names ORDER BY swedish NULLS FIRST, german, id LIMIT 700 OFFSET 100",
    "SELECT id, padded FROM names ORDER BY padded, id",
    "SELECT german FROM names ORDER BY german FETCH FIRST 200 ROWS WITH TIES",
    "SELECT id, plain FROM names ORDER BY plain, id",
    "SELECT id FROM names ORDER BY plain COLLATE \"Swedish\" DESC, id",
    "SELECT id, german FROM names ORDER BY german COLLATE public.\"Swedish\", id",
    "SELECT id, german FROM names ORDER BY german COLLATE \"C\", id",
    "SELECT id FROM names WHERE id % 2 = 0 ORDER BY upper(plain), id",
    "SELECT id FROM names ORDER BY german COLLATE danish, id",
];

/// Numbers that a seed repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit
    }

    /// A string as a literal, or NULL. Many are alike.
    fn text(&mut self, most: usize) -> String {
        if self.below(40) == 0 {
            return "NULL".to_owned();
        }
        let parts = self.below(most + 1);
        let text: String = (0..parts).map(|_| PARTS[self.below(PARTS.len())]).collect();
        format!("'{}'", text.replace('\'', "''"))
    }
}

fn schema(random: &mut Random) -> Result<String> {
    let mut sql = "CREATE COLLATION german (provider = libc, locale = 'de_DE.utf8'); \
         CREATE COLLATION \"Swedish\" (provider = libc, locale = 'sv_SE.utf8'); \
         CREATE COLLATION danish (provider = libc, locale = 'da_DK.utf8'); \
         CREATE TABLE names (id bigint PRIMARY KEY, german text COLLATE german, \
         swedish varchar COLLATE \"Swedish\", padded char(9) COLLATE german, \
         plain text, filler text DEFAULT repeat('x', 100)); \
         INSERT INTO names VALUES "
        .to_owned();
    for id in 0..ROWS {
        let (german, swedish, plain) = (random.text(5), random.text(4), random.text(6));
        let padded = random.text(3);
        let comma = if id == 0 { "" } else { ", " };
        write!(sql, "{comma}({id}, {german}, {swedish}, substr({padded}, 1, 9), {plain})")?;
    }
    Ok(sql)
}

fn cluster(locale: &str) -> Result<ShardedCluster> {
    let seed = std::env::var("PGHERD_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(1_u64);
    println!("PGHERD_SEED={seed}");
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    ShardedCluster::builder(SHARDS)
        .database_options(&format!("TEMPLATE template0 ENCODING 'UTF8' LOCALE '{locale}'"))
        .schema(&schema(&mut random)?)
        .sharded("names", "id")
        .start()
}

fn connect(addr: std::net::SocketAddr, database: &str) -> Result<Client> {
    let login = Login::new(APP_USER, APP_PASSWORD, database).parameter("client_encoding", "UTF8");
    let mut client = Client::login_as(addr, &login)?;
    client.set_deadline(DEADLINE);
    Ok(client)
}

/// All queries, merged, are answered as by one Postgres.
fn check(locale: &str) -> Result<()> {
    let cluster = cluster(locale)?;
    let config = cluster.config().cluster_setting("gather_limit", "\"64kB\"");
    let proxy = pgherd_harness::proxy::Proxy::start(&config.to_toml())?;
    let mut whole = connect(cluster.server(0).addr(), WHOLE)?;
    let mut proxied = connect(proxy.addr(), CLUSTER)?;
    for query in QUERIES {
        let expected = whole.rows(query)?;
        ensure!(expected.len() >= 200, "{} rows of {query}", expected.len());
        let found = proxied.rows(query).with_context(|| query.to_owned())?;
        let first = expected.iter().zip(&found).position(|(a, b)| a != b);
        ensure!(
            expected == found,
            "{locale}: {query}: row {first:?}: {:?} expected, {:?} found",
            first.and_then(|at| expected.get(at)),
            first.and_then(|at| found.get(at)),
        );
    }
    Ok(())
}

#[test]
fn german_is_merged_as_postgres_orders_it() -> Result<()> {
    check("de_DE.utf8")
}

#[test]
fn swedish_is_merged_as_postgres_orders_it() -> Result<()> {
    check("sv_SE.utf8")
}

#[test]
fn what_another_library_may_order_otherwise_is_finished_by_postgres() -> Result<()> {
    let cluster = cluster("de_DE.utf8")?;
    // A shard that says another version, as one does behind a failover to another machine.
    cluster.server(1).superuser(&cluster.database(1))?.rows(
        "CREATE OR REPLACE FUNCTION pg_catalog.pg_collation_actual_version(oid) RETURNS text \
         LANGUAGE sql AS 'SELECT ''0.0'''",
    )?;
    let tiny = cluster.config().cluster_setting("gather_limit", "\"64kB\"");
    let tiny = pgherd_harness::proxy::Proxy::start(&tiny.to_toml())?;
    let query = "SELECT id, german FROM names ORDER BY german, id";
    let refused = connect(tiny.addr(), CLUSTER)?.rows(query);
    let error = refused.err().context("it was merged all the same")?;
    ensure!(format!("{error:#}").contains("gathers more than"), "{error:#}");
    let mut whole = connect(cluster.server(0).addr(), WHOLE)?;
    let proxy = cluster.proxy()?;
    let mut proxied = connect(proxy.addr(), CLUSTER)?;
    ensure!(whole.rows(query)? == proxied.rows(query)?, "not in the order of one Postgres");
    Ok(())
}
