//! What the planner knows of a database: tables with their columns, and how rows are placed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pgherd_sharding::SchemaPlacement;

use crate::facts::{Facts, TableRow};
use crate::plan::Refusal;
use crate::rules::Rules;

/// Columns of all tables. To be run with `search_path = pg_catalog`, so that names of types come
/// with their schema. The columns of its rows are the fields of [`ColumnRow`], in order.
pub const COLUMNS_QUERY: &str = "SELECT n.nspname, c.relname, c.relkind::text, a.attname, \
     a.atttypid, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, -1), \
     CASE WHEN a.attcollation <> t.typcollation \
          THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END, \
     coalesce(co.collisdeterministic, true), \
     t.typtype::text, \
     CASE WHEN t.typtype = 'd' THEN t.typbasetype WHEN t.typcategory = 'A' THEN t.typelem \
          ELSE 0 END, \
     CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, -1) END, \
     coalesce(e.typtype::text, '') \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
     JOIN pg_type t ON t.oid = a.atttypid \
     LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A' \
     LEFT JOIN pg_collation co ON co.oid = a.attcollation \
     LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') \
       AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_t' \
     ORDER BY n.nspname, c.relname, a.attnum";

/// The database's own functions, with the most volatile of each name: [`FunctionRow`].
pub const FUNCTIONS_QUERY: &str = "SELECT n.nspname, p.proname, \
     max(CASE p.provolatile WHEN 'v' THEN 3 WHEN 's' THEN 2 ELSE 1 END) = 1, \
     bool_and(p.prokind = 'f') \
     FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
     WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') GROUP BY 1, 2";

/// The definitions of views: [`ViewRow`]. To be run like [`COLUMNS_QUERY`].
pub const VIEWS_QUERY: &str = "SELECT n.nspname, c.relname, pg_get_viewdef(c.oid) \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'v' \
       AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_t'";

/// A row of [`COLUMNS_QUERY`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnRow {
    pub schema: String,
    pub table: String,
    /// As `pg_class.relkind`.
    pub relation_kind: String,
    pub column: String,
    pub type_oid: u32,
    /// The type with its modifiers.
    pub sql_type: String,
    /// The type without.
    pub plain_type: String,
    /// When it is not the type's own; quoted.
    pub collation: Option<String>,
    pub deterministic: bool,
    /// As `pg_type.typtype`.
    pub type_kind: String,
    /// Of a domain the base type, of an array the type of its elements, or 0.
    pub inner_oid: u32,
    /// Of a domain: its base type.
    pub base_type: Option<String>,
    /// `typtype` of an array's elements, or empty.
    pub element_kind: String,
}

/// A row of [`FUNCTIONS_QUERY`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionRow {
    pub schema: String,
    pub name: String,
    /// All functions of this name are declared IMMUTABLE.
    pub immutable: bool,
    /// None of this name is an aggregate, a window function or a procedure.
    pub plain: bool,
}

/// A row of [`VIEWS_QUERY`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewRow {
    pub schema: String,
    pub name: String,
    /// Its query, with all names in full.
    pub definition: String,
}

/// The catalog of one database, the same on all shards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    pub(crate) tables: HashMap<(String, String), Table>,
    /// By name: all of that name, in whatever schema, are immutable.
    functions: HashMap<String, bool>,
    rules: Rules,
    /// Names of aggregates, window functions and procedures.
    special: HashSet<String>,
    /// Text under the database's default collation is ordered by bytes.
    by_bytes: bool,
    linguistic: Vec<Linguistic>,
    /// Queries of views that are neither parted nor the same everywhere.
    pub(crate) definitions: HashMap<(String, String), String>,
    pub(crate) materialized: HashSet<(String, String)>,
    /// Names in schemas that are on one shard, by schema.
    objects: HashMap<String, HashSet<String>>,
}

/// A collation that does not order by bytes, whose order whoever executes plans may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linguistic {
    pub schema: String,
    pub name: String,
    /// Both as SQL, as in [`ColumnRow::collation`]; [`Linguistic::DEFAULT`] for the database's own.
    pub quoted: String,
    /// No other collation has this name, in whatever schema.
    pub is_alone: bool,
}

