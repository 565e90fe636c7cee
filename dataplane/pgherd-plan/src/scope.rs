//! Scopes of names: which table a reference to a column means.

use std::collections::HashMap;

use crate::catalog::Table;
use crate::key::{Key, family};

/// A table where it stands in FROM (or as the target of a write).
#[derive(Debug)]
pub struct Occurrence<'c> {
    pub table: &'c Table,
    /// Where its name begins in the text.
    pub location: usize,
    pub has_alias: bool,
    /// By which name columns are qualified.
    pub reference: String,
    /// `AS t(a, b)`: its columns have other names.
    pub renamed: bool,
    /// Conditions that no row fails to meet that matters, as SQL.
    pub filters: Vec<String>,
}

/// A column of an occurrence.
pub type Place = (usize, usize);

/// What FROM offers: a table of the catalog, or something else whose columns are not known.
#[derive(Debug)]
struct Item {
    reference: Option<String>,
    occurrence: Option<usize>,
}

#[derive(Debug, Default)]
pub struct Scope {
    pub parent: Option<usize>,
    items: Vec<Item>,
    /// Columns that USING has merged, with what they mean if that is known.
    pub merged: HashMap<String, Option<Place>>,
    pub natural: bool,
    /// Its tables, and whether an outer join fills their columns up with NULLs.
    pub tables: Vec<(usize, bool)>,
}

/// All scopes of a statement, and what is known of equality between their columns.
#[derive(Debug, Default)]
pub struct Scopes<'c> {
    pub scopes: Vec<Scope>,
    pub occurrences: Vec<Occurrence<'c>>,
    /// When rows of the first matter only for some keys, then rows of the second do.
    edges: Vec<(Place, Place)>,
    /// Rows of a table matter only with one of these values in the column.
    facts: Vec<(Place, Vec<Key>)>,
}

impl<'c> Scopes<'c> {
    pub fn open(&mut self, parent: Option<usize>) -> usize {
        self.scopes.push(Scope { parent, ..Scope::default() });
        self.scopes.len() - 1
    }

    pub fn add_table(&mut self, scope: usize, hidden: bool, occurrence: Occurrence<'c>) -> usize {
        let index = self.occurrences.len();
        let reference = (!hidden).then(|| occurrence.reference.clone());
        self.occurrences.push(occurrence);
        self.scopes[scope].items.push(Item { reference, occurrence: Some(index) });
        index
    }

    /// Something with columns that are not known; without a name, nothing can be qualified by it.
    pub fn add_other(&mut self, scope: usize, reference: Option<&str>) {
        let reference = reference.map(str::to_owned);
        self.scopes[scope].items.push(Item { reference, occurrence: None });
    }

    /// Whether one FROM names tables of several schemas that have one name, and no others: what
    /// takes their places has only that name.
    pub fn has_namesakes(&self) -> bool {
        let table = |item: &Item| item.occurrence.and_then(|it| self.occurrences.get(it));
        self.scopes.iter().any(|scope| {
            scope.items.iter().enumerate().any(|(index, item)| {
                let Some(one) = table(item).filter(|_| item.reference.is_some()) else {
                    return false;
                };
                let rest = scope.items.iter().skip(index + 1);
                rest.filter(|it| it.reference == item.reference)
                    .filter_map(table)
                    .any(|it| it.table.schema != one.table.schema && !it.has_alias)
            })
        })
    }

    /// How many things have this name in all scopes.
    pub fn named(&self, reference: &str) -> usize {
        let items = self.scopes.iter().flat_map(|it| &it.items);
        items.filter(|it| it.reference.as_deref() == Some(reference)).count()
    }

    /// The column that a reference means, when that is certain (or else an error for Postgres).
    pub fn resolve(&self, scope: usize, qualifier: Option<&str>, name: &str) -> Option<Place> {
        let mut next = Some(scope);
        while let Some(scope) = next {
            let scope = &self.scopes[scope];
            let found = match qualifier {
                Some(qualifier) => self.qualified(scope, qualifier, name),
                None => self.unqualified(scope, name),
            };
            match found {
                Found::Column(place) => return Some(place),
                Found::Unsure => return None,
                Found::Nothing => next = scope.parent,
            }
        }
        None
    }

    fn qualified(&self, scope: &Scope, qualifier: &str, name: &str) -> Found {
        let mut items = scope.items.iter().filter(|it| it.reference.as_deref() == Some(qualifier));
        match (items.next(), items.next()) {
            (None, _) => Found::Nothing,
            (Some(Item { occurrence: Some(index), .. }), None) => {
                let occurrence = &self.occurrences[*index];
                match occurrence.table.position(name).filter(|_| !occurrence.renamed) {
                    Some(column) => Found::Column((*index, column)),
                    None => Found::Unsure,
                }
            }
            _ => Found::Unsure,
        }
    }

    fn unqualified(&self, scope: &Scope, name: &str) -> Found {
        if scope.natural {
            return Found::Unsure;
        }
        if let Some(place) = scope.merged.get(name) {
            return place.map_or(Found::Unsure, Found::Column);
        }
        let mut found = Found::Nothing;
        let mut others = false;
        for item in &scope.items {
            let known = item.occurrence.map(|index| (index, &self.occurrences[index]));
            match known.filter(|(_, it)| !it.renamed && item.reference.is_some()) {
                Some((index, occurrence)) => match (occurrence.table.position(name), &found) {
                    (Some(column), Found::Nothing) => found = Found::Column((index, column)),
                    (Some(_), _) => return Found::Unsure,
                    (None, _) => {}
                },
                None => others = true,
            }
        }
        match found {
            Found::Nothing if others => Found::Unsure,
            found => found,
        }
    }

    fn column_family(&self, (occurrence, column): Place) -> crate::key::Family {
        family(self.occurrences[occurrence].table.columns[column].type_oid)
    }

    pub fn add_edge(&mut self, from: Place, to: Place) {
        let columns = [from, to].map(|(it, column)| &self.occurrences[it].table.columns[column]);
        let equal = self.column_family(from) == self.column_family(to);
        if equal && columns.iter().all(|it| crate::key::is_key_type(it)) {
            self.edges.push((from, to));
        }
    }

    pub fn add_fact(&mut self, place: Place, keys: Vec<Key>) {
        self.facts.push((place, keys));
    }

    /// Columns that equal this one, in the rows that matter to each row of it.
    pub fn following(&self, place: Place) -> Vec<Place> {
        let mut reached = vec![place];
        let mut next = 0;
        while let Some(&at) = reached.get(next) {
            for (from, to) in &self.edges {
                if *from == at && !reached.contains(to) {
                    reached.push(*to);
                }
            }
            next += 1;
        }
        reached
    }

    /// The keys with which rows of an occurrence matter; the fewest that are known.
    pub fn keys(&self, place: Place) -> Option<Vec<Key>> {
        let mut reached = vec![place];
        let mut next = 0;
        while let Some(&at) = reached.get(next) {
            for (from, to) in &self.edges {
                if *to == at && !reached.contains(from) {
                    reached.push(*from);
                }
            }
            next += 1;
        }
        self.facts
            .iter()
            .filter(|(it, _)| reached.contains(it))
            .map(|(_, keys)| keys)
            .min_by_key(|keys| keys.len())
            .cloned()
    }
}

enum Found {
    Column(Place),
    /// In this scope, but it is not certain what it is.
    Unsure,
    Nothing,
}
