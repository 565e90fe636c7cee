//! Random values of each type as text that Postgres reads, dense where values are close to equal.

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

/// A type with its name, what writes it in binary, and what makes values of it.
pub struct Row {
    pub name: &'static str,
    pub send: &'static str,
    pub generate: fn(&mut StdRng) -> String,
    /// The first major version that has it.
    pub since: u32,
}

const fn row(name: &'static str, send: &'static str, generate: fn(&mut StdRng) -> String) -> Row {
    Row { name, send, generate, since: 0 }
}

/// Types with a btree order.
pub const ORDERED: &[Row] = &[
    row("bool", "boolsend", |r| pick(r, &["t", "f"])),
    row("int2", "int2send", |r| integer(r, 16).to_string()),
    row("int4", "int4send", |r| integer(r, 32).to_string()),
    row("int8", "int8send", |r| integer(r, 64).to_string()),
    row("oid", "oidsend", |r| r.random::<u32>().to_string()),
    row("float4", "float4send", float4),
    row("float8", "float8send", float8),
    row("numeric", "numeric_send", numeric),
    row("money", "cash_send", |r| format!("{}.{:02}", integer(r, 54), r.random_range(0..100))),
    row("text", "textsend", text),
    row("varchar", "varcharsend", text),
    row("char(6)", "bpcharsend", |r| text(r).chars().take(6).collect()),
    row("name", "namesend", |r| text(r).chars().take(10).collect()),
    row("\"char\"", "charsend", |r| pick(r, &["a", "b", "Z", "~", "", "0"])),
    row("bytea", "byteasend", bytea),
    row("uuid", "uuid_send", uuid),
    row("date", "date_send", date),
    row("time", "time_send", time),
    row("timetz", "timetz_send", |r| format!("{}{}", time(r), offset(r))),
    row("timestamp", "timestamp_send", timestamp),
    row("timestamptz", "timestamptz_send", timestamptz),
    row("interval", "interval_send", interval),
    row("jsonb", "jsonb_send", |r| jsonb(r, 3)),
    row("inet", "inet_send", inet),
    row("cidr", "cidr_send", cidr),
    row("macaddr", "macaddr_send", |r| mac(r, 6)),
    row("macaddr8", "macaddr8_send", |r| mac(r, 8)),
    row("varbit", "varbit_send", |r| repeat(r, 20, |r| pick(r, &["0", "1"])).concat()),
    row("bit(9)", "bit_send", |r| (0..9).map(|_| pick(r, &["0", "1"])).collect()),
    row("pg_lsn", "pg_lsn_send", |r| format!("{:X}/{:X}", r.random::<u16>(), r.random::<u32>())),
    row("xid8", "xid8send", |r| r.random::<u64>().to_string()),
    row("tid", "tidsend", |r| format!("({},{})", r.random_range(0..50), r.random_range(0..9))),
    row("mood", "enum_send", |r| pick(r, &["angry", "sad", "ok", "Odd one, \"quoted\"", "happy"])),
    row("positive", "int4send", |r| r.random_range(1..99).to_string()),
    row("int4[]", "array_send", |r| array(r, |r| r.random_range(0..4).to_string())),
    row("text[]", "array_send", |r| array(r, |r| element(&text(r)))),
    row("amounts", "array_send", |r| array(r, numeric)),
    row("jsonb[]", "array_send", |r| array(r, |r| element(&jsonb(r, 1)))),
    row("int4range", "range_send", |r| range(r, |r| r.random_range(0..9).to_string())),
    row("numrange", "range_send", |r| range(r, |r| format!("{}.0", r.random_range(0..9)))),
    row("tsrange", "range_send", |r| range(r, timestamp_in_order)),
    row("textrange", "range_send", |r| range(r, |r| format!("w{}, (x)", r.random_range(0..9)))),
    Row {
        since: 14,
        ..row("int4multirange", "multirange_send", |r| {
            format!(
                "{{{}}}",
                repeat(r, 4, |r| range(r, |r| r.random_range(0..20).to_string())).join(",")
            )
        })
    },
    row("pair", "record_send", pair),
    row("pair[]", "array_send", |r| array(r, |r| element(&pair(r)))),
    row("nested", "record_send", |r| {
        let list = array(r, |r| element(&text(r)));
        format!(
            "({},{},{},{})",
            element(&pair(r)),
            element(&list),
            pick(r, &["ok", "angry", ""]),
            pick(r, &["1", "2", ""])
        )
    }),
];