impl Linguistic {
    /// The collation of columns that name none.
    pub const DEFAULT: &str = "pg_catalog.\"default\"";
}

/// What clients may name in FROM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub schema: String,
    pub name: String,
    pub columns: Vec<Column>,
    pub kind: Kind,
    /// `None` until [`Catalog::add_tables`].
    pub facts: Option<Arc<Facts>>,
    /// Tables with one number have equal keys on one shard.
    pub placement: usize,
    /// Of the sharding key.
    pub key_type: KeyType,
    /// Why nobody can say where its rows are, in spite of its rule.
    pub problem: Option<String>,
}

/// As what the values of a key are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyType {
    /// Of their own type.
    #[default]
    Own,
    /// Those of a domain as those of its base type.
    Domain(u32),
    /// As labels.
    Enum,
}

/// How a table's rows lie on the shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By the hash (or list, or range) of this column, an index into [`Table::columns`].
    Sharded { column: usize },
    /// All rows on every shard.
    Reference,
    /// All rows on one shard, with the rest of its schema.
    SchemaSharded { shard: usize },
    /// The configuration does not say.
    Undeclared,
    /// A view that gives the same on all shards or, with `parted`, on each its share of the rows;
    /// the key, if it shows one, is a column.
    View { parted: bool, key: Option<usize> },
    /// Another view, a materialized view or foreign table: what is behind it is not known here.
    Opaque,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub type_oid: u32,
    /// With modifiers and schema, as SQL.
    pub sql_type: String,
    /// When it is not the type's own; quoted.
    pub collation: Option<String>,
    /// Equality under its collation is equality of bytes.
    pub deterministic: bool,
    /// `None`: its values cannot be moved between servers with certainty.
    pub transport: Option<Transport>,
}

/// The type as which values go from the shards to the finishing instance, in binary: never
/// dependent on settings such as `DateStyle`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    pub sql_type: String,
    pub oid: u32,
}

/// Built-in scalar types whose binary form is exact and has no OID of another type in it.
const BINARY: &[u32] = &[
    16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 600, 601, 602, 603, 604, 628, 650, 700, 701, 718, 774,
    790, 829, 869, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1266, 1560, 1562, 1700, 2950, 3220,
    3614, 3615, 3802, 3904, 3906, 3908, 3910, 3912, 3926, 4072, 4451, 4532, 4533, 4534, 4535, 4536,
];
/// Types whose arrays read and write the same text under all settings.
const PLAIN_TEXT: &[u32] =
    &[16, 18, 19, 20, 21, 23, 25, 26, 114, 869, 1042, 1043, 1700, 2950, 3802];
const TEXT: u32 = 25;

// === impl Catalog ===

impl Catalog {
    pub fn new(columns: Vec<ColumnRow>, functions: Vec<FunctionRow>, rules: &Rules) -> Self {
        let mut catalog = Self { rules: rules.clone(), ..Self::default() };
        let mut key_types = HashMap::new();
        for row in columns {
            let key = (row.schema.clone(), row.table.clone());
            if row.relation_kind == "m" {
                catalog.materialized.insert(key.clone());
            }
            let table = catalog.tables.entry(key).or_insert_with(|| Table {
                schema: row.schema.clone(),
                name: row.table.clone(),
                columns: Vec::new(),
                facts: None,
                // Until all its columns are known.
                kind: match row.relation_kind.as_str() {
                    "r" | "p" => Kind::Undeclared,
                    _ => Kind::Opaque,
                },
                placement: 0,
                key_type: KeyType::Own,
                problem: None,
            });
            match row.type_kind.as_str() {
                "d" => key_types.insert(row.type_oid, KeyType::Domain(row.inner_oid)),
                "e" => key_types.insert(row.type_oid, KeyType::Enum),
                _ => None,
            };
            table.columns.push(Column {
                transport: transport(&row),
                name: row.column,
                type_oid: row.type_oid,
                sql_type: row.sql_type,
                collation: row.collation,
                deterministic: row.deterministic,
            });
        }
        for table in catalog.tables.values_mut() {
            let is_of_schema = rules.schemas.place(&table.schema).is_some();
            if table.kind == Kind::Undeclared || is_of_schema {
                (table.kind, table.placement) = rules.kind(table);
            }
            if let Kind::Sharded { column } = table.kind
                && let Some(column) = table.columns.get(column)
            {
                table.key_type = key_types.get(&column.type_oid).copied().unwrap_or_default();
            }
            // Their types are on one shard, too.
            for column in table.columns.iter_mut().filter(|_| is_of_schema) {
                let own = column.sql_type.split_once('.');
                if own.is_some_and(|(it, _)| rules.schemas.place(it.trim_matches('"')).is_some()) {
                    column.transport = None;
                }
            }
        }
        for function in functions {
            let all = catalog.functions.entry(function.name.clone()).or_insert(true);
            *all &= function.immutable;
            if !function.plain {
                catalog.special.insert(function.name);
            }
        }
        catalog
    }

