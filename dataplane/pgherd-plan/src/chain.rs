//! A data-modifying statement in WITH over several shards: carried out first, once, its rows then
//! being the input of what follows.
//!
//! In Postgres all parts of such a statement see what was there before it. One after the other
//! gives the same where no part reads or writes what an earlier one has written, by itself or
//! through foreign keys, triggers, views and functions: all else is refused.

mod returning;

use std::collections::HashSet;
use std::ops::Range;

use pgherd_parser::{Node, RawStmt, StringSyntax, Tree};

use crate::catalog::{Kind, Table};
use crate::edit::Tokens;
use crate::functions::Volatility;
use crate::key::{Parameter, Placement};
use crate::outline::{Context, Outline, outline};
use crate::plan::{Chain, Plan, Refusal};
use crate::walk::text;
use crate::write::statement_range;
use returning::{body, written};

/// What is known of it before parameters have values.
#[derive(Debug, Clone)]
pub struct Chained {
    first: Outline,
    rest: Outline,
    chain: Chain,
    /// Both parts may tell the time, which must be that of one session.
    tells_time: bool,
}

/// A query of WITH in the text.
struct Cte<'t, 's> {
    name: &'t str,
    query: Node<'t>,
    /// All of it, from its name on.
    whole: &'s str,
    /// Its name, and the names of its columns if it gives some.
    head: &'s str,
    has_columns: bool,
    /// Tokens of all of it.
    tokens: Range<usize>,
    /// Tokens within its parentheses.
    body: Range<usize>,
}

fn odd() -> Refusal {
    Refusal::over_shards("a data-modifying statement in WITH that is written like this")
}

fn refused(why: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        format!("a data-modifying statement in WITH {why}"),
        "Make several statements of it, or compare the sharding key of every table with one value.",
    )
}

fn with_of(statement: Node<'_>) -> Option<Node<'_>> {
    match statement {
        Node::SelectStmt(it) => it.with_clause(),
        Node::InsertStmt(it) => it.with_clause(),
        Node::UpdateStmt(it) => it.with_clause(),
        Node::DeleteStmt(it) => it.with_clause(),
        Node::MergeStmt(it) => it.with_clause(),
        _ => None,
    }
}

/// `None` when the statement has none.
pub fn chained(
    statement: RawStmt<'_>,
    sql: &str,
    context: &Context<'_>,
) -> Option<Result<Chained, Refusal>> {
    let main = statement.stmt()?;
    let Some(Node::WithClause(with)) = with_of(main) else { return None };
    let modifies = |node: Node<'_>| match node {
        Node::CommonTableExpr(it) => !matches!(it.ctequery(), Some(Node::SelectStmt(_)) | None),
        _ => false,
    };
    let at = with.ctes().iter().position(modifies)?;
    Some(match with.recursive() {
        true => Err(refused("with RECURSIVE")),
        false => chain(statement, main, with.ctes().iter().collect(), at, sql, context),
    })
}

