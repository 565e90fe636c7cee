//! What all writes have in common: the target, what they read besides, and several shards at once.

use pgherd_parser::{DeleteStmt, List, Node, RawStmt, UpdateStmt};

use crate::catalog::{Kind, Table};
use crate::edit::{Edit, Tokens, edited};
use crate::functions::Volatility;
use crate::gathering::gather;
use crate::insert::worst_left_out;
use crate::key::{family, is_key_type};
use crate::once::{self, Once};
use crate::outline::{Context, Placed, SYSTEM_COLUMNS, is_placed};
use crate::plan::{Gather, Plan, Refusal, Replies, Write};
use crate::source::insert_in;
use crate::walk::{text, texts};
use crate::walker::{Env, Walker};

/// UPDATE and DELETE, by what they have in common.
pub struct Parts<'t> {
    pub relation: Option<Node<'t>>,
    pub with: Option<Node<'t>>,
    pub from: List<'t>,
    pub filter: Option<Node<'t>>,
    /// SET and RETURNING.
    pub outputs: Vec<Node<'t>>,
    /// Columns that are set.
    pub changed: Vec<&'t str>,
    pub returning: Option<Node<'t>>,
}

/// A text that is for several shards, each doing its part.
#[derive(Debug, Clone)]
pub struct Several {
    /// For tables of the statement, by their index.
    pub gathers: Vec<(usize, Gather)>,
    /// Values that one shard says for all.
    pub once: Vec<Once>,
    pub first_parameter: usize,
    pub text: String,
    pub same: bool,
}

impl<'t> Parts<'t> {
    pub fn of_update(update: UpdateStmt<'t>) -> Self {
        let targets = || update.target_list().iter();
        let changed = targets().filter_map(|it| match it {
            Node::ResTarget(it) => Some(text(it.name())),
            _ => None,
        });
        Self {
            relation: update.relation(),
            with: update.with_clause(),
            from: update.from_clause(),
            filter: update.where_clause(),
            outputs: targets().chain(update.returning_clause()).collect(),
            changed: changed.collect(),
            returning: update.returning_clause(),
        }
    }

    pub fn of_delete(delete: DeleteStmt<'t>) -> Self {
        Self {
            relation: delete.relation(),
            with: delete.with_clause(),
            from: delete.using_clause(),
            filter: delete.where_clause(),
            outputs: delete.returning_clause().into_iter().collect(),
            changed: Vec::new(),
            returning: delete.returning_clause(),
        }
    }

    /// Walks over all of it; gives the target's occurrence.
    pub fn walk(
        &self,
        walker: &mut Walker<'_, 't>,
        env: &Env<'_>,
        depth: usize,
    ) -> Result<usize, Refusal> {
        let scope = walker.scopes.open(None);
        let target = target(walker, self.relation, scope)?;
        walker.scopes.scopes[scope].tables.push((target, false));
        let mut inner = env.inner();
        walker.with(self.with, &mut inner, None, depth)?;
        walker.from(self.from, scope, &inner, depth)?;
        if let Some(filter) = self.filter {
            walker.filter(filter, scope);
            walker.expressions(filter, scope, &inner, depth)?;
        }
        for node in &self.outputs {
            walker.expressions(*node, scope, &inner, depth)?;
        }
        Ok(target)
    }
}

/// The table that is written.
pub fn target<'t>(
    walker: &mut Walker<'_, 't>,
    relation: Option<Node<'t>>,
    scope: usize,
) -> Result<usize, Refusal> {
    let Some(Node::RangeVar(relation)) = relation else {
        return Err(Refusal::over_shards("this write"));
    };
    let target = walker.table(relation, scope, &Env::EMPTY, false)?;
    let target = target.ok_or_else(|| Refusal::over_shards("a write to a table of the system"))?;
    let table = walker.scopes.occurrences[target].table;
    if let Kind::View { .. } = table.kind {
        let construct = format!("a write to {}, which is a view,", table.name);
        return Err(Refusal::new(construct, "Write to its table."));
    }
    if table.facts.as_ref().is_some_and(|it| it.rules) {
        let construct = format!("a write to {}, which has rules,", table.name);
        return Err(Refusal::new(construct, "Use triggers in place of rules."));
    }
    Ok(target)
}

/// A data-modifying statement in WITH: good for one shard, when all of it is there.
pub fn in_with<'t>(
    walker: &mut Walker<'_, 't>,
    statement: Node<'t>,
    env: &Env<'_>,
    depth: usize,
) -> Result<(), Refusal> {
    let target = match statement {
        Node::UpdateStmt(it) => {
            let parts = Parts::of_update(it);
            let target = parts.walk(walker, env, depth)?;
            let table = walker.scopes.occurrences[target].table;
            let key = table.key().and_then(|it| table.columns.get(it));
            if key.is_some_and(|it| parts.changed.contains(&it.name.as_str())) {
                return Err(Refusal::over_shards("a change of the sharding key in WITH"));
            }
            target
        }
        Node::DeleteStmt(it) => Parts::of_delete(it).walk(walker, env, depth)?,
        Node::InsertStmt(it) => {
            let found = insert_in(walker, it, env, depth)?;
            let table = walker.scopes.occurrences[found.target].table;
            if worst_left_out(table, it, &found)? > Volatility::OfSession {
                return Err(Refusal::over_shards(
                    "a sequence in a data-modifying statement in WITH",
                ));
            }
            found.target
        }
        _ => return Err(Refusal::over_shards("a data-modifying statement in WITH")),
    };
    match walker.scopes.occurrences[target].table.kind {
        Kind::Sharded { .. } | Kind::SchemaSharded { .. } => Ok(()),
        _ => Err(Refusal::over_shards("a write to a reference table in WITH")),
    }
}

