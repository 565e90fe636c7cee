//! FROM: which of its parts have their rows on one shard together.

use pgherd_parser::{JoinExpr, List, Node, RangeVar, constants as c};

use super::{Analysis, DEEPEST, Env, KeyColumn, KeyKind, Keys, Output, Place, Rows, Source};
use crate::catalog::{Kind, Table};
use crate::key::{family, is_key_type};
use crate::push::conjuncts;
use crate::walk::{column, operator, text, texts};

/// Each is looked at again as long as something follows from another.
const MOST_EQUALITIES: usize = 500;

/// Sources whose rows, joined, are each on one shard.
#[derive(Debug, Clone, Default)]
pub struct Component {
    pub parted: bool,
    pub keys: Keys,
}

/// What is joined without outer joins between its parts: components, and the equalities that hold.
#[derive(Debug, Default)]
pub struct Joined<'t> {
    pub components: Vec<Component>,
    pub equalities: Vec<(Place, Place)>,
    /// To be judged when the keys are known.
    pub expressions: Vec<Node<'t>>,
    pub dependent: bool,
}

impl<'t> Joined<'t> {
    fn add(&mut self, other: Self) {
        self.components.extend(other.components);
        self.equalities.extend(other.equalities);
        self.expressions.extend(other.expressions);
        self.dependent |= other.dependent;
    }
}

pub fn table_outputs(table: &Table) -> Vec<Output> {
    let key = match table.kind {
        Kind::View { key, .. } => key,
        _ => table.key(),
    };
    let outputs = table.columns.iter().enumerate().map(|(index, column)| {
        let kind = KeyKind { placement: table.placement, family: family(column.type_oid) };
        let is_key = key == Some(index) && is_key_type(column);
        Output {
            name: column.name.clone(),
            column: Some(column.clone()),
            key: is_key.then_some(KeyColumn { kind, filled: false }),
        }
    });
    outputs.collect()
}

fn alias<'t>(node: Option<Node<'t>>) -> Option<(&'t str, List<'t>)> {
    match node {
        Some(Node::Alias(alias)) => Some((text(alias.aliasname()), alias.colnames())),
        _ => None,
    }
}

