//! Random statements: what binds tables to a key, what the shards can do by themselves, and what
//! one Postgres must finish.
//!
//! All choices are written down, so that a statement can be made again with some of them left out.

#[path = "random_reads.rs"]
mod reads;
#[path = "random_writes.rs"]
mod writes;

use crate::corpus::Case;

/// A generator whose numbers a seed repeats, or a list of choices.
pub struct Random {
    state: u64,
    /// The choices so far.
    pub tape: Vec<usize>,
    /// Choices to make before those of the state; behind them 0.
    replayed: Option<Vec<usize>>,
}

const TABLES: &[(&str, &str)] =
    &[("users", "u1"), ("orders", "o1"), ("items", "i1"), ("users", "u2"), ("events", "e1")];

impl Random {
    pub fn new(seed: u64) -> Self {
        Self::of(seed, None)
    }

    /// With choices that are made already.
    pub fn of(seed: u64, replayed: Option<Vec<usize>>) -> Self {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { state, tape: Vec::new(), replayed }
    }

    fn below(&mut self, limit: usize) -> usize {
        let choice = match &self.replayed {
            Some(tape) => tape.get(self.tape.len()).copied().unwrap_or(0) % limit,
            None => {
                self.state ^= self.state << 13;
                self.state ^= self.state >> 7;
                self.state ^= self.state << 17;
                usize::try_from(self.state >> 33).unwrap_or(0) % limit
            }
        };
        self.tape.push(choice);
        choice
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// The sharding key of an alias.
    fn key(&mut self, alias: &str) -> String {
        let column = if alias.starts_with('u') { "id" } else { "user_id" };
        format!("{alias}.{column}")
    }

    fn atom(&mut self, aliases: &[&str]) -> String {
        let (one, other) = (self.pick(aliases), self.pick(aliases));
        let (key, same) = (self.key(one), self.key(other));
        let value = 1 + self.below(12);
        match self.below(10) {
            0..=2 => format!("{key} = {same}"),
            3..=4 => format!("{key} = {value}"),
            5 => format!("{key} IN ({value}, {})", value + 1),
            6 => format!("{one}.id < {}", value * 9),
            7 => format!("{one}.id IS NULL"),
            8 => format!("{one}.id % 3 = {}", value % 3),
            _ => format!("{key} = ANY (ARRAY[{value}, {}]) ", value + 3),
        }
    }

    fn condition(&mut self, aliases: &[&str], depth: usize) -> String {
        match self.below(7) {
            1 | 2 if depth > 0 => {
                let left = self.condition(aliases, depth - 1);
                let right = self.condition(aliases, depth - 1);
                format!("({left} {} {right})", self.pick(&["AND", "AND", "OR"]))
            }
            3 if depth > 0 => format!("NOT ({})", self.condition(aliases, depth - 1)),
            4 if depth > 0 => {
                let inner = [aliases, &["x"]].concat();
                let filter = self.condition(&inner, 0);
                let more = self.atom(&inner);
                let not = self.pick(&["", "NOT "]);
                format!("{not}EXISTS (SELECT FROM orders x WHERE {filter} AND {more})")
            }
            5 if depth > 0 => {
                let one = self.pick(aliases);
                let (key, filter) = (self.key(one), self.condition(&["x"], 0));
                let not = self.pick(&["", "NOT "]);
                let column = self.pick(&["user_id", "user_id", "id"]);
                format!("{key} {not}IN (SELECT x.{column} FROM orders x WHERE {filter})")
            }
            _ => self.atom(aliases),
        }
    }

    /// FROM and its aliases.
    fn from(&mut self) -> (String, Vec<&'static str>) {
        let first = self.below(3);
        let joined = self.below(3);
        let (table, alias) = TABLES[first];
        let mut from = format!("{table} {alias}");
        let mut within = vec![alias];
        for (table, alias) in TABLES.iter().skip(first + 1).take(joined) {
            let last = within[within.len() - 1];
            within.push(alias);
            let kind = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "LEFT JOIN"]);
            let keys = format!("{} = {}", self.key(last), self.key(alias));
            // A full join needs a condition that can be merged.
            let on = match (kind, self.below(3)) {
                ("FULL JOIN", _) | (_, 0) => keys,
                (_, 1) => format!("{keys} AND {}", self.atom(&within)),
                _ => self.condition(&within, 1),
            };
            let source = match self.below(4) {
                1 if kind != "FULL JOIN" => {
                    format!("(SELECT * FROM {table} WHERE id < 50) {alias}")
                }
                _ => format!("{table} {alias}"),
            };
            from = format!("{from} {kind} {source} ON {on}");
        }
        (from, within)
    }

    /// A value of a row, never a float, whose sums depend on the order.
    fn value(&mut self, alias: &str) -> String {
        let columns: &[&str] = match alias.as_bytes().first() {
            Some(b'u') => &["id", "country", "active", "balance", "name", "born"],
            Some(b'o') => &["id", "user_id", "status", "total", "note", "placed"],
            Some(b'i') => &["id", "user_id", "sku", "quantity", "price", "order_id"],
            _ => &["id", "user_id", "kind", "small", "span", "code"],
        };
        format!("{alias}.{}", self.pick(columns))
    }

    fn number(&mut self, alias: &str) -> String {
        let columns: &[&str] = match alias.as_bytes().first() {
            Some(b'u') => &["id", "balance"],
            Some(b'o') => &["id", "total"],
            Some(b'i') => &["quantity", "price", "id"],
            _ => &["id", "small", "code"],
        };
        let column = format!("{alias}.{}", self.pick(columns));
        match self.below(4) {
            1 => format!("{column} * 2"),
            2 => format!("CASE WHEN {column} > 20 THEN {column} ELSE 0 END"),
            _ => column,
        }
    }

    fn aggregate(&mut self, within: &[&str]) -> String {
        let alias = self.pick(within);
        let (number, value) = (self.number(alias), self.value(alias));
        let filter = match self.below(4) {
            1 => format!(" FILTER (WHERE {})", self.atom(within)),
            _ => String::new(),
        };
        match self.below(10) {
            0 | 1 => format!("count(*){filter}"),
            2 => format!("sum({number}){filter}"),
            3 => format!("avg({number}){filter}"),
            4 => format!("max({number}){filter}"),
            5 => format!("count(DISTINCT {value}){filter}"),
            6 => format!("min({number}) + count({value})"),
            7 => format!("bool_or({alias}.id > 20){filter}"),
            8 => format!("string_agg({value}::text, ',' ORDER BY {value}::text COLLATE \"C\")"),
            _ => format!("count({value}){filter}"),
        }
    }

    /// Columns by which rows are told apart, so that their order is total.
    fn total_order(&mut self, within: &[&str]) -> String {
        let alias = self.pick(within);
        let value = self.value(alias);
        let direction = self.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
        let mut order = format!("{value}{direction}");
        for alias in within {
            order.push_str(&format!(", {alias}.id, {}", self.key(alias)));
        }
        order
    }

    fn limit(&mut self) -> String {
        match self.below(4) {
            1 => format!(" LIMIT {}", self.below(9)),
            2 => format!(" OFFSET {} LIMIT {}", self.below(5), self.below(20)),
            3 => format!(" OFFSET {}", self.below(30)),
            _ => String::new(),
        }
    }

    fn grouped(&mut self, from: &str, within: &[&str], filter: &str) -> String {
        let alias = self.pick(within);
        let mut groups = vec![self.value(alias)];
        if self.below(3) == 1 {
            let other = self.pick(within);
            groups.push(self.value(other));
        }
        if self.below(3) == 1 {
            let key = self.pick(within);
            groups.push(self.key(key));
        }
        groups.sort();
        groups.dedup();
        let list = groups.join(", ");
        let by = match self.below(6) {
            1 => format!("ROLLUP ({list})"),
            3 => format!("CUBE ({list})"),
            4 => format!("GROUPING SETS (({list}), {}, ())", groups[0]),
            2 => (1..=groups.len()).map(|it| it.to_string()).collect::<Vec<_>>().join(", "),
            _ => list.clone(),
        };
        let (one, two) = (self.aggregate(within), self.aggregate(within));
        let having = match self.below(3) {
            1 => format!(" HAVING count(*) > {}", self.below(5)),
            _ => String::new(),
        };
        let wrap = self.below(5);
        let sql = format!(
            "SELECT {list}, {one} AS a, {two} AS b FROM {from}{filter} GROUP BY {by}{having}"
        );
        match wrap {
            1 => format!("SELECT count(*), max(a::text COLLATE \"C\") FROM ({sql}) g"),
            2 => format!("WITH g AS ({sql}) SELECT a, count(*) FROM g GROUP BY a"),
            _ => sql,
        }
    }

    fn set_operation(&mut self) -> String {
        let operation = self.pick(&[
            "UNION",
            "UNION ALL",
            "INTERSECT",
            "EXCEPT",
            "EXCEPT ALL",
            "INTERSECT ALL",
        ]);
        let arm = |random: &mut Self| {
            let (table, alias) = TABLES[random.below(4)];
            let (key, filter) = (random.key(alias), random.condition(&[alias], 1));
            format!("SELECT {key}, {alias}.id % 4 FROM {table} {alias} WHERE {filter}")
        };
        let (left, right) = (arm(self), arm(self));
        format!("{left} {operation} {right}")
    }

    pub fn case(&mut self) -> Case {
        self.tape.clear();
        self.statement()
    }

    fn statement(&mut self) -> Case {
        let shape = self.below(13);
        let mut case = Case { file: "random".to_owned(), ..Case::default() };
        if shape > 8 {
            case.sql = self.read();
            return case;
        }
        if shape == 8 {
            case.sql = self.set_operation();
            return case;
        }
        let (from, within) = self.from();
        let filter = match self.below(4) {
            0 => String::new(),
            _ => format!(" WHERE {}", self.condition(&within, 2)),
        };
        case.sql = match shape {
            // Counts the rows and adds up what they are, so that a lost row shows.
            0 | 1 => {
                let sums = within.iter().map(|it| format!(", sum({it}.id), count({it}.id)"));
                format!("SELECT count(*){} FROM {from}{filter}", sums.collect::<String>())
            }
            2 | 3 => self.grouped(&from, &within, &filter),
            4 => {
                let alias = self.pick(&within);
                let (one, two) = (self.value(alias), self.value(alias));
                let key = match self.below(3) {
                    2 => format!(", {}", self.key(alias)),
                    _ => String::new(),
                };
                format!("SELECT DISTINCT {one}, {two} AS two{key} FROM {from}{filter}")
            }
            5 => {
                let alias = self.pick(&within);
                let (key, value) = (self.key(alias), self.value(alias));
                let by = self.pick(&[key.as_str(), value.as_str()]).to_owned();
                let order = self.total_order(&within);
                let function = self.pick(&["row_number()", "count(*)", "sum(1)", "rank()"]);
                let keys = within.iter().map(|it| format!(", {it}.id")).collect::<String>();
                format!(
                    "SELECT {function} OVER (PARTITION BY {by} ORDER BY {order}){keys} \
                     FROM {from}{filter}"
                )
            }
            _ => {
                case.ordered = true;
                let values: Vec<String> = within.iter().map(|it| self.value(it)).collect();
                let order = self.total_order(&within);
                let values = values.join(", ");
                format!("SELECT {values} FROM {from}{filter} ORDER BY {order}{}", self.limit())
            }
        };
        case
    }
}
