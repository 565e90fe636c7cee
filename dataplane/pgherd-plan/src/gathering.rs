//! Rows of tables, gathered from the shards, in the place of the tables.

use std::collections::HashSet;

use pgherd_parser::RawStmt;

use crate::catalog::Column;
use crate::edit::{Tokens, edited};
use crate::outline::{SYSTEM_COLUMNS, is_placed, piece};
use crate::plan::{Finish, Gather, GatheredColumn, Refusal};
use crate::quote;
use crate::rows::{locations, whole_rows};
use crate::scope::Occurrence;
use crate::walk::texts;
use crate::walker::Walker;

/// How the rows are gathered: for each of the placed tables, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Gathering {
    gathers: Vec<Gather>,
    pub query: String,
    pub first_parameter: usize,
}

/// References to what gathered rows do not have: whole rows, system columns, schemas.
pub(crate) fn check_references(walker: &mut Walker<'_, '_>) {
    let all = &walker.scopes.occurrences;
    let placed: Vec<&Occurrence<'_>> = all.iter().filter(|it| is_placed(it)).collect();
    let rows = locations(&whole_rows(walker));
    let args = walker.star_args.as_ref();
    let mut found = None;
    for reference in &walker.columns {
        if rows.contains(&reference.location()) {
            continue;
        }
        let names = texts(reference.fields());
        let star = names.len() != reference.fields().len();
        let construct = match names.as_slice() {
            _ if args.is_some_and(|it| it.contains(&reference.location())) => "a whole row",
            [name] if !star && placed.iter().any(|it| it.reference == *name) => "a whole row",
            [name] if !star && SYSTEM_COLUMNS.contains(name) => "a system column",
            [_, name] if !star && SYSTEM_COLUMNS.contains(name) => "a system column",
            [qualifier, name] if !star => {
                let mut tables =
                    placed.iter().filter(|it| it.reference == *qualifier && !it.renamed);
                if tables.any(|it| it.table.position(name).is_none()) {
                    "a column that the table does not have"
                } else {
                    continue;
                }
            }
            [_, _, ..] if names.len() > 2 || star && names.len() > 1 => {
                "a column's name with its schema"
            }
            _ => continue,
        };
        found.get_or_insert(construct);
    }
    if walker.scopes.has_namesakes() {
        found.get_or_insert("tables of one name from several schemas without aliases");
    }
    if let Some(construct) = found {
        walker.object(construct);
    }
}

pub(crate) fn gathering(
    walker: &Walker<'_, '_>,
    statement: RawStmt<'_>,
    text: &str,
) -> Result<Gathering, Refusal> {
    let tokens = Tokens::new(text)?;
    let first_parameter = walker.last_parameter + 1;
    let mut next = first_parameter;
    let mut gathers = Vec::new();
    let mut edits = Vec::new();
    let rows = whole_rows(walker);
    let placed = walker.scopes.occurrences.iter().enumerate().filter(|(_, it)| is_placed(it));
    for (index, occurrence) in placed {
        let all = walker.uses_all || rows.iter().any(|it| it.occurrence == index);
        let (gather, subquery) = gather(occurrence, &walker.used, all, next)?;
        next += gather.columns.len();
        gathers.push(gather);
        edits.push(tokens.replace(occurrence, &subquery)?);
    }
    let odd = || Refusal::over_shards("a text of this form");
    for row in rows {
        edits.push(row.edit(walker, &tokens).ok_or_else(odd)?);
    }
    let query = edited(text, piece(statement, text), edits).ok_or_else(odd)?;
    Ok(Gathering { gathers, query, first_parameter })
}

/// The query for a table's rows, and the subquery that takes the table's place.
pub(crate) fn gather(
    occurrence: &Occurrence<'_>,
    used: &HashSet<&str>,
    uses_all: bool,
    first_parameter: usize,
) -> Result<(Gather, String), Refusal> {
    let table = occurrence.table;
    let mut columns: Vec<&Column> =
        table.columns.iter().filter(|it| uses_all || used.contains(it.name.as_str())).collect();
    if columns.is_empty() {
        // Only the number of rows matters.
        columns.extend(table.columns.iter().find(|it| it.transport.is_some()));
    }
    if columns.is_empty() {
        return Err(Refusal::over_shards("a table without columns"));
    }
    let mut gathered = Vec::new();
    let (mut asked, mut arrays, mut names, mut outputs) = (vec![], vec![], vec![], vec![]);
    for (index, column) in columns.iter().enumerate() {
        let Some(transport) = &column.transport else {
            let construct = format!("the column {} of type {}", column.name, column.sql_type);
            return Err(Refusal::over_shards(construct));
        };
        let name = quote::name(&column.name);
        let same = transport.oid == column.type_oid;
        asked.push(if same { name.clone() } else { format!("{name}::{}", transport.sql_type) });
        arrays.push(format!(
            "pg_catalog.unnest(${}::{}[])",
            first_parameter + index,
            transport.sql_type
        ));
        names.push(format!("c{index}"));
        let collation = column.collation.as_ref().map(|it| format!(" COLLATE {it}"));
        let collation = collation.unwrap_or_default();
        outputs.push(format!("c{index}::{}{collation} AS {name}", column.sql_type));
        gathered.push(GatheredColumn { type_oid: transport.oid });
    }
    let filter = match occurrence.filters.as_slice() {
        [] => String::new(),
        filters => format!(" WHERE {}", filters.join(" AND ")),
    };
    let (schema, name) = (quote::name(&table.schema), quote::name(&table.name));
    let query = format!("SELECT {} FROM {schema}.{name}{filter}", asked.join(", "));
    let subquery = format!(
        "SELECT {} FROM ROWS FROM ({}) AS g({})",
        outputs.join(", "),
        arrays.join(", "),
        names.join(", ")
    );
    let uses_parameters = filter.contains('$');
    Ok((Gather { shards: Vec::new(), query, uses_parameters, columns: gathered }, subquery))
}

// === impl Gathering ===

impl Gathering {
    pub fn with(&self, shards: &[Vec<usize>]) -> Finish {
        let gathers = self.gathers.iter().zip(shards.iter().cloned());
        Finish {
            gathers: gathers.map(|(gather, shards)| Gather { shards, ..gather.clone() }).collect(),
            query: self.query.clone(),
            first_parameter: self.first_parameter,
            locks: None,
        }
    }
}