/// Types without an order.
pub const UNORDERED: &[Row] = &[
    row("json", "json_send", |r| jsonb(r, 3).replace(", ", " ,  ")),
    row("xml", "xml_send", |r| format!("<a>{}</a>", r.random::<u8>())),
    row("point", "point_send", point),
    row("line", "line_send", |r| format!("{{{},1,{}}}", r.random::<i8>(), float8_finite(r))),
    row("lseg", "lseg_send", |r| format!("[{},{}]", point(r), point(r))),
    row("box", "box_send", |r| format!("{},{}", point(r), point(r))),
    row("path", "path_send", |r| {
        let points = points(r);
        if r.random() { format!("[{points}]") } else { format!("({points})") }
    }),
    row("polygon", "poly_send", |r| format!("({})", points(r))),
    row("circle", "circle_send", |r| format!("<{},{}>", point(r), r.random::<u8>())),
    row("box[]", "array_send", |r| {
        format!("{{{},{};{},{}}}", point(r), point(r), point(r), point(r))
    }),
    row("xid", "xidsend", |r| r.random::<u32>().to_string()),
];

pub fn pick(random: &mut StdRng, choices: &[&str]) -> String {
    choices[random.random_range(0..choices.len())].to_owned()
}

fn repeat(
    random: &mut StdRng,
    most: usize,
    generate: impl Fn(&mut StdRng) -> String,
) -> Vec<String> {
    (0..random.random_range(0..=most)).map(|_| generate(random)).collect()
}

/// Numbers of any magnitude up to so many bits, with their limits.
pub fn integer(random: &mut StdRng, bits: u32) -> i64 {
    let most = i64::MAX >> (64 - bits);
    match random.random_range(0..12) {
        0 => most,
        1 => -most - 1,
        2 => random.random_range(-2..3),
        _ => (random.random::<i64>() >> random.random_range(64 - bits..64)).clamp(-most - 1, most),
    }
}

const SPECIAL_FLOATS: &[&str] =
    &["NaN", "Infinity", "-Infinity", "0", "-0", "1", "-1", "0.1", "1e15", "1e-5", "123456"];

fn float4(random: &mut StdRng) -> String {
    match random.random_range(0..5) {
        0 => pick(random, SPECIAL_FLOATS),
        1 => format!("1e{}", random.random_range(-37..38)),
        2 => format!("{:e}", 2_f32.powi(random.random_range(-149..128))),
        _ => {
            let number = f32::from_bits(random.random());
            if number.is_finite() { format!("{number:e}") } else { "NaN".to_owned() }
        }
    }
}

pub fn float8(random: &mut StdRng) -> String {
    if random.random_range(0..5) == 0 {
        pick(random, SPECIAL_FLOATS)
    } else {
        float8_finite(random)
    }
}

fn float8_finite(random: &mut StdRng) -> String {
    match random.random_range(0..5) {
        0 => format!("{}e{}", random.random_range(1..10), random.random_range(-300..300)),
        1 => format!("{:e}", 2_f64.powi(random.random_range(-1074..1023))),
        2 => format!("{}", f64::from(random.random::<i32>()) / 1000.0),
        _ => {
            let number = f64::from_bits(random.random());
            if number.is_finite() { format!("{number:e}") } else { "0".to_owned() }
        }
    }
}

pub fn numeric(random: &mut StdRng) -> String {
    match random.random_range(0..10) {
        0 => pick(random, &["NaN", "0", "0.000", "1", "1.0", "1.00", "-1", "-1.000", "10000"]),
        1 => format!("1e{}", random.random_range(-30..40)),
        _ => {
            let digits = |random: &mut StdRng, most: usize| -> String {
                let count = random.random_range(0..most);
                (0..count).map(|_| pick(random, &["0", "0", "1", "5", "7", "9"])).collect()
            };
            let sign = pick(random, &["", "-"]);
            let (whole, fraction) = (digits(random, 30), digits(random, 20));
            format!("{sign}{whole}0.{fraction}0")
        }
    }
}