/// What of a statement is looked at for its text on several shards.
pub struct Spread<'a, 't> {
    pub statement: RawStmt<'a>,
    pub sql: &'a str,
    pub target: usize,
    /// Occurrences whose rows must come from other shards.
    pub apart: Vec<usize>,
    /// All of the statement that may have values which one session must say.
    pub nodes: Vec<Node<'t>>,
    pub returning: Option<Node<'t>>,
}

/// The statement's text for several shards: rows of other shards come as parameters, and so do
/// values that one session must say.
///
/// # Errors
/// What cannot be done by several shards exactly.
pub fn several<'t>(
    walker: &Walker<'_, 't>,
    spread: Spread<'_, 't>,
    context: &Context<'_>,
) -> Result<Several, Refusal> {
    let Spread { statement, sql, target, apart, nodes, returning } = spread;
    let table = walker.scopes.occurrences[target].table;
    let same = table.kind == Kind::Reference;
    if walker.writes {
        return Err(Refusal::over_shards("a data-modifying statement in WITH"));
    }
    if walker.reads_system {
        return Err(Refusal::over_shards("a join with system tables"));
    }
    if let Some(refusal) = &walker.not_gathered {
        return Err(refusal.clone());
    }
    let worst = once::worst(walker, context.catalog)?;
    let simple = walker.scopes.scopes.len() == 1 && walker.scopes.occurrences.len() == 1;
    match worst {
        Volatility::Unknown => {
            let construct = "a function that is not IMMUTABLE in a write to several shards";
            return Err(Refusal::over_shards(construct));
        }
        Volatility::Sequence => {
            return Err(Refusal::over_shards("nextval() in a write to several shards"));
        }
        Volatility::Independent if same || !simple => {
            let construct = "a VOLATILE function in a write that several shards evaluate";
            return Err(Refusal::over_shards(construct));
        }
        _ => {}
    }
    let independent =
        walker.calls.iter().any(|it| is_independent(*it, context)) && (same || !simple);
    if independent {
        let construct = "a VOLATILE function in a write that several shards evaluate";
        return Err(Refusal::over_shards(construct));
    }
    // Every shard evaluates them: they must find the same.
    if walker.picks && (!apart.is_empty() || same || walker.scopes.occurrences.len() == 1) {
        let construct = "a subquery with LIMIT, DISTINCT ON or an aggregate that depends on order";
        return Err(Refusal::over_shards(construct));
    }
    check_references(walker, &apart)?;
    let tokens = Tokens::new(sql)?;
    let (range, _) = statement_range(statement, sql, &tokens)?;
    let once = match worst {
        Volatility::Everywhere => once::find(nodes, &tokens, context.catalog)?,
        _ => {
            named_by_itself(returning, context)?;
            once::find(nodes, &tokens, context.catalog)?
        }
    };
    let first_parameter = walker.last_parameter + 1;
    let mut next = first_parameter;
    let (mut gathers, mut edits) = (Vec::new(), Vec::<Edit>::new());
    for (index, occurrence) in walker.scopes.occurrences.iter().enumerate() {
        if !apart.contains(&index) {
            continue;
        }
        let (gather, subquery) = gather(occurrence, &walker.used, walker.uses_all, next)?;
        next += gather.columns.len();
        let placed = walker.scopes.occurrences[..index].iter().filter(|it| is_placed(it)).count();
        gathers.push((placed, gather));
        edits.push(tokens.replace(occurrence, &subquery)?);
    }
    for value in &once {
        edits.push(value.replaced(next));
        next += 1;
    }
    let text = edited(sql, range, edits);
    let text = text.ok_or_else(|| Refusal::over_shards("a text of this form"))?;
    Ok(Several { gathers, once, first_parameter, text, same })
}

fn is_independent(call: pgherd_parser::FuncCall<'_>, context: &Context<'_>) -> bool {
    crate::functions::volatility(call, context.catalog) == Volatility::Independent
}

/// The statement's own part of the text, without what is behind its last token; and its tokens.
pub fn statement_range(
    statement: RawStmt<'_>,
    sql: &str,
    tokens: &Tokens<'_>,
) -> Result<(std::ops::Range<usize>, std::ops::Range<usize>), Refusal> {
    let odd = || Refusal::over_shards("a text of this form");
    let start = usize::try_from(statement.stmt_location()).unwrap_or(0);
    let end = match usize::try_from(statement.stmt_len()) {
        Ok(0) | Err(_) => sql.len(),
        Ok(length) => start + length,
    };
    let (first, mut last) = (tokens.at(start), tokens.before(end).ok_or_else(odd)?);
    while tokens.text(last) == ";" {
        last = last.checked_sub(1).ok_or_else(odd)?;
    }
    let text = tokens.range(first).ok_or_else(odd)?.start..tokens.range(last).ok_or_else(odd)?.end;
    Ok((text, first..last + 1))
}