impl<'c, 't> Analysis<'c, 't> {
    pub fn from(
        &mut self,
        list: List<'t>,
        scope: usize,
        env: &Env<'_>,
        outer: &[(Place, KeyColumn)],
    ) -> Option<Joined<'t>> {
        let mut joined = Joined::default();
        for item in list.iter() {
            let part = self.item(item, scope, env, outer, &joined.components)?;
            joined.add(part);
        }
        Some(joined)
    }

    fn item(
        &mut self,
        item: Node<'t>,
        scope: usize,
        env: &Env<'_>,
        outer: &[(Place, KeyColumn)],
        left: &[Component],
    ) -> Option<Joined<'t>> {
        self.depth += 1;
        let joined = match item {
            _ if self.depth > DEEPEST => None,
            Node::RangeVar(range) => self.table(range, scope, env),
            Node::RangeSubselect(it) => {
                let Some(Node::SelectStmt(query)) = it.subquery() else { return None };
                let mut keys = outer.to_vec();
                let parent = match it.lateral() {
                    true => {
                        keys.extend(left.iter().flat_map(|it| it.keys.iter().copied()));
                        Some(scope)
                    }
                    false => self.scopes[scope].parent,
                };
                let spread = self.query(query, env, parent, &keys, false)?;
                self.source(scope, it.alias(), None, spread.outputs, spread.rows)
            }
            Node::RangeFunction(it) => {
                let mut expressions = Vec::new();
                it.functions().iter().for_each(|it| expressions.push(it));
                let mut joined = self.source(scope, it.alias(), None, None, Rows::Everywhere)?;
                joined.expressions = expressions;
                Some(joined)
            }
            Node::JoinExpr(join) => self.join(join, scope, env, outer, left),
            _ => None,
        };
        self.depth -= 1;
        joined
    }

    /// Makes a source visible.
    fn source(
        &mut self,
        scope: usize,
        given: Option<Node<'t>>,
        name: Option<&str>,
        mut outputs: Option<Vec<Output>>,
        rows: Rows,
    ) -> Option<Joined<'t>> {
        let mut reference = name;
        if let Some((alias, columns)) = alias(given) {
            reference = Some(alias);
            for (index, name) in texts(columns).into_iter().enumerate() {
                if let Some(outputs) = &mut outputs {
                    outputs.get_mut(index)?.name = name.to_owned();
                }
            }
        }
        let index = self.sources.len();
        let keys = outputs.iter().flatten().enumerate();
        let keys = keys.filter_map(|(column, it)| it.key.map(|key| ((index, column), key)));
        let parted = rows == Rows::Parted;
        let keys = if parted { keys.collect() } else { Keys::new() };
        self.sources.push(Source { reference: reference.map(str::to_owned), outputs });
        self.scopes[scope].sources.push(index);
        Some(Joined {
            components: vec![Component { parted, keys }],
            dependent: rows == Rows::Dependent,
            ..Joined::default()
        })
    }

    fn table(&mut self, range: RangeVar<'t>, scope: usize, env: &Env<'_>) -> Option<Joined<'t>> {
        let schema = range.schemaname().map(|it| text(Some(it)));
        let name = text(range.relname());
        if schema.is_none()
            && let Some(spread) = env.get(name)
        {
            let spread = spread.clone()?;
            return self.source(scope, range.alias(), Some(name), spread.outputs, spread.rows);
        }
        let table = self.catalog.table(schema, name, self.search_path)?;
        let rows = match table.kind {
            Kind::Sharded { .. } | Kind::View { parted: true, .. } => Rows::Parted,
            Kind::Reference | Kind::View { parted: false, .. } => Rows::Everywhere,
            Kind::SchemaSharded { .. } | Kind::Undeclared | Kind::Opaque => return None,
        };
        let outputs = Some(table_outputs(table));
        self.source(scope, range.alias(), Some(name), outputs, rows)
    }

    fn join(
        &mut self,
        join: JoinExpr<'t>,
        scope: usize,
        env: &Env<'_>,
        outer: &[(Place, KeyColumn)],
        left_of: &[Component],
    ) -> Option<Joined<'t>> {
        if join.is_natural() || join.alias().is_some() || join.join_using_alias().is_some() {
            return None;
        }
        let before = self.scopes[scope].sources.len();
        let mut left = self.item(join.larg()?, scope, env, outer, left_of)?;
        let middle = self.scopes[scope].sources.len();
        let visible: Vec<_> = left_of.iter().chain(&left.components).cloned().collect();
        let mut right = self.item(join.rarg()?, scope, env, outer, &visible)?;
        let sides = self.scopes[scope].sources[before..].to_vec();
        let (left_sources, right_sources) = sides.split_at(middle - before);
        let mut equalities = Vec::new();
        for name in texts(join.using_clause()) {
            let pair = self.using(name, scope, (left_sources, right_sources), join.jointype())?;
            equalities.push(pair);
        }
        let mut expressions = Vec::new();
        if let Some(condition) = join.quals() {
            equalities.extend(self.equalities(condition, scope));
            expressions.push(condition);
        }
        let kind = join.jointype();
        if kind == c::JOIN_INNER {
            left.add(right);
            left.equalities.extend(equalities);
            left.expressions.extend(expressions);
            return Some(left);
        }
        // Each side must stand by itself.
        let l = unify(std::mem::take(&mut left.components), &left.equalities, &[])?;
        let r = unify(std::mem::take(&mut right.components), &right.equalities, &[])?;
        let meets = |(a, b): &(Place, Place)| {
            let of = |keys: &Keys, place| keys.iter().find(|(it, _)| *it == place).map(|it| it.1);
            let pair = |a, b| of(&l.keys, a).zip(of(&r.keys, b));
            let same =
                |pair: Option<(KeyColumn, KeyColumn)>| pair.is_some_and(|(a, b)| a.kind == b.kind);
            same(pair(*a, *b)) || same(pair(*b, *a))
        };
        let together = l.parted && r.parted && equalities.iter().any(meets);
        let fine = match kind {
            c::JOIN_LEFT => !r.parted || together,
            c::JOIN_RIGHT => !l.parted || together,
            c::JOIN_FULL => l.parted == r.parted && (!l.parted || together),
            _ => false,
        };
        if !fine {
            return None;
        }
        let fill = |keys: Keys, filled: bool| {
            keys.into_iter().map(move |(place, mut key)| {
                key.filled |= filled;
                (place, key)
            })
        };
        let mut keys: Keys = fill(l.keys, kind != c::JOIN_LEFT).collect();
        keys.extend(fill(r.keys, kind != c::JOIN_RIGHT));
        let mut joined = Joined {
            components: vec![Component { parted: l.parted || r.parted, keys }],
            equalities: Vec::new(),
            expressions: left.expressions,
            dependent: left.dependent || right.dependent,
        };
        joined.expressions.extend(right.expressions);
        joined.expressions.extend(expressions);
        Some(joined)
    }

    /// The columns that USING makes equal.
    fn using(
        &mut self,
        name: &str,
        scope: usize,
        (left, right): (&[usize], &[usize]),
        kind: u32,
    ) -> Option<(Place, Place)> {
        // A name that was merged before would mean that.
        if self.scopes[scope].merged.contains_key(name) {
            return None;
        }
        let only = |sources: &[usize]| {
            let mut found = None;
            for source in sources {
                let outputs = self.sources[*source].outputs.as_ref()?;
                for (column, _) in outputs.iter().enumerate().filter(|(_, it)| it.name == name) {
                    if found.replace((*source, column)).is_some() {
                        return None;
                    }
                }
            }
            found
        };
        let (left, right) = (only(left)?, only(right)?);
        let merged = match kind {
            c::JOIN_INNER | c::JOIN_LEFT => Some(left),
            c::JOIN_RIGHT => Some(right),
            _ => None,
        };
        self.scopes[scope].merged.insert(name.to_owned(), merged);
        Some((left, right))
    }

    /// Pairs of columns that a condition makes equal in the sense of their keys.
    pub fn equalities(&self, condition: Node<'t>, scope: usize) -> Vec<(Place, Place)> {
        let pair = |conjunct: Node<'t>| {
            let Node::A_Expr(it) = conjunct else { return Vec::new() };
            if it.kind() != c::AEXPR_OP || operator(it.name()) != Some("=") {
                return Vec::new();
            }
            match (it.lexpr(), it.rexpr()) {
                (Some(Node::RowExpr(a)), Some(Node::RowExpr(b)))
                    if a.args().len() == b.args().len() =>
                {
                    a.args().iter().zip(b.args().iter()).collect()
                }
                (Some(a), Some(b)) => vec![(a, b)],
                _ => Vec::new(),
            }
        };
        let place = |node: Node<'t>| {
            let (qualifier, name) = column(node)?;
            match self.resolve(scope, qualifier, name) {
                (super::Found::Column(place), _) => Some(place),
                _ => None,
            }
        };
        let places = |(a, b)| {
            let (a, b) = (place(a)?, place(b)?);
            let of = |it| self.output(it)?.column.as_ref().filter(|it| is_key_type(it));
            (family(of(a)?.type_oid) == family(of(b)?.type_oid)).then_some((a, b))
        };
        conjuncts(condition).into_iter().flat_map(pair).filter_map(places).collect()
    }
}