fn chain<'t>(
    statement: RawStmt<'t>,
    main: Node<'t>,
    nodes: Vec<Node<'t>>,
    at: usize,
    sql: &str,
    context: &Context<'_>,
) -> Result<Chained, Refusal> {
    let tokens = Tokens::new(sql)?;
    let (_, range) = statement_range(statement, sql, &tokens)?;
    let (ctes, behind) = cut(&nodes, &tokens, range.start)?;
    let modifying = ctes.get(at).ok_or_else(odd)?;
    let target = target(modifying.query, context)?;
    let of_main = names_below(main, true);
    // Other modifying statements are carried out whether somebody reads them or not.
    let mut roots = of_main;
    for cte in ctes.iter().enumerate().filter(|(it, _)| *it != at).map(|it| it.1) {
        if !matches!(cte.query, Node::SelectStmt(_)) {
            roots.extend(names_below(cte.query, false));
            roots.insert(cte.name);
        }
    }
    let in_rest = used_by(&ctes, roots);
    let before = ctes.get(..at).unwrap_or_default();
    let in_first = used_by(before, names_below(modifying.query, false));
    let is_read = in_rest.contains(modifying.name);
    let kept = |cte: &Cte<'_, '_>| in_rest.contains(cte.name);
    // === the parts ===
    let prefix: Vec<&str> =
        before.iter().filter(|it| in_first.contains(it.name)).map(|it| it.whole).collect();
    let both = ctes.iter().take(at).any(|it| in_first.contains(it.name) && kept(it));
    let (body, returned) = body(modifying, &target, &tokens, is_read)?;
    let first = match prefix.is_empty() {
        true => body,
        false => format!("WITH {} {body}", prefix.join(", ")),
    };
    let all_parameters = last_parameter(main);
    let first_parameter = all_parameters + 1;
    let mut list = Vec::new();
    for (index, cte) in ctes.iter().enumerate() {
        if index == at && is_read {
            list.push(format!("{} AS ({})", cte.head, returned.query(first_parameter)));
        } else if index != at && kept(cte) {
            list.push(written(cte.query, modifying, &returned, &tokens, cte.tokens.clone())?);
        }
    }
    let own = written(main, modifying, &returned, &tokens, behind..range.end)?;
    let rest = match list.is_empty() {
        true => own,
        false => format!("WITH {} {own}", list.join(", ")),
    };
    // === what they do to each other ===
    let parse = |text: &str| Tree::parse(text, StringSyntax::Standard).map_err(|_| odd());
    let (first_tree, rest_tree) = (parse(&first)?, parse(&rest)?);
    let first_statement = first_tree.statements().next().ok_or_else(odd)?;
    let rest_statement = rest_tree.statements().next().ok_or_else(odd)?;
    let first_node = first_statement.stmt().ok_or_else(odd)?;
    let rest_node = rest_statement.stmt().ok_or_else(odd)?;
    check_apart(modifying, &target, rest_node, context)?;
    let (calls, others) = (calls(first_node, context), self::calls(rest_node, context));
    if calls == Volatility::Unknown || others == Volatility::Unknown {
        return Err(refused("with a function that may read or write tables"));
    }
    if both && calls.max(others) > Volatility::Everywhere {
        return Err(refused("and a query of WITH for several parts that is not IMMUTABLE"));
    }
    let tells = |calls: Volatility, node| {
        calls > Volatility::Independent || tells_by_default(node, context)
    };
    let tells_time = tells(calls, first_node) && tells(others, rest_node);
    let first_parameters = last_parameter(first_node);
    let rest_parameters = match returned.columns.is_empty() {
        true => last_parameter(rest_node),
        false => all_parameters,
    };
    Ok(Chained {
        first: outline(first_statement, &first, context),
        rest: outline(rest_statement, &rest, context),
        chain: Chain {
            first,
            first_plan: Box::new(Plan::Elsewhere),
            first_parameters,
            columns: returned.columns,
            rest,
            rest_plan: Box::new(Plan::Elsewhere),
            rest_parameters,
        },
        tells_time,
    })
}

