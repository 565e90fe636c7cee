//! Random writes: what moves rows between shards, or reads other shards' rows to write.

use super::Random;
use crate::corpus::Case;

impl Random {
    pub fn write(&mut self) -> Case {
        let sql = match self.below(16) {
            0 => {
                let filter = self.condition(&["u1"], 2);
                format!(
                    "UPDATE users u1 SET name = name || 'x', active = NOT active WHERE {filter}"
                )
            }
            1 => {
                let filter = self.condition(&["o1", "u1"], 2);
                let join = self.pick(&["u1.id = o1.user_id", "u1.id = o1.id"]);
                format!(
                    "UPDATE orders o1 SET note = u1.name FROM users u1 WHERE {join} AND {filter}"
                )
            }
            2 => {
                let filter = self.condition(&["i1", "o1"], 2);
                let join = self.pick(&["i1.user_id = o1.user_id", "i1.order_id = o1.id"]);
                format!("DELETE FROM items i1 USING orders o1 WHERE {join} AND {filter}")
            }
            3 => {
                let filter = self.condition(&["u1"], 2);
                format!("DELETE FROM users u1 WHERE {filter} RETURNING u1.id, u1.name")
            }
            4 => {
                let by = 1000 + self.below(50);
                let filter = self.condition(&["u1"], 2);
                format!("UPDATE users u1 SET id = id + {by} WHERE {filter} RETURNING id, name")
            }
            5 => {
                let (factor, limit) = (1 + self.below(9), self.below(20));
                format!(
                    "UPDATE notes SET user_id = user_id * {factor} % 40 WHERE user_id < {limit} \
                     RETURNING *"
                )
            }
            6..=7 => self.insert_select(),
            8 => {
                let filter = self.condition(&["o1"], 1);
                let action = self.pick(&["NOTHING", "UPDATE SET total = excluded.total + 1"]);
                let target = if action == "NOTHING" { "" } else { "(user_id, id)" };
                format!(
                    "INSERT INTO archive SELECT * FROM orders o1 WHERE {filter} \
                     ON CONFLICT {target} DO {action} RETURNING id"
                )
            }
            9 => {
                let filter = self.condition(&["u1"], 1);
                format!(
                    "UPDATE users u1 SET balance = (SELECT sum(o1.total) FROM orders o1 \
                     WHERE o1.user_id = u1.id) WHERE {filter}"
                )
            }
            10..=11 => self.insert_values(),
            12..=13 => self.chain(),
            _ => self.merge(),
        };
        Case { file: "write_random".to_owned(), sql, ..Case::default() }
    }

    fn insert_select(&mut self) -> String {
        let key = self.pick(&["o1.user_id", "u1.id", "o1.id", "u1.id + 1", "7", "o1.user_id"]);
        let join = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN"]);
        let on = self.pick(&["u1.id = o1.user_id", "u1.id = o1.id"]);
        let filter = self.condition(&["o1", "u1"], 2);
        format!(
            "INSERT INTO notes SELECT {key}, o1.note || u1.name FROM orders o1 {join} users u1 \
             ON {on} WHERE {filter} RETURNING *"
        )
    }

    fn insert_values(&mut self) -> String {
        let rows: Vec<String> = (0..1 + self.below(6))
            .map(|_| {
                let key = match self.below(6) {
                    0 => "DEFAULT".to_owned(),
                    1 => format!("{} + 300", self.below(90)),
                    _ => (self.below(90)).to_string(),
                };
                let plan = self.pick(&["DEFAULT", "'gold'", "upper('x')", "NULL"]);
                let balance = self.pick(&["1.239", "17", "DEFAULT", "NULL"]);
                format!("({key}, {plan}, {balance})")
            })
            .collect();
        let conflict = self.pick(&["", "ON CONFLICT DO NOTHING", "ON CONFLICT (id) DO NOTHING"]);
        format!(
            "INSERT INTO accounts (id, plan, balance) VALUES {} {conflict} \
             RETURNING id, plan, balance, label",
            rows.join(", ")
        )
    }

    /// A data-modifying statement in WITH, and what is done with its rows.
    fn chain(&mut self) -> String {
        let filter = self.condition(&["o1"], 2);
        let first = match self.below(5) {
            0 => format!("DELETE FROM orders o1 WHERE {filter} RETURNING *"),
            1 => format!("UPDATE orders o1 SET total = total + 1 WHERE {filter} RETURNING o1.*"),
            2 => format!(
                "UPDATE orders o1 SET note = note || 'x' WHERE {filter} RETURNING id, user_id, status, total, note, placed"
            ),
            3 => format!(
                "INSERT INTO archive SELECT * FROM orders o1 WHERE {filter} ON CONFLICT DO NOTHING RETURNING *"
            ),
            _ => format!(
                "DELETE FROM orders o1 USING users u1 WHERE u1.id = o1.user_id AND {filter} RETURNING o1.*"
            ),
        };
        let limit = 10 * self.below(40);
        let rest = match self.below(7) {
            0 => format!("SELECT status, count(*), sum(total) FROM x WHERE total > {limit} GROUP BY status"),
            1 => format!("SELECT x.id, u.name FROM x JOIN users u ON u.id = x.user_id WHERE x.total > {limit}"),
            2 => "INSERT INTO notes SELECT user_id, note FROM x RETURNING *".to_owned(),
            3 => format!("INSERT INTO notes SELECT id % 40, upper(note) FROM x WHERE total > {limit}"),
            4 => "DELETE FROM items i USING x WHERE i.user_id = x.user_id AND i.order_id = x.id RETURNING i.id".to_owned(),
            5 => "UPDATE users SET name = name || '!' WHERE id IN (SELECT user_id FROM x) RETURNING id, name".to_owned(),
            _ => "SELECT * FROM x".to_owned(),
        };
        format!("WITH x AS ({first}) {rest}")
    }

    fn merge(&mut self) -> String {
        let rows: Vec<String> = (0..1 + self.below(6))
            .map(|at| format!("({}, 'm{}')", 30 * self.below(4) + 5 * at, self.below(9)))
            .collect();
        let matched = self.pick(&["DELETE", "UPDATE SET name = v.name || u.name", "DO NOTHING"]);
        let more = self.pick(&["", " AND u.active", " AND v.name <> 'm3'"]);
        format!(
            "MERGE INTO users u USING (VALUES {}) AS v(id, name) ON u.id = v.id{more} \
             WHEN MATCHED AND v.id > 10 THEN {matched} WHEN NOT MATCHED THEN \
             INSERT (id, name, created) VALUES (v.id, v.name, '2024-01-01')",
            rows.join(", ")
        )
    }
}
