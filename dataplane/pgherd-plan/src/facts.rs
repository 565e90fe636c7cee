//! What the catalog says of tables beyond their columns: defaults, unique indexes, triggers.

use pgherd_parser::{Node, StringSyntax, Tree};

use crate::catalog::Catalog;
use crate::functions::{Volatility, volatility};

/// Facts of all tables, each a [`TableRow`], its columns being the fields in order. To be run with
/// `search_path = pg_catalog`, so that expressions name everything with its schema.
pub const TABLES_QUERY: &str = "WITH tables AS (SELECT c.oid, n.nspname, c.relname, c.relhasrules \
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
       WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' \
         AND n.nspname !~ '^pg_'), \
     facts AS (SELECT attrelid AS of, 'identity' AS kind, attname::text AS name, \
         format('nextval(%L::regclass)', pg_get_serial_sequence(attrelid::regclass::text, attname)) \
           AS value FROM pg_attribute WHERE attidentity <> '' AND attnum > 0 \
       UNION ALL SELECT adrelid, CASE WHEN attgenerated = '' THEN 'default' ELSE 'generated' END, \
         attname, pg_get_expr(adbin, adrelid) \
         FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum \
       UNION ALL SELECT i.indrelid, 'unique', c.relname, coalesce(a.attname, '') \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
         CROSS JOIN unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS k(attnum) \
         LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
         WHERE i.indisunique OR i.indisexclusion \
       UNION ALL SELECT tgrelid, 'trigger', tgname, tgtype::text FROM pg_trigger \
         WHERE NOT tgisinternal \
       UNION ALL SELECT k.conrelid, 'references', k.conname, a.attname \
         FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid \
         AND a.attnum = ANY (k.conkey) WHERE k.contype = 'f' \
       UNION ALL SELECT k.conrelid, 'foreign', k.conname, concat_ws(chr(31), fn.nspname, \
         f.relname, a.attname, b.attname) \
         FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid \
         JOIN pg_namespace fn ON fn.oid = f.relnamespace \
         CROSS JOIN unnest(k.conkey, k.confkey) AS c(own, other) \
         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.own \
         JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = c.other \
         WHERE k.contype = 'f' \
       UNION ALL SELECT confrelid, 'referenced', conname, '' FROM pg_constraint \
         WHERE contype = 'f' \
       UNION ALL SELECT inhrelid, 'inherits', '', '' FROM pg_inherits \
       UNION ALL SELECT inhparent, 'inherits', '', '' FROM pg_inherits \
       UNION ALL SELECT attrelid, 'not null', attname, '' FROM pg_attribute \
         WHERE attnotnull AND attnum > 0 AND NOT attisdropped \
       UNION ALL SELECT oid, 'table', '', CASE WHEN relhasrules THEN 'rules' ELSE '' END \
         FROM tables) \
     SELECT t.nspname, t.relname, f.kind, f.name, f.value \
     FROM facts f JOIN tables t ON t.oid = f.of ORDER BY 1, 2, 3, 4, 5";

/// A row of [`TABLES_QUERY`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableRow {
    pub schema: String,
    pub table: String,
    pub kind: String,
    pub name: String,
    pub value: String,
}

/// What is known of a table beyond its columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Column and expression; identities as calls of `nextval`.
    pub defaults: Vec<(String, Default)>,
    pub identity: Vec<String>,
    pub generated: Vec<String>,
    pub not_null: Vec<String>,
    /// Unique indexes: name, columns (empty names for expressions).
    pub unique: Vec<(String, Vec<String>)>,
    /// `pg_trigger.tgtype` of triggers that users have made.
    pub triggers: Vec<u16>,
    /// Columns of foreign keys of this table.
    pub references: Vec<String>,
    /// The foreign keys of this table.
    pub foreign: Vec<Foreign>,
    /// Foreign keys of other tables point here.
    pub referenced: bool,
    /// It has a parent or children.
    pub inherits: bool,
    pub rules: bool,
}