/// The queries of WITH, and the first token behind them.
fn cut<'t, 's>(
    nodes: &[Node<'t>],
    tokens: &Tokens<'s>,
    start: usize,
) -> Result<(Vec<Cte<'t, 's>>, usize), Refusal> {
    let is = |index: usize, word: &str| tokens.text(index).eq_ignore_ascii_case(word);
    let mut at = start;
    if !is(at, "with") {
        return Err(odd());
    }
    let mut ctes = Vec::new();
    for node in nodes {
        let Node::CommonTableExpr(cte) = node else { return Err(odd()) };
        let name = at + 1;
        let mut head = name;
        let has_columns = tokens.text(name + 1) == "(";
        if has_columns {
            head = tokens.closing(name + 1).ok_or_else(odd)?;
        }
        at = head + 1;
        if !is(at, "as") {
            return Err(odd());
        }
        at += 1;
        while is(at, "not") || is(at, "materialized") {
            at += 1;
        }
        let close = Some(at).filter(|it| tokens.text(*it) == "(").and_then(|it| tokens.closing(it));
        let close = close.ok_or_else(odd)?;
        ctes.push(Cte {
            name: text(cte.ctename()),
            query: cte.ctequery().ok_or_else(odd)?,
            whole: tokens.between(name, close).ok_or_else(odd)?,
            head: tokens.between(name, head).ok_or_else(odd)?,
            has_columns,
            tokens: name..close + 1,
            body: at + 1..close,
        });
        at = close + 1;
    }
    // Between two of them stands a comma, which the last one does not have.
    match tokens.text(at) {
        "," => Err(odd()),
        _ => Ok((ctes, at)),
    }
}

/// The table that a statement writes.
fn target(statement: Node<'_>, context: &Context<'_>) -> Result<Table, Refusal> {
    let relation = match statement {
        Node::InsertStmt(it) => it.relation(),
        Node::UpdateStmt(it) => it.relation(),
        Node::DeleteStmt(it) => it.relation(),
        _ => None,
    };
    let Some(Node::RangeVar(relation)) = relation else {
        return Err(refused("that is none of INSERT, UPDATE and DELETE"));
    };
    let schema = relation.schemaname().map(|it| text(Some(it)));
    let table = context.catalog.table(schema, text(relation.relname()), context.search_path);
    let table = table.filter(|it| matches!(it.kind, Kind::Sharded { .. } | Kind::Reference));
    table.cloned().ok_or_else(|| refused("of a table that is not declared"))
}

/// All nodes of a statement, or those of its WITH not.
fn below<'t>(statement: Node<'t>, is_main: bool) -> Vec<Node<'t>> {
    let mut stack = Vec::new();
    statement.push_children(&mut stack);
    if is_main {
        stack.retain(|it| !matches!(it, Node::WithClause(_)));
    }
    let mut all = vec![statement];
    while let Some(node) = stack.pop() {
        all.push(node);
        node.push_children(&mut stack);
    }
    all
}

/// Names without schema in FROM.
fn names_below<'t>(statement: Node<'t>, is_main: bool) -> HashSet<&'t str> {
    let name = |node: Node<'t>| match node {
        Node::RangeVar(it) if it.schemaname().is_none() => Some(text(it.relname())),
        _ => None,
    };
    below(statement, is_main).into_iter().filter_map(name).collect()
}

/// The names that are read, by these or by queries of WITH that these read.
fn used_by<'t>(ctes: &[Cte<'t, '_>], mut names: HashSet<&'t str>) -> HashSet<&'t str> {
    for cte in ctes.iter().rev() {
        if names.contains(cte.name) {
            names.extend(names_below(cte.query, false));
        }
    }
    names
}

fn last_parameter(statement: Node<'_>) -> usize {
    let number = |node: Node<'_>| match node {
        Node::ParamRef(it) => usize::try_from(it.number()).unwrap_or(0),
        _ => 0,
    };
    below(statement, false).into_iter().map(number).max().unwrap_or(0)
}

fn calls(statement: Node<'_>, context: &Context<'_>) -> Volatility {
    crate::facts::judge_node(statement, context.catalog)
}

/// Whether a table that is written has defaults which one session must say.
fn tells_by_default(statement: Node<'_>, context: &Context<'_>) -> bool {
    below(statement, false).into_iter().any(|node| match node {
        Node::InsertStmt(it) => target(Node::InsertStmt(it), context).is_ok_and(|table| {
            let facts = table.facts.as_ref();
            facts.is_none_or(|it| {
                it.defaults.iter().any(|(_, it)| it.volatility > Volatility::Independent)
            })
        }),
        _ => false,
    })
}