    /// How the rows of a table with these columns would lie on the shards.
    pub(crate) fn kind_of(&self, schema: &str, name: &str, columns: &[String]) -> Kind {
        let column = |name: &String| Column {
            name: name.clone(),
            type_oid: 0,
            sql_type: String::new(),
            collation: None,
            deterministic: true,
            transport: None,
        };
        let table = Table {
            schema: schema.to_owned(),
            name: name.to_owned(),
            columns: columns.iter().map(column).collect(),
            kind: Kind::Undeclared,
            facts: None,
            placement: 0,
            key_type: KeyType::Own,
            problem: None,
        };
        self.rules.kind(&table).0
    }

    /// Takes what is needed for writes: the rows of [`crate::TABLES_QUERY`].
    pub fn add_tables(&mut self, rows: Vec<TableRow>) {
        let mut all: HashMap<(String, String), Facts> = HashMap::new();
        for row in rows {
            let key = (row.schema.clone(), row.table.clone());
            all.entry(key).or_default().add(row, self);
        }
        for (key, facts) in all {
            if let Some(table) = self.tables.get_mut(&key) {
                table.facts = Some(Arc::new(facts));
            }
        }
    }

    /// The table that a name means; a name without schema is looked for along the search path.
    pub fn table(&self, schema: Option<&str>, name: &str, search_path: &[&str]) -> Option<&Table> {
        let find = |schema: &str| self.tables.get(&(schema.to_owned(), name.to_owned()));
        match schema {
            Some(schema) => find(schema),
            None => search_path.iter().find_map(|schema| find(schema)),
        }
    }

    /// Says that a table's rule cannot be followed: nobody knows where its rows are.
    pub fn refuse(&mut self, schema: &str, table: &str, problem: String) {
        if let Some(table) = self.tables.get_mut(&(schema.to_owned(), table.to_owned())) {
            table.kind = Kind::Undeclared;
            table.problem = Some(problem);
        }
    }

    /// Takes the rows of [`crate::OBJECTS_QUERY`] of each shard: schemas and names.
    pub fn add_objects(&mut self, shard: usize, rows: impl IntoIterator<Item = (String, String)>) {
        for (schema, name) in rows {
            if self.rules.schemas.place(&schema) == Some(shard) {
                self.objects.entry(schema).or_default().insert(name);
            }
        }
    }

    pub(crate) fn has_object(&self, schema: &str, name: &str) -> bool {
        self.objects.get(schema).is_some_and(|it| it.contains(name))
    }

    /// Schemas that are on one shard.
    pub fn schemas(&self) -> &SchemaPlacement {
        &self.rules.schemas
    }

    /// Whether some tables have rows on each shard.
    pub(crate) fn has_sharded_tables(&self) -> bool {
        !self.rules.sharded.is_empty()
    }

    /// Says that the database's default collation is known to order by bytes.
    pub fn set_default_by_bytes(&mut self, by_bytes: bool) {
        self.by_bytes = by_bytes;
    }

    pub(crate) fn default_is_by_bytes(&self) -> bool {
        self.by_bytes
    }

    /// Says which collations may be merged by; all are deterministic.
    pub fn set_linguistic(&mut self, collations: Vec<Linguistic>) {
        self.linguistic = collations;
    }

