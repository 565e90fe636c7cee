//! The rows of the queries about a catalog, as their types.

use pgherd_plan::{ColumnRow, FunctionRow, TableRow, ViewRow};

use crate::sharded::oids::OidRow;

/// A row in text.
pub(super) type Row = Vec<Option<String>>;

pub(super) fn column(row: Row) -> Option<ColumnRow> {
    let mut fields = row.into_iter();
    let mut next = || fields.next().flatten();
    Some(ColumnRow {
        schema: next()?,
        table: next()?,
        relation_kind: next()?,
        column: next()?,
        type_oid: next()?.parse().ok()?,
        sql_type: next()?,
        plain_type: next()?,
        collation: next(),
        deterministic: next()? == "t",
        type_kind: next()?,
        inner_oid: next()?.parse().ok()?,
        base_type: next(),
        element_kind: next()?,
    })
}

pub(super) fn function(row: Row) -> Option<FunctionRow> {
    let [schema, name, immutable, plain] = <[Option<String>; 4]>::try_from(row).ok()?;
    let (immutable, plain) = (immutable? == "t", plain? == "t");
    Some(FunctionRow { schema: schema?, name: name?, immutable, plain })
}

pub(super) fn table(row: Row) -> Option<TableRow> {
    let [schema, table, kind, name, value] = <[Option<String>; 5]>::try_from(row).ok()?;
    let value = value.unwrap_or_default();
    Some(TableRow { schema: schema?, table: table?, kind: kind?, name: name?, value })
}

pub(super) fn oid(row: Row) -> Option<OidRow> {
    let [kind, schema, name, oid, has_oids, element] = <[Option<String>; 6]>::try_from(row).ok()?;
    let (is_type, has_oids) = (kind? == "t", has_oids? == "t");
    let (oid, element) = (oid?.parse().ok()?, element?.parse().ok()?);
    Some(OidRow { is_type, schema: schema?, name: name?, oid, has_oids, element })
}

pub(super) fn view(row: Row) -> Option<ViewRow> {
    let [schema, name, definition] = <[Option<String>; 3]>::try_from(row).ok()?;
    Some(ViewRow { schema: schema?, name: name?, definition: definition? })
}

pub(super) fn object(row: Row) -> Option<(String, String)> {
    let [schema, name] = <[Option<String>; 2]>::try_from(row).ok()?;
    Some((schema?, name?))
}