/// What follows must neither see nor touch what was written.
fn check_apart(
    cte: &Cte<'_, '_>,
    target: &Table,
    rest: Node<'_>,
    context: &Context<'_>,
) -> Result<(), Refusal> {
    let unknown = || refused("of a table that is not known enough");
    let facts = target.facts.as_ref().ok_or_else(unknown)?;
    let inserts = matches!(cte.query, Node::InsertStmt(_));
    if !facts.triggers.is_empty() {
        return Err(refused(format!("of {}, which has triggers", target.name)));
    }
    if facts.referenced && !inserts {
        return Err(refused(format!("of {}, to which foreign keys point,", target.name)));
    }
    let insert_conflict = match cte.query {
        Node::InsertStmt(it) => it.on_conflict_clause().is_some(),
        _ => false,
    };
    if facts.referenced && insert_conflict {
        return Err(refused(format!("of {}, to which foreign keys point,", target.name)));
    }
    let mut written = Vec::new();
    for node in below(rest, false) {
        match node {
            Node::RangeVar(it) => {
                if text(it.relname()) == target.name {
                    return Err(refused(format!("of {}, which another part names", target.name)));
                }
                let schema = it.schemaname().map(|it| text(Some(it)));
                let table = context.catalog.table(schema, text(it.relname()), context.search_path);
                if table.is_some_and(|it| matches!(it.kind, Kind::View { .. } | Kind::Opaque)) {
                    return Err(refused("beside a view"));
                }
                let related = table.and_then(|it| it.facts.as_ref()).is_some_and(|it| it.inherits);
                if related && facts.inherits {
                    return Err(refused("beside tables that inherit or are partitioned"));
                }
            }
            Node::InsertStmt(_) | Node::UpdateStmt(_) | Node::DeleteStmt(_) => written.push(node),
            Node::MergeStmt(_) => return Err(refused("beside MERGE")),
            _ => {}
        }
    }
    for node in written {
        let table = self::target(node, context)?;
        let other = table.facts.as_ref().ok_or_else(unknown)?;
        if !other.triggers.is_empty() {
            return Err(refused(format!("beside a write to {}, which has triggers", table.name)));
        }
        // Its rows could be what those of the first point to, or the other way.
        if other.referenced && !facts.references.is_empty() {
            let construct =
                format!("beside a write to {}, to which foreign keys point,", table.name);
            return Err(refused(construct));
        }
    }
    Ok(())
}

// === impl Chained ===

impl Chained {
    /// As [`Outline::rights`]: what writes names no such views.
    pub fn rights(&self) -> Option<&str> {
        self.rest.rights()
    }

    pub fn plan(&self, parameters: &[Parameter<'_>], placement: &dyn Placement) -> Plan {
        let (first, rest) =
            (self.first.plan(parameters, placement), self.rest.plan(parameters, placement));
        for plan in [&first, &rest] {
            if let Plan::Refuse(refusal) = plan {
                return Plan::Refuse(refusal.clone());
            }
        }
        if self.tells_time && !(is_timed_at_home(&first) && is_timed_at_home(&rest)) {
            return Plan::Refuse(refused("where several parts tell the time"));
        }
        Plan::Chain(Chain {
            first_plan: Box::new(first),
            rest_plan: Box::new(rest),
            ..self.chain.clone()
        })
    }
}

/// What such a plan says of the time comes from the first shard, when that takes part from the
/// beginning on.
fn is_timed_at_home(plan: &Plan) -> bool {
    match plan {
        Plan::Single(shard) => *shard == 0,
        // What is sent to several shards as it is says nothing of the time.
        Plan::Any | Plan::Finish(_) | Plan::Broadcast(_) => true,
        Plan::Scatter(it) => it.on.is_none_or(|it| it == 0) && is_timed_at_home(&it.plan),
        Plan::Write(it) => it.gathers.last().is_none_or(|it| it.shards == [0]),
        Plan::Move(it) => it.gathers.last().is_none_or(|it| it.shards == [0]),
        Plan::Chain(it) => is_timed_at_home(&it.first_plan) && is_timed_at_home(&it.rest_plan),
        _ => false,
    }
}
