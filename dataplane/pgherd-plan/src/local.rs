//! Which queries the shards can answer each for its own rows: the answers together are the answer.
//!
//! A row source is *parted* when what it gives over all rows is the union of what it gives over each
//! shard's, and has *keys*: columns whose value, unless NULL, says on which shard the row is. Sources
//! joined on their keys are parted; so are groups, sets and windows that tell rows of different keys
//! apart. Whatever is not surely so has no answer here (`None`), and is left to a query over
//! gathered rows.

mod blocks;
mod expressions;
mod from;
mod names;
pub mod types;

use std::collections::HashMap;

use pgherd_parser::{Node, SelectStmt};

use crate::catalog::{Catalog, Column};
use crate::key::Family;

pub use names::figure_name;

/// Queries within queries.
const DEEPEST: usize = 40;

/// Of what kind a key is: two columns of one kind with equal values have one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyKind {
    pub placement: usize,
    pub family: Family,
}

/// A column that names its row's shard. `filled`: an outer join may have made it NULL, which says
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyColumn {
    pub kind: KeyKind,
    pub filled: bool,
}

/// A column that a source or query gives.
#[derive(Debug, Clone)]
pub struct Output {
    pub name: String,
    /// Its type, if that is known.
    pub column: Option<Column>,
    pub key: Option<KeyColumn>,
}

/// Where the rows of a query are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// The same on every shard.
    Everywhere,
    /// Each shard has some of them.
    Parted,
    /// For a row of the outer query, its shard has them all.
    Dependent,
}

#[derive(Debug, Clone)]
pub struct Spread {
    pub rows: Rows,
    /// `None` where they are not known.
    pub outputs: Option<Vec<Output>>,
}

/// A column of a source.
pub type Place = (usize, usize);
pub type Keys = Vec<(Place, KeyColumn)>;

#[derive(Debug)]
pub struct Source {
    pub reference: Option<String>,
    pub outputs: Option<Vec<Output>>,
}

#[derive(Debug, Default)]
pub struct Scope {
    parent: Option<usize>,
    pub sources: Vec<usize>,
    /// Columns that USING has merged.
    pub merged: HashMap<String, Option<Place>>,
    /// Names may mean what is not known here.
    pub opaque: bool,
}

/// Names of WITH queries; `None` for those that may not be used.
#[derive(Debug)]
pub struct Env<'e> {
    pub names: Vec<(String, Option<Spread>)>,
    pub outer: Option<&'e Env<'e>>,
}

/// What a core of a query (no set operation) says of itself.
#[derive(Debug)]
pub struct Core {
    pub scope: usize,
    pub rows: Rows,
    pub aggregated: bool,
    pub windows: bool,
    /// The rows of FROM and WHERE are as `rows` says, but not those of the query.
    pub broken: bool,
}

pub struct Analysis<'c, 't> {
    pub catalog: &'c Catalog,
    pub search_path: &'c [&'c str],
    pub sources: Vec<Source>,
    pub scopes: Vec<Scope>,
    depth: usize,
    /// The top of the statement, when it is a core.
    pub top: Option<Core>,
    /// A name may be one of an outer query.
    pub unresolved: bool,
    /// Names of targets, where they can be meant.
    labels: Vec<String>,
    tree: std::marker::PhantomData<Node<'t>>,
}

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Column(Place),
    Unsure,
    Nothing,
}

impl Env<'_> {
    pub const EMPTY: Env<'static> = Env { names: Vec::new(), outer: None };

    fn get(&self, name: &str) -> Option<&Option<Spread>> {
        let own = self.names.iter().rev().find(|(it, _)| it == name).map(|(_, spread)| spread);
        own.or_else(|| self.outer.and_then(|it| it.get(name)))
    }
}

impl<'c, 't> Analysis<'c, 't> {
    pub fn new(catalog: &'c Catalog, search_path: &'c [&'c str]) -> Self {
        Self {
            catalog,
            search_path,
            sources: Vec::new(),
            scopes: Vec::new(),
            depth: 0,
            top: None,
            unresolved: false,
            labels: Vec::new(),
            tree: std::marker::PhantomData,
        }
    }

    /// The whole statement, its last ORDER BY and LIMIT left aside.
    pub fn statement(&mut self, select: SelectStmt<'t>) -> Option<Spread> {
        self.query(select, &Env::EMPTY, None, &[], true)
    }

    pub fn open(&mut self, parent: Option<usize>) -> usize {
        self.scopes.push(Scope { parent, ..Scope::default() });
        self.scopes.len() - 1
    }

    /// What a name means, and in which scope.
    pub fn resolve(&self, scope: usize, qualifier: Option<&str>, name: &str) -> (Found, usize) {
        let mut at = scope;
        loop {
            let it = &self.scopes[at];
            let found = match qualifier {
                Some(qualifier) => self.qualified(it, qualifier, name),
                None => self.unqualified(it, name),
            };
            match (found, it.parent) {
                (Found::Nothing, Some(parent)) => at = parent,
                (found, _) => return (found, at),
            }
        }
    }

    fn position(&self, source: usize, name: &str) -> Found {
        let Some(outputs) = &self.sources[source].outputs else { return Found::Unsure };
        let mut found = outputs.iter().enumerate().filter(|(_, it)| it.name == name);
        match (found.next(), found.next()) {
            (None, _) => Found::Nothing,
            (Some((column, _)), None) => Found::Column((source, column)),
            _ => Found::Unsure,
        }
    }

    fn qualified(&self, scope: &Scope, qualifier: &str, name: &str) -> Found {
        let named = |it: &&usize| self.sources[**it].reference.as_deref() == Some(qualifier);
        let mut sources = scope.sources.iter().filter(named);
        match (sources.next(), sources.next()) {
            (None, _) if scope.opaque => Found::Unsure,
            (None, _) => Found::Nothing,
            (Some(source), None) => match self.position(*source, name) {
                Found::Nothing => Found::Unsure,
                found => found,
            },
            _ => Found::Unsure,
        }
    }

    fn unqualified(&self, scope: &Scope, name: &str) -> Found {
        if scope.opaque {
            return Found::Unsure;
        }
        if let Some(place) = scope.merged.get(name) {
            return place.map_or(Found::Unsure, Found::Column);
        }
        let mut found = Found::Nothing;
        for source in &scope.sources {
            match (self.position(*source, name), found) {
                (Found::Nothing, _) => {}
                (it, Found::Nothing) => found = it,
                _ => return Found::Unsure,
            }
        }
        found
    }

    pub fn output(&self, (source, column): Place) -> Option<&Output> {
        self.sources[source].outputs.as_ref()?.get(column)
    }

    /// The column that a plain reference means, in this very scope.
    pub fn place(&self, node: Node<'t>, scope: usize) -> Option<Place> {
        let (qualifier, name) = crate::walk::column(node)?;
        match self.resolve(scope, qualifier, name) {
            (Found::Column(place), at) if at == scope => Some(place),
            _ => None,
        }
    }
}
