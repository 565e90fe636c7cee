//! Random keys of each type, as text that Postgres reads.

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

/// The name of a type, the first major version that has it, and what makes keys of it.
type Row = (&'static str, u32, fn(&mut StdRng) -> String);

/// Types that can be hashed.
pub const HASHED: &[Row] = &[
    ("boolean", 0, |r| pick(r, &["t", "f"])),
    ("smallint", 0, |r| r.random::<i16>().to_string()),
    ("integer", 0, |r| (r.random::<i32>() >> r.random_range(0..32)).to_string()),
    ("bigint", 0, |r| (r.random::<i64>() >> r.random_range(0..64)).to_string()),
    ("oid", 0, |r| r.random::<u32>().to_string()),
    ("numeric", 0, |r| numeric(r)),
    // NaN has many bit patterns, which Postgres 13 hashes as they are.
    ("real", 0, |r| pick(r, &["0", "-0", "1.5", "-1.5", "Infinity", "3.4e38", "0.1"])),
    ("double precision", 0, |r| match r.random_range(0..4) {
        0 => pick(r, &["0", "-0", "Infinity", "-Infinity", "1e300"]),
        _ => format!("{:e}", f64::from(r.random::<i32>()) / 7.0),
    }),
    ("text", 0, |r| text(r)),
    ("varchar", 0, |r| text(r)),
    ("char(12)", 0, |r| text(r).chars().take(12).collect()),
    ("name", 0, |r| text(r).chars().take(12).collect()),
    ("\"char\"", 0, |r| pick(r, &["a", "b", "Z", "~", "0", ""])),
    ("bytea", 0, |r| {
        let mut bytes = vec![0; r.random_range(0..40)];
        r.fill_bytes(&mut bytes);
        format!("\\x{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }),
    ("uuid", 0, |r| format!("{:032x}", r.random::<u128>())),
    ("date", 0, |r| date(r)),
    ("time", 0, |r| time(r)),
    ("timetz", 0, |r| format!("{}{}", time(r), pick(r, &["+00", "-03:30", "+05:45"]))),
    ("timestamp", 0, |r| format!("{} {}", date(r), time(r))),
    ("timestamptz", 0, |r| format!("{} {}+02", date(r), time(r))),
    ("interval", 0, |r| {
        format!(
            "{} mons {} days {}.{:06} secs",
            r.random_range(-30..30),
            r.random_range(-40..40),
            r.random_range(-99_999..99_999),
            r.random_range(0..1_000_000)
        )
    }),
    ("inet", 0, |r| format!("10.{}.0.1/{}", r.random::<u8>(), r.random_range(8..33))),
    ("cidr", 0, |r| format!("2001:db8:{:x}::/48", r.random::<u16>())),
    ("macaddr", 0, |r| format!("08:00:2b:01:02:{:02x}", r.random::<u8>())),
    ("macaddr8", 0, |r| format!("08:00:2b:01:02:03:04:{:02x}", r.random::<u8>())),
    ("pg_lsn", 0, |r| format!("{:X}/{:X}", r.random::<u16>(), r.random::<u32>())),
    ("xid8", 13, |r| r.random::<u64>().to_string()),
];

fn pick(random: &mut StdRng, choices: &[&str]) -> String {
    choices[random.random_range(0..choices.len())].to_owned()
}

fn numeric(random: &mut StdRng) -> String {
    let digits = |random: &mut StdRng, most: usize| -> String {
        (0..random.random_range(0..most)).map(|_| pick(random, &["0", "0", "1", "9"])).collect()
    };
    match random.random_range(0..8) {
        0 => pick(random, &["NaN", "0", "0.00", "1", "1.000", "10000", "0.0001"]),
        _ => format!("{}{}0.{}0", pick(random, &["", "-"]), digits(random, 30), digits(random, 30)),
    }
}

/// Of any length around the hash function's blocks of twelve bytes.
fn text(random: &mut StdRng) -> String {
    let count = random.random_range(0..30);
    (0..count).map(|_| pick(random, &["a", "B", "é", " ", "日", "0", "'"])).collect()
}

fn date(random: &mut StdRng) -> String {
    let (year, month) = (random.random_range(1..3000), random.random_range(1..13));
    format!("{year:04}-{month:02}-{:02}", random.random_range(1..29))
}

fn time(random: &mut StdRng) -> String {
    let (hour, minute) = (random.random_range(0..24), random.random_range(0..60));
    format!("{hour:02}:{minute:02}:00.{:06}", random.random_range(0..1_000_000))
}

/// The given keys and others around them.
pub fn near(random: &mut StdRng, name: &str, keys: &[&str]) -> String {
    if random.random() {
        return pick(random, keys);
    }
    match name {
        "integer" | "bigint" => random.random_range(-30..30).to_string(),
        "numeric" | "double precision" => {
            format!("{}.{}", random.random_range(-12..30), random.random_range(0..10))
        }
        "text" => text(random),
        "char(4)" => text(random).chars().take(4).collect(),
        "date" => format!("202{}-0{}-01", random.random_range(0..9), random.random_range(1..9)),
        "timestamp" => {
            format!("202{}-06-01 12:00:00.{}", random.random_range(0..9), random.random_range(0..9))
        }
        _ => format!("{:032x}", random.random::<u128>()),
    }
}