/// Occurrences whose rows are not where those of the target are.
pub fn apart(walker: &Walker<'_, '_>, target: usize) -> Vec<usize> {
    let scopes = &walker.scopes;
    let table = scopes.occurrences[target].table;
    let near = table.key().map(|key| scopes.following((target, key))).unwrap_or_default();
    let of = |(index, it): (usize, &crate::scope::Occurrence<'_>)| {
        let here = match it.table.kind {
            Kind::SchemaSharded { .. } => it.table.kind == table.kind,
            Kind::Sharded { column } => {
                near.contains(&(index, column)) && same_placement(it.table, table)
            }
            Kind::View { parted, .. } => !parted,
            _ => true,
        };
        (index != target && !here).then_some(index)
    };
    scopes.occurrences.iter().enumerate().filter_map(of).collect()
}

/// Equal keys of two sharded tables are on one shard. One rule places an integer and the same
/// number as text differently.
pub fn same_placement(one: &Table, other: &Table) -> bool {
    let family = |it: &Table| {
        let key = it.key().and_then(|key| it.columns.get(key)).filter(|it| is_key_type(it));
        key.map(|key| family(key.type_oid))
    };
    one.placement == other.placement && family(one).is_some() && family(one) == family(other)
}

/// References to what gathered rows do not have, and to what differs between shards.
fn check_references(walker: &Walker<'_, '_>, apart: &[usize]) -> Result<(), Refusal> {
    let gathered = || apart.iter().map(|it| &walker.scopes.occurrences[*it]);
    for reference in &walker.columns {
        let names = texts(reference.fields());
        let star = names.len() != reference.fields().len();
        let construct = match names.as_slice() {
            [.., name] if !star && SYSTEM_COLUMNS.contains(name) => "a system column",
            [name] if !star && gathered().any(|it| it.reference == *name) => "a whole row",
            [_, _, ..] if !apart.is_empty() && (names.len() > 2 || star && names.len() > 1) => {
                "a column's name with its schema"
            }
            _ => continue,
        };
        return Err(Refusal::over_shards(construct));
    }
    Ok(())
}

/// A value that is replaced would lose the name that Postgres gives to its column.
pub fn named_by_itself(returning: Option<Node<'_>>, context: &Context<'_>) -> Result<(), Refusal> {
    let mut stack: Vec<Node<'_>> = returning.into_iter().collect();
    while let Some(node) = stack.pop() {
        let of_session = match node {
            Node::ResTarget(it) if it.name().is_some() => continue,
            Node::SQLValueFunction(_) => true,
            Node::FuncCall(it) => {
                crate::functions::volatility(it, context.catalog) == Volatility::OfSession
            }
            _ => false,
        };
        if of_session {
            let hint = "Give the column a name with AS.";
            return Err(Refusal::new("the time or the session in RETURNING", hint));
        }
        node.push_children(&mut stack);
    }
    Ok(())
}

// === impl Several ===

impl Several {
    /// On these shards; `of_tables` are those of each placed table.
    pub fn plan(&self, shards: &[usize], of_tables: &[Vec<usize>]) -> Plan {
        if self.gathers.is_empty() && self.once.is_empty() && !self.same {
            return Plan::Broadcast(shards.to_vec());
        }
        let replies = if self.same { Replies::Same } else { Replies::Added };
        Plan::Write(Write {
            gathers: self.gathers(shards, of_tables),
            first_parameter: self.first_parameter,
            texts: shards.iter().map(|it| (*it, self.text.clone())).collect(),
            replies,
        })
    }

    /// See [`crate::Outline::stand_in`].
    pub fn stand_in(&self, target: &Table) -> Option<(Option<usize>, &str, usize)> {
        match target.kind {
            Kind::SchemaSharded { shard } => Some((Some(shard), &self.text, self.first_parameter)),
            _ => None,
        }
    }

    pub fn gathers(&self, shards: &[usize], of_tables: &[Vec<usize>]) -> Vec<Gather> {
        let of = |(table, gather): &(usize, Gather)| Gather {
            shards: of_tables.get(*table).cloned().unwrap_or_default(),
            ..gather.clone()
        };
        let mut gathers: Vec<Gather> = self.gathers.iter().map(of).collect();
        if !self.once.is_empty() {
            gathers.push(once::gather(&self.once, shards.first().copied().unwrap_or_default()));
        }
        gathers
    }
}

/// The one shard of all these tables.
pub fn shared_shard(of_tables: &[Vec<usize>]) -> Option<usize> {
    crate::outline::only(of_tables)
}

/// All tables of a walk whose rows are not everywhere.
pub fn placed(walker: &Walker<'_, '_>) -> Vec<Placed> {
    crate::outline::placed(walker)
}
