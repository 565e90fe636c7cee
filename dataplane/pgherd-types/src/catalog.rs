//! Types as the server's catalog describes them: enums, domains, composites, arrays, ranges.

use std::collections::HashMap;

use crate::{Field, Kind, Type, TypeError};

/// Every type that is not a table's row type, as [`TypeRow`]s.
pub const TYPES: &str = "SELECT t.oid, pg_catalog.format_type(t.oid, NULL), t.typtype, \
    t.typelem, t.typdelim, t.typbasetype, t.typrelid, t.typinput = 'array_in'::regproc, \
    coalesce(r.rngsubtype, 0), coalesce(r.rngcollation, 0) \
    FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid \
    WHERE t.typtype IN ('b', 'd', 'e', 'r', 'm', 'c')";

/// The labels of enums, as [`LabelRow`]s, in their order.
pub const LABELS: &str = "SELECT enumtypid, oid, enumlabel FROM pg_catalog.pg_enum \
    ORDER BY enumtypid, enumsortorder";

/// The attributes of composite types and tables, as [`FieldRow`]s, in their order.
pub const FIELDS: &str = "SELECT a.attrelid, a.attname, a.atttypid, a.attcollation \
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.reltype <> 0 \
    ORDER BY a.attrelid, a.attnum";

/// The range type of each multirange type, as [`MultirangeRow`]s; from Postgres 14.
pub const MULTIRANGES: &str =
    "SELECT rngmultitypid, rngtypid FROM pg_catalog.pg_range WHERE rngmultitypid <> 0";

/// A row of [`TYPES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeRow {
    pub oid: u32,
    pub name: String,
    /// `typtype`: b base, d domain, e enum, r range, m multirange, c composite.
    pub kind: u8,
    pub element: u32,
    pub delimiter: u8,
    pub base: u32,
    pub relation: u32,
    /// Whether it is an array, and not only a type with elements such as `point`.
    pub is_array: bool,
    pub subtype: u32,
    pub range_collation: u32,
}

/// A row of [`LABELS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRow {
    pub enum_type: u32,
    pub oid: u32,
    pub label: String,
}

/// A row of [`FIELDS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRow {
    pub relation: u32,
    pub name: String,
    pub data_type: u32,
    pub collation: u32,
}

/// A row of [`MULTIRANGES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultirangeRow {
    pub multirange: u32,
    pub range: u32,
}

/// The types of one database.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    types: HashMap<u32, Type>,
}

/// What was read from a server, by the keys that types refer to.
struct Rows {
    types: HashMap<u32, TypeRow>,
    labels: HashMap<u32, Vec<(u32, Box<str>)>>,
    fields: HashMap<u32, Vec<FieldRow>>,
    multiranges: HashMap<u32, u32>,
}

/// Types within types beyond this are passed through as bytes.
const DEEPEST: usize = 32;

// === impl Catalog ===

impl Catalog {
    /// The types that these rows describe. Built-in ones need no rows.
    pub fn new(
        types: impl IntoIterator<Item = TypeRow>,
        labels: impl IntoIterator<Item = LabelRow>,
        fields: impl IntoIterator<Item = FieldRow>,
        multiranges: impl IntoIterator<Item = MultirangeRow>,
    ) -> Self {
        let mut rows = Rows {
            types: types.into_iter().map(|row| (row.oid, row)).collect(),
            labels: HashMap::new(),
            fields: HashMap::new(),
            multiranges: multiranges.into_iter().map(|it| (it.multirange, it.range)).collect(),
        };
        for LabelRow { enum_type, oid, label } in labels {
            rows.labels.entry(enum_type).or_default().push((oid, label.into()));
        }
        for field in fields {
            rows.fields.entry(field.relation).or_default().push(field);
        }
        let mut catalog = Self::default();
        let oids: Vec<u32> = rows.types.keys().copied().collect();
        for oid in oids {
            catalog.build(oid, &rows, 0);
        }
        catalog
    }

    /// The type with this OID.
    ///
    /// # Errors
    /// When neither Postgres nor the database has it.
    pub fn get(&self, oid: u32) -> Result<Type, TypeError> {
        let known = self.types.get(&oid).cloned().or_else(|| Type::builtin(oid));
        known.ok_or(TypeError::UnknownType { oid })
    }

    fn build(&mut self, oid: u32, rows: &Rows, depth: usize) -> Type {
        if let Some(known) = self.types.get(&oid) {
            return known.clone();
        }
        if let Some(builtin) = Type::builtin(oid) {
            self.types.insert(oid, builtin.clone());
            return builtin;
        }
        let Some(row) = rows.types.get(&oid) else {
            return Type::new(oid, &format!("with OID {oid}"), Kind::Opaque);
        };
        let kind = if depth > DEEPEST { Kind::Opaque } else { self.kind(row, rows, depth + 1) };
        let built = Type::new(oid, &row.name, kind);
        self.types.insert(oid, built.clone());
        built
    }

    fn kind(&mut self, row: &TypeRow, rows: &Rows, depth: usize) -> Kind {
        match row.kind {
            b'e' => {
                let labels = rows.labels.get(&row.oid).cloned().unwrap_or_default();
                Kind::Enum(labels.into())
            }
            b'd' => Kind::Domain(self.build(row.base, rows, depth)),
            b'r' => Kind::Range(self.build(row.subtype, rows, depth), row.range_collation),
            b'm' => match rows.multiranges.get(&row.oid) {
                Some(range) => Kind::Multirange(self.build(*range, rows, depth)),
                None => Kind::Opaque,
            },
            b'c' => {
                let fields = rows.fields.get(&row.relation).map_or(&[][..], Vec::as_slice);
                let fields = fields.iter().map(|field| Field {
                    name: field.name.as_str().into(),
                    data_type: self.build(field.data_type, rows, depth),
                    collation: field.collation,
                });
                Kind::Composite(fields.collect())
            }
            _ if row.is_array => Kind::Array(self.build(row.element, rows, depth), row.delimiter),
            _ => Kind::Opaque,
        }
    }
}
