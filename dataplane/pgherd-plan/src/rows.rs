//! Whole rows of tables in a query over gathered rows: made from their columns, of the table's type.

use std::collections::HashSet;

use crate::edit::{Edit, Tokens};
use crate::outline::is_placed;
use crate::quote;
use crate::scope::Occurrence;
use crate::walk::texts;
use crate::walker::Walker;

/// A table's name that means its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WholeRow {
    location: i32,
    /// Tokens of it: `t`, or `t.*` as an argument.
    tokens: usize,
    /// The table.
    pub occurrence: usize,
}

/// All whole rows of a statement that can be made.
pub(crate) fn whole_rows(walker: &Walker<'_, '_>) -> Vec<WholeRow> {
    let occurrences = &walker.scopes.occurrences;
    let is_column = |name: &str| occurrences.iter().any(|it| it.table.position(name).is_some());
    let mut found = Vec::new();
    for reference in &walker.columns {
        let names = texts(reference.fields());
        let [name] = names.as_slice() else { continue };
        let star = reference.fields().len() > 1;
        let is_argument =
            walker.star_args.as_ref().is_some_and(|it| it.contains(&reference.location()));
        let of = |it: &Occurrence<'_>| it.reference == *name;
        let Some(occurrence) = occurrences.iter().position(of) else { continue };
        let is_known = is_placed(&occurrences[occurrence])
            && !occurrences[occurrence].renamed
            && walker.scopes.named(name) == 1;
        if !is_known || star && !is_argument || !star && is_column(name) {
            continue;
        }
        let tokens = if star { 3 } else { 1 };
        found.push(WholeRow { location: reference.location(), tokens, occurrence });
    }
    found
}

/// Where a whole row stands.
pub(crate) fn locations(rows: &[WholeRow]) -> HashSet<i32> {
    rows.iter().map(|it| it.location).collect()
}

impl WholeRow {
    /// A row of the table's type in its place; an outer join's row of nothing stays NULL.
    pub fn edit(self, walker: &Walker<'_, '_>, tokens: &Tokens<'_>) -> Option<Edit> {
        let of = walker.scopes.occurrences.get(self.occurrence)?;
        let first = tokens.at(usize::try_from(self.location).ok()?);
        let range = tokens.range(first)?.start..tokens.range(first + self.tokens - 1)?.end;
        let [row, schema, table] =
            [&of.reference, &of.table.schema, &of.table.name].map(|it| quote::name(it));
        let text = format!(
            "(CASE WHEN pg_catalog.num_nonnulls({row}) = 0 THEN NULL \
             ELSE {row}::{schema}.{table} END)"
        );
        Some(Edit { range, text })
    }
}