/// Letters of one and more bytes, quotes, blanks, escapes; short, so that some are equal.
pub fn text(random: &mut StdRng) -> String {
    let letters = [
        "a",
        "b",
        "A",
        "B",
        "é",
        "ß",
        "z",
        " ",
        "\"",
        "\\",
        ",",
        "{",
        "}",
        "(",
        ")",
        "NULL",
        "'",
        "日",
        "\u{1F600}",
        "\t",
        "\n",
    ];
    repeat(random, 5, |random| pick(random, &letters)).concat()
}

fn bytea(random: &mut StdRng) -> String {
    let mut bytes = vec![0; random.random_range(0..6)];
    random.fill_bytes(&mut bytes);
    format!("\\x{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn uuid(random: &mut StdRng) -> String {
    format!("{:032x}", random.random::<u128>() >> random.random_range(0..120))
}

fn date(random: &mut StdRng) -> String {
    match random.random_range(0..12) {
        0 => pick(random, &["infinity", "-infinity", "4713-01-01 BC", "5874897-12-31"]),
        1 => format!("{:04}-02-28 BC", random.random_range(1..4713)),
        2 => format!("{}-12-31", random.random_range(10_000..200_000)),
        _ => day(random),
    }
}

fn day(random: &mut StdRng) -> String {
    let (year, month) = (random.random_range(1..3000), random.random_range(1..13));
    format!("{year:04}-{month:02}-{:02}", random.random_range(1..29))
}

fn time(random: &mut StdRng) -> String {
    let (hour, minute) = (random.random_range(0..24), random.random_range(0..60));
    let second = random.random_range(0..60);
    match random.random_range(0..4) {
        0 => "24:00:00".to_owned(),
        1 => format!("{hour:02}:{minute:02}:{second:02}"),
        2 => format!("{hour:02}:{minute:02}:{second:02}.{:03}", random.random_range(0..1000)),
        _ => format!("{hour:02}:00:00.{:06}", random.random_range(0..1_000_000)),
    }
}

fn offset(random: &mut StdRng) -> String {
    pick(random, &["+00", "+02", "-03:30", "+05:45", "-11", "+01:02:03"])
}

fn timestamp(random: &mut StdRng) -> String {
    match random.random_range(0..12) {
        0 => pick(random, &["infinity", "-infinity", "4713-01-01 00:00:00 BC"]),
        1 => format!("294275-{:02}-01 {}", random.random_range(1..13), time(random)),
        2 => format!("0{:03}-02-28 {} BC", random.random_range(1..999), time(random)),
        _ => format!("{} {}", day(random), time(random)),
    }
}

fn timestamp_in_order(random: &mut StdRng) -> String {
    format!("2020-01-0{} 00:00:00", random.random_range(1..10))
}

fn timestamptz(random: &mut StdRng) -> String {
    match random.random_range(0..10) {
        0 => pick(random, &["infinity", "-infinity", "4700-03-01 00:00:00+00 BC"]),
        1 => format!("{}-07-01 {}+00", random.random_range(3000..200_000), time(random)),
        _ => format!("{} {}{}", day(random), time(random), offset(random)),
    }
}

pub fn interval(random: &mut StdRng) -> String {
    match random.random_range(0..6) {
        0 => pick(random, &["1 mon", "30 days", "720:00:00", "1 year", "12 mons", "360 days", "0"]),
        1 => format!("{} days", random.random_range(-40..40)),
        _ => format!(
            "{} mons {} days {}.{:06} secs",
            random.random_range(-30..30),
            random.random_range(-40..40),
            random.random_range(-99_999..99_999),
            random.random_range(0..1_000_000)
        ),
    }
}

pub fn jsonb(random: &mut StdRng, depth: usize) -> String {
    match random.random_range(0..if depth == 0 { 6 } else { 9 }) {
        0 => pick(random, &["null", "true", "false"]),
        1 => pick(random, &["0", "1", "1.0", "1.00", "-1", "1e5", "12.5", "1e-7"]),
        2..=5 => pick(
            random,
            &["\"\"", "\"a\"", "\"B\"", "\"b\"", "\"\\u0001\\n\\\"\\\\\"", "\"é/\\t\""],
        ),
        6 | 7 => format!("[{}]", repeat(random, 3, |random| jsonb(random, depth - 1)).join(", ")),
        _ => {
            let pairs = repeat(random, 3, |random| {
                let key = pick(random, &["\"a\"", "\"bb\"", "\"c\"", "\"\"", "\"aaa\""]);
                format!("{key}: {}", jsonb(random, depth - 1))
            });
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

fn inet(random: &mut StdRng) -> String {
    let (address, most) = address(random);
    if random.random() { address } else { format!("{address}/{}", random.random_range(0..=most)) }
}

fn address(random: &mut StdRng) -> (String, u32) {
    if random.random() {
        let tail = random.random_range(0..4_u32) << random.random_range(0..9);
        return (std::net::Ipv4Addr::from(0x0A00_0000 | tail).to_string(), 32);
    }
    let fixed = [
        "::",
        "::1",
        "::ffff:1.2.3.4",
        "::1.2.3.4",
        "1::",
        "2001:db8::1",
        "fe80::1:0:0:1",
        "0:1:0:1:0:1:0:1",
        "::2",
        "::ffff:0:1",
        "1:0:0:2:0:0:0:3",
        "::5:0",
    ];
    if random.random() {
        (pick(random, &fixed), 128)
    } else {
        let words: Vec<String> =
            (0..8).map(|_| pick(random, &["0", "0", "1", "ffff", "a0"])).collect();
        (words.join(":"), 128)
    }
}

fn cidr(random: &mut StdRng) -> String {
    pick(
        random,
        &[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.0.0.0/16",
            "0.0.0.0/0",
            "192.168.1.1/32",
            "::/0",
            "2001:db8::/32",
            "2001:db8::1/128",
            "::ffff:1.2.3.0/120",
        ],
    )
}

fn mac(random: &mut StdRng, count: usize) -> String {
    let bytes = (0..count).map(|_| format!("{:02x}", random.random::<u8>() & 3));
    bytes.collect::<Vec<_>>().join(":")
}

/// A quoted element of an array or a record.
fn element(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// One or two dimensions, sometimes with other bounds.
fn array(random: &mut StdRng, generate: fn(&mut StdRng) -> String) -> String {
    let cell = |random: &mut StdRng| {
        if random.random_range(0..6) == 0 { "NULL".to_owned() } else { generate(random) }
    };
    match random.random_range(0..8) {
        0 => "{}".to_owned(),
        1 => {
            let cells: Vec<String> = (0..4).map(|_| cell(random)).collect();
            format!("{{{{{},{}}},{{{},{}}}}}", cells[0], cells[1], cells[2], cells[3])
        }
        2 => format!("[0:1]={{{},{}}}", cell(random), cell(random)),
        count => {
            let cells: Vec<String> = (0..count - 2).map(|_| cell(random)).collect();
            format!("{{{}}}", cells.join(","))
        }
    }
}

fn range(random: &mut StdRng, generate: fn(&mut StdRng) -> String) -> String {
    if random.random_range(0..8) == 0 {
        return "empty".to_owned();
    }
    let (mut a, mut b) = (generate(random), generate(random));
    // Postgres refuses bounds out of order.
    let number = |text: &String| text.parse::<f64>().ok();
    let swapped = match (number(&a), number(&b)) {
        (Some(a), Some(b)) => a > b,
        _ => a > b,
    };
    if swapped {
        std::mem::swap(&mut a, &mut b);
    }
    let bound = |random: &mut StdRng, text: &str| {
        if random.random_range(0..6) == 0 { String::new() } else { element(text) }
    };
    let (lower, upper) = (bound(random, &a), bound(random, &b));
    format!("{}{lower},{upper}{}", pick(random, &["[", "("]), pick(random, &["]", ")"]))
}

fn pair(random: &mut StdRng) -> String {
    let number = pick(random, &["", "1", "2", "-3"]);
    let word = if random.random_range(0..5) == 0 { String::new() } else { element(&text(random)) };
    format!("({number},{word})")
}

fn point(random: &mut StdRng) -> String {
    format!("({},{})", float8_finite(random), float8_finite(random))
}

fn points(random: &mut StdRng) -> String {
    let count = random.random_range(1..4);
    (0..count).map(|_| point(random)).collect::<Vec<_>>().join(",")
}