/// A foreign key: the table that it refers to, and the pairs of columns that are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    pub name: String,
    pub schema: String,
    pub table: String,
    pub columns: Vec<(String, String)>,
}

/// What stands in a column that an INSERT leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Default {
    pub sql: String,
    pub volatility: Volatility,
}

const TRIGGER_ROW: u16 = 1;
const TRIGGER_INSERT: u16 = 1 << 2;
const TRIGGER_DELETE: u16 = 1 << 3;

// === impl Facts ===

impl Facts {
    pub(crate) fn add(&mut self, row: TableRow, catalog: &Catalog) {
        match row.kind.as_str() {
            "default" | "identity" => {
                if row.kind == "identity" {
                    self.identity.push(row.name.clone());
                }
                let volatility = judge(&row.value, catalog);
                self.defaults.push((row.name, Default { sql: row.value, volatility }));
            }
            "not null" => self.not_null.push(row.name),
            "generated" => self.generated.push(row.name),
            "unique" => match self.unique.iter_mut().find(|(name, _)| *name == row.name) {
                Some((_, columns)) => columns.push(row.value),
                None => self.unique.push((row.name, vec![row.value])),
            },
            "trigger" => self.triggers.push(row.value.parse().unwrap_or(u16::MAX)),
            "references" => self.references.push(row.value),
            "foreign" => self.add_foreign(row),
            "referenced" => self.referenced = true,
            "inherits" => self.inherits = true,
            "table" => self.rules = row.value == "rules",
            _ => {}
        }
    }

    fn add_foreign(&mut self, row: TableRow) {
        let mut words = row.value.split('\u{1f}').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        let (schema, table, pair) = (next(), next(), (next(), next()));
        match self.foreign.iter_mut().find(|it| it.name == row.name) {
            Some(foreign) => foreign.columns.push(pair),
            None => {
                self.foreign.push(Foreign { name: row.name, schema, table, columns: vec![pair] });
            }
        }
    }

    pub fn default(&self, column: &str) -> Option<&Default> {
        self.defaults.iter().find(|(name, _)| name == column).map(|(_, it)| it)
    }

    /// An index is unique over all shards when the key is one of its columns.
    pub fn all_unique_over_shards(&self, key: &str) -> bool {
        self.unique.iter().all(|(_, columns)| columns.iter().any(|it| it == key))
    }

    /// Triggers for INSERT that fire once for a statement.
    pub fn fires_for_statements(&self) -> bool {
        self.triggers.iter().any(|it| it & TRIGGER_INSERT != 0 && it & TRIGGER_ROW == 0)
    }

    /// Triggers that a row's move from shard to shard would fire besides those of UPDATE.
    pub fn fires_on_move(&self) -> bool {
        self.triggers.iter().any(|it| it & (TRIGGER_INSERT | TRIGGER_DELETE) != 0)
    }
}

/// The most volatile that an expression calls.
fn judge(expression: &str, catalog: &Catalog) -> Volatility {
    let sql = format!("SELECT {expression}");
    let Ok(tree) = Tree::parse(&sql, StringSyntax::Standard) else { return Volatility::Unknown };
    let Some(Node::SelectStmt(select)) = tree.statements().next().and_then(|it| it.stmt()) else {
        return Volatility::Unknown;
    };
    let targets = select.target_list().iter();
    targets.map(|it| judge_node(it, catalog)).max().unwrap_or(Volatility::Unknown)
}

pub(crate) fn judge_node(node: Node<'_>, catalog: &Catalog) -> Volatility {
    let mut stack = vec![node];
    let mut worst = Volatility::Everywhere;
    while let Some(node) = stack.pop() {
        let here = match node {
            Node::FuncCall(call) => volatility(call, catalog),
            Node::SQLValueFunction(_) => Volatility::OfSession,
            _ => Volatility::Everywhere,
        };
        worst = worst.max(here);
        node.push_children(&mut stack);
    }
    worst
}
