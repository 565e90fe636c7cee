//! Parameters that clients and servers tell of, as the SQL that sets them: names and values never
//! leave their quotes, and what is set is what was wanted.

use std::collections::BTreeMap;

use pgherd_wire::ParamSet;

use crate::input::Input;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let (mut have, mut want) = (ParamSet::default(), ParamSet::default());
    while !input.is_empty() {
        let kind = input.below(4);
        let name = match input.below(8) {
            0 => "role".to_owned(),
            1 => "statement_timeout".to_owned(),
            2 => "search_path".to_owned(),
            _ => input.text(),
        };
        let value = input.text();
        match kind {
            0 => drop(have.set(&name, &value)),
            1 => drop(want.set(&name, &value)),
            _ => {
                have.set(&name, &value);
                want.set(&name, &value);
            }
        }
    }
    let settable = want.settable();
    let mut reached = map(&have.settable());
    apply(&have.sql_to(&want), &mut reached);
    assert_eq!(reached, map(&settable));

    let mut reached = BTreeMap::new();
    apply(&want.to_set_statements(), &mut reached);
    assert_eq!(reached, map(&settable));
    assert_eq!(want.sql_to(&want), "");
}

type Map = BTreeMap<String, String>;

fn map(params: &ParamSet) -> Map {
    params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What Postgres would make of the SQL.
fn apply(sql: &str, params: &mut Map) {
    let mut sql = Sql(sql);
    while !sql.0.is_empty() {
        if sql.take("RESET ") {
            let name = sql.identifier();
            assert!(params.remove(&name).is_some(), "{name} was not set");
        } else if sql.take("SET ") {
            let name = sql.identifier();
            assert!(sql.take(" TO "), "{}", sql.0);
            params.insert(name, sql.literal());
        } else {
            assert!(sql.take("SELECT "), "{}", sql.0);
            loop {
                assert!(sql.take("pg_catalog.set_config("), "{}", sql.0);
                let name = sql.literal();
                assert!(sql.take(", "), "{}", sql.0);
                params.insert(name, sql.literal());
                assert!(sql.take(", false)"), "{}", sql.0);
                if !sql.take(", ") {
                    break;
                }
            }
        }
        assert!(sql.take("; ") || sql.0.is_empty(), "{}", sql.0);
    }
}

struct Sql<'a>(&'a str);

impl Sql<'_> {
    fn take(&mut self, text: &str) -> bool {
        match self.0.strip_prefix(text) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn identifier(&mut self) -> String {
        let mut name = self.quoted('"', false);
        while self.take(".") {
            name.push('.');
            name.push_str(&self.quoted('"', false));
        }
        name
    }

    fn literal(&mut self) -> String {
        let escapes = self.take(" E");
        self.quoted('\'', escapes)
    }

    /// With plain quotes a backslash must not occur: what it means depends on a setting.
    fn quoted(&mut self, mark: char, escapes: bool) -> String {
        let mut text = String::new();
        let mut chars = self.0.chars();
        assert_eq!(chars.next(), Some(mark), "{}", self.0);
        loop {
            match chars.next().expect("the quotes are closed") {
                '\\' if mark == '\'' => {
                    assert!(escapes);
                    text.extend(chars.next());
                }
                c if c == mark => {
                    if !chars.as_str().starts_with(mark) {
                        break;
                    }
                    chars.next();
                    text.push(mark);
                }
                c => text.push(c),
            }
        }
        self.0 = chars.as_str();
        text
    }
}