/// One component of all, if the equalities bring together all that are parted. Columns of the outer
/// query with keys count as one more component.
pub fn unify(
    components: Vec<Component>,
    equalities: &[(Place, Place)],
    outer: &[(Place, KeyColumn)],
) -> Option<Component> {
    if equalities.len() > MOST_EQUALITIES {
        return None;
    }
    let mut rest = Vec::new();
    let mut one = Component { parted: !outer.is_empty(), keys: outer.to_vec() };
    for component in components {
        if component.parted && !one.parted {
            one = component;
        } else if component.parted {
            rest.push(component);
        }
    }
    loop {
        let mut changed = false;
        for (a, b) in equalities {
            for (a, b) in [(*a, *b), (*b, *a)] {
                let Some((_, key)) = one.keys.iter().find(|(it, _)| *it == a).copied() else {
                    continue;
                };
                let meets = |it: &Component| {
                    it.keys.iter().any(|(place, other)| *place == b && other.kind == key.kind)
                };
                if let Some(index) = rest.iter().position(meets) {
                    one.keys.extend(rest.swap_remove(index).keys);
                    changed = true;
                }
                if !one.keys.iter().any(|(it, _)| *it == b) {
                    // Equal to a key: never NULL, and the same shard.
                    one.keys.push((b, KeyColumn { filled: false, ..key }));
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
    rest.is_empty().then_some(one)
}
