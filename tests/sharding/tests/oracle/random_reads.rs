//! Random reads of what stands behind other words: views, rows as values, queries within queries,
//! locks, the time.

use super::{Random, TABLES};

/// Views that aggregate, with columns that others can be compared with.
const VIEWS: &[(&str, &str, &str)] = &[
    ("totals", "status", "total"),
    ("status_counts", "state", "n"),
    ("newest", "status", "id"),
    ("top_orders", "user_id", "id"),
    ("order_counts", "user_id", "n"),
    ("recent_orders", "status", "id"),
];

impl Random {
    /// A statement that needs more than its tables.
    pub(super) fn read(&mut self) -> String {
        match self.below(6) {
            0 => self.view(),
            1 => self.locking(),
            2 => self.compared(),
            3 => self.rows(),
            4 => self.of_time(),
            _ => self.named_first(),
        }
    }

    fn view(&mut self) -> String {
        let (view, column, number) = self.pick(VIEWS);
        let filter = format!("v.{number} > {}", self.below(300));
        match self.below(4) {
            0 => format!("SELECT v.{column}, v.{number} FROM {view} v WHERE {filter}"),
            1 => format!(
                "SELECT count(*), max(v.{number}), min(w.{number}) FROM {view} v \
                 JOIN {view} w ON v.{column} = w.{column} WHERE {filter}"
            ),
            2 => {
                let condition = self.condition(&["u1"], 1);
                format!(
                    "SELECT u1.id FROM users u1 WHERE {condition} \
                     AND u1.id < (SELECT max(v.{number}) FROM {view} v WHERE {filter})"
                )
            }
            _ => {
                let kind = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN"]);
                let on = match column {
                    "user_id" => "o1.user_id = v.user_id".to_owned(),
                    column => format!("o1.status = v.{column}"),
                };
                format!(
                    "SELECT v.{column}, count(*), sum(o1.total) FROM orders o1 {kind} {view} v \
                     ON {on} GROUP BY v.{column}"
                )
            }
        }
    }

    fn locking(&mut self) -> String {
        let (table, alias) = TABLES[self.below(4)];
        let (value, key, filter) = (self.value(alias), self.key(alias), self.atom(&[alias]));
        let strength = self.pick(&["UPDATE", "SHARE", "NO KEY UPDATE", "KEY SHARE"]);
        let how = self.pick(&["", " NOWAIT", " SKIP LOCKED"]);
        let join = match self.below(3) {
            1 => format!(" JOIN countries c ON c.population > {alias}.id"),
            2 => format!(" JOIN events e1 ON {key} = e1.user_id"),
            _ => String::new(),
        };
        format!(
            "SELECT {value}, {key} FROM {table} {alias}{join} WHERE {filter} \
             FOR {strength} OF {alias}{how}"
        )
    }

    /// A query over one table, alone: of one value.
    fn alone(&mut self) -> String {
        let (table, alias) = TABLES[self.below(3)];
        let (number, filter) = (self.number(alias), self.condition(&[alias], 1));
        let function = self.pick(&["max", "min", "count", "sum", "avg", "count(DISTINCT"]);
        let close = if function.contains('(') { ")" } else { "" };
        let open = if function.contains('(') { " " } else { "(" };
        let close = if close.is_empty() { ")" } else { close };
        format!("SELECT {function}{open}{number}{close} FROM {table} {alias} WHERE {filter}")
    }

    fn compared(&mut self) -> String {
        let (from, within) = self.from();
        let alias = self.pick(&within);
        let (number, one, two) = (self.number(alias), self.alone(), self.alone());
        let key = self.key(alias);
        match self.below(3) {
            0 => format!("SELECT {number}, {key} FROM {from} WHERE {number} > ({one})"),
            1 => format!("SELECT ({one}), ({two}), count(*) FROM {from}"),
            _ => format!(
                "SELECT {key}, z.* FROM {from} CROSS JOIN ({one}) z(y) WHERE {number} < z.y"
            ),
        }
    }

    fn rows(&mut self) -> String {
        let (from, within) = self.from();
        let filter = self.condition(&within, 1);
        let (one, two) = (self.pick(&within), self.pick(&within));
        // Texts of floats and times are those of the session on both sides.
        match self.below(4) {
            0 => format!("SELECT to_jsonb({one}), {two} IS NULL FROM {from} WHERE {filter}"),
            1 => {
                format!("SELECT count({one}), count({two}.*), count(*) FROM {from} WHERE {filter}")
            }
            2 => format!("SELECT {one}::text, {two}.id FROM {from} WHERE {filter}"),
            _ => format!("SELECT {one}.id, ({two}).id FROM {from} WHERE {filter}"),
        }
    }

    fn of_time(&mut self) -> String {
        let moment = self.pick(&["now()", "current_timestamp", "current_date", "localtimestamp"]);
        let days = self.below(3000);
        let (country, filter) = (self.value("u1"), self.condition(&["u1"], 1));
        match self.below(3) {
            0 => format!(
                "SELECT count(*), max(u1.id) FROM users u1 \
                 WHERE u1.created < {moment} - interval '{days} days' AND {filter}"
            ),
            1 => format!(
                "SELECT {country}, count(*) FILTER (WHERE u1.created < {moment}) \
                 FROM users u1 WHERE {filter} GROUP BY 1"
            ),
            _ => format!(
                "SELECT u1.id, u1.created < {moment} AS before FROM users u1 WHERE {filter}"
            ),
        }
    }

    /// Queries with names, and sets of them.
    fn named_first(&mut self) -> String {
        let (from, within) = self.from();
        let alias = self.pick(&within);
        let (value, aggregate) = (self.value(alias), self.aggregate(&within));
        let (one, two) = (self.alone(), self.alone());
        let grouped = format!("SELECT {value} AS v, {aggregate} AS a FROM {from} GROUP BY {value}");
        match self.below(3) {
            0 => format!("WITH g AS ({grouped}), h AS ({one}) SELECT g.* FROM g, h"),
            1 => {
                let operation = self.pick(&["UNION ALL", "UNION", "EXCEPT"]);
                format!(
                    "SELECT x::text FROM ({one}) p(x) {operation} SELECT y::text FROM ({two}) q(y)"
                )
            }
            _ => format!("SELECT count(*), count(g.v), count(g.a) FROM ({grouped}) g, ({one}) h"),
        }
    }
}