    /// The collation of a column, or of the database, if it is one of those.
    pub(crate) fn linguistic(&self, quoted: Option<&str>) -> Option<&Linguistic> {
        let quoted = quoted.unwrap_or(Linguistic::DEFAULT);
        self.linguistic.iter().find(|it| it.quoted == quoted)
    }

    /// The same by what stands behind COLLATE.
    pub(crate) fn linguistic_named(&self, names: &[&str]) -> Option<&Linguistic> {
        self.linguistic.iter().find(|it| match names {
            [name] => it.is_alone && it.name == *name,
            [schema, name] => it.schema == *schema && it.name == *name,
            _ => false,
        })
    }

    /// Whether a name of the database's own may be that of an aggregate or the like.
    pub(crate) fn is_special(&self, name: &str) -> bool {
        self.special.contains(name)
    }

    /// Whether the database has functions of its own by this name, and if all are immutable.
    pub fn function(&self, name: &str) -> Option<bool> {
        self.functions.get(name).copied()
    }
}

// === impl Table ===

impl Table {
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|it| it.name == column)
    }

    /// Why it cannot be read or written.
    pub(crate) fn undeclared(&self) -> Refusal {
        let name = &self.name;
        match &self.problem {
            Some(problem) => {
                let construct =
                    format!("the table {name}, whose rule cannot be followed: {problem},");
                Refusal::new(construct, "Give its rule in sharded_tables another column.")
            }
            None => {
                let hint = "Name it in reference_tables, its column in sharded_tables, or its \
                            schema in sharded_schemas.";
                Refusal::new(format!("the undeclared table {name}"), hint)
            }
        }
    }

    /// The column that places its rows.
    pub fn key(&self) -> Option<usize> {
        match self.kind {
            Kind::Sharded { column } => Some(column),
            _ => None,
        }
    }
}

// === impl Column ===

impl Column {
    /// The cast of a value to the type as which it travels.
    pub(crate) fn to_transport(&self) -> String {
        match &self.transport {
            Some(it) if it.oid != self.type_oid => format!("::{}", it.sql_type),
            _ => String::new(),
        }
    }

    /// And back, short of what the assignment to the column does by itself: of its length, and of
    /// what a domain checks.
    pub(crate) fn of_transport(&self) -> String {
        match &self.transport {
            Some(it) if it.oid == TEXT && self.type_oid != TEXT => {
                format!("::{}", without_modifiers(&self.sql_type))
            }
            _ => String::new(),
        }
    }

    /// The cast by which an expression becomes what an assignment takes: an explicit cast to the
    /// type without modifiers does what an assignment does, which looks at lengths afterwards.
    pub(crate) fn to_plain(&self) -> String {
        match &self.transport {
            Some(it) if it.oid == TEXT && self.type_oid != TEXT => self.of_transport(),
            Some(it) => format!("::{}", it.sql_type),
            None => format!("::{}", without_modifiers(&self.sql_type)),
        }
    }
}

/// `numeric(10,2)[]` as `numeric[]`; `character` would mean one character.
fn without_modifiers(sql_type: &str) -> String {
    let mut out = String::new();
    let (mut quoted, mut within) = (false, false);
    for it in sql_type.chars() {
        quoted ^= it == '"';
        within |= it == '(' && !quoted;
        if !within {
            out.push(it);
        }
        within &= it != ')';
    }
    match out.strip_prefix("character") {
        Some(rest) if !rest.starts_with(" varying") => format!("bpchar{rest}"),
        _ => out,
    }
}

fn transport(row: &ColumnRow) -> Option<Transport> {
    let own = |sql_type: &str, oid| Some(Transport { sql_type: sql_type.to_owned(), oid });
    match row.type_kind.as_str() {
        "b" | "r" | "m" if BINARY.contains(&row.type_oid) => own(&row.plain_type, row.type_oid),
        "e" => own("text", TEXT),
        "d" if BINARY.contains(&row.inner_oid) => own(row.base_type.as_deref()?, row.inner_oid),
        "b" if PLAIN_TEXT.contains(&row.inner_oid) || row.element_kind == "e" => own("text", TEXT),
        _ => None,
    }
}
