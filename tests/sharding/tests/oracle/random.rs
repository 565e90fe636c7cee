//! Random joins and conditions: what binds a table to a key and what goes down to the shards.

#[path = "random_writes.rs"]
mod writes;

use crate::corpus::Case;

/// A generator whose numbers a seed repeats.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit
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
        match self.below(9) {
            0..=2 => format!("{key} = {same}"),
            3..=4 => format!("{key} = {value}"),
            5 => format!("{key} IN ({value}, {})", value + 1),
            6 => format!("{one}.id < {}", value * 9),
            7 => format!("{one}.id IS NULL"),
            _ => format!("{key} = ANY (ARRAY[{value}, {}]) ", value + 3),
        }
    }

    fn condition(&mut self, aliases: &[&str], depth: usize) -> String {
        match self.below(6) {
            0 | 1 if depth > 0 => {
                let left = self.condition(aliases, depth - 1);
                let right = self.condition(aliases, depth - 1);
                format!("({left} {} {right})", self.pick(&["AND", "AND", "OR"]))
            }
            2 if depth > 0 => format!("NOT ({})", self.condition(aliases, depth - 1)),
            3 if depth > 0 => {
                let inner = [aliases, &["x"]].concat();
                let filter = self.condition(&inner, 0);
                let more = self.atom(&inner);
                format!("EXISTS (SELECT FROM orders x WHERE {filter} AND {more})")
            }
            _ => self.atom(aliases),
        }
    }

    /// Counts the rows and adds up what they are, so that a lost row shows.
    pub fn case(&mut self) -> Case {
        let tables = ["users u1", "orders o1", "items i1", "users u2", "events e1"];
        let aliases = ["u1", "o1", "i1", "u2", "e1"];
        let first = self.below(3);
        let joined = 1 + self.below(2);
        let mut from = tables[first].to_owned();
        for next in first + 1..=first + joined {
            let on = self.condition(&aliases[first..=next], 1);
            let kind = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "LEFT JOIN"]);
            // A full join needs a condition that can be merged.
            let on = match kind {
                "FULL JOIN" => {
                    let (left, right) = (self.key(aliases[next - 1]), self.key(aliases[next]));
                    format!("{left} = {right}")
                }
                _ => on,
            };
            from = format!("{from} {kind} {} ON {on}", tables[next]);
        }
        let within = &aliases[first..=first + joined];
        let filter = self.condition(within, 2);
        let sums = within.iter().map(|it| format!(", sum({it}.id), count({it}.id)"));
        let sums = sums.collect::<String>();
        let sql = format!("SELECT count(*){sums} FROM {from} WHERE {filter}");
        Case { file: "random".to_owned(), sql, ..Case::default() }
    }
}
