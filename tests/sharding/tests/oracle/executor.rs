//! Executors: who answers a statement, one Postgres or a plan over shards.

use anyhow::{Context as _, Result, ensure};
use pgherd_parser::{StringSyntax, Tree};
use pgherd_plan::{Context, Finish, Gather, Outline, Parameter, Plan, outline};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Statement};

use crate::cluster::{Cluster, rows};
use crate::corpus::Case;
use crate::merging::is_same;
use crate::values::{Bound, Value, array};

/// What a client would see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Names, type OIDs and modifiers, rows, how many.
    Rows {
        columns: Vec<(String, u32, i32)>,
        rows: Vec<Vec<Value>>,
        affected: u64,
    },
    /// An SQLSTATE.
    Failed(String),
    Refused(String),
}

/// Answers statements; the proxy will be another one.
pub trait Executor {
    /// The answer, and in a word how it came about.
    async fn run(&self, case: &Case) -> Result<(Outcome, &'static str)>;
}

/// One Postgres with all rows.
pub struct Whole<'a>(pub &'a Client);

impl Executor for Whole<'_> {
    async fn run(&self, case: &Case) -> Result<(Outcome, &'static str)> {
        let parameters = bound(case);
        Ok((answer(self.0, &case.sql, &[], &parameters).await?, "whole"))
    }
}

/// Plans, run by plain clients; the flag asks for a merge's other plan.
pub struct Planned<'a>(pub &'a Cluster, pub bool);

fn bound(case: &Case) -> Vec<Bound> {
    let bytes = |it: &Option<String>| it.as_ref().map(|it| it.clone().into_bytes());
    case.parameters.iter().map(|it| Bound { value: bytes(it), binary: false }).collect()
}

pub fn failed(error: &tokio_postgres::Error) -> Result<Outcome> {
    let code = error.code().with_context(|| format!("no error of the server: {error}"))?;
    Ok(Outcome::Failed(code.code().to_owned()))
}

pub fn columns(statement: &Statement) -> Vec<(String, u32, i32)> {
    statement
        .columns()
        .iter()
        .map(|it| (it.name().to_owned(), it.type_().oid(), it.type_modifier()))
        .collect()
}

pub async fn answer(
    client: &Client,
    sql: &str,
    types: &[Type],
    parameters: &[Bound],
) -> Result<Outcome> {
    let statement = match client.prepare_typed(sql, types).await {
        Ok(statement) => statement,
        Err(error) => return failed(&error),
    };
    execute(client, &statement, parameters).await
}

async fn execute(client: &Client, statement: &Statement, values: &[Bound]) -> Result<Outcome> {
    use futures_util::TryStreamExt;
    let values = values.iter().map(|it| it as &(dyn ToSql + Sync));
    let stream = match client.query_raw(statement, values).await {
        Ok(stream) => stream,
        Err(error) => return failed(&error),
    };
    let mut stream = std::pin::pin!(stream);
    let mut rows = Vec::new();
    loop {
        match stream.try_next().await {
            Ok(Some(row)) => rows.push((0..row.len()).map(|it| row.get(it)).collect()),
            Ok(None) => break,
            Err(error) => return failed(&error),
        }
    }
    let affected = stream.rows_affected().unwrap_or(0);
    Ok(Outcome::Rows { columns: columns(statement), rows, affected })
}

impl Executor for Planned<'_> {
    async fn run(&self, case: &Case) -> Result<(Outcome, &'static str)> {
        let shards = &self.0.shards;
        let parameters = bound(case);
        let outline = self.outline(&case.sql)?;
        // Postgres judges the client's own text: its errors, and the types of its parameters.
        let described = match shards[0].prepare(&case.sql).await {
            Ok(statement) => statement,
            Err(error) => return Ok((failed(&error)?, "error")),
        };
        let types = described.params().to_vec();
        let values: Vec<Parameter<'_>> = parameters
            .iter()
            .zip(&types)
            .map(|(it, of)| Parameter {
                type_oid: of.oid(),
                value: it.value.as_deref(),
                binary: false,
            })
            .collect();
        let mut plan = outline.plan(&values, &self.0.places);
        if let (Plan::Finish(_), Some(moment)) = (&plan, outline.moment()) {
            let asked = rows(&shards[0], moment.question()).await?;
            let text = moment.text(asked.first().context("a moment")?).context("its text")?;
            let better = self.outline(&text)?.plan(&values, &self.0.places);
            if matches!(better, Plan::Merge(_) | Plan::Finish(_)) {
                plan = better;
            }
        }
        if let Some(rights) = outline.rights() {
            ensure!(rows(&shards[0], rights).await? == [[Some("t".to_owned())]], "rights");
        }
        self.carry_out(plan, case, &described, &parameters).await
    }
}

impl Planned<'_> {
    pub async fn carry_out(
        &self,
        plan: Plan,
        case: &Case,
        described: &Statement,
        parameters: &[Bound],
    ) -> Result<(Outcome, &'static str)> {
        if std::env::var_os("PGHERD_PLAN").is_some() {
            println!("{}\n{plan:#?}", case.sql);
        }
        let shards = &self.0.shards;
        let types = described.params().to_vec();
        match plan {
            Plan::Merge(merge) if !self.1 && described.columns().iter().all(is_same) => {
                Ok((self.merge(&merge, described, &types, parameters).await?, "merge"))
            }
            Plan::Merge(merge) => {
                Box::pin(self.carry_out(*merge.otherwise, case, described, parameters)).await
            }
            Plan::Single(shard) => {
                Ok((answer(&shards[shard], &case.sql, &types, parameters).await?, "single"))
            }
            Plan::Any => {
                let last = shards.last().context("a shard")?;
                Ok((answer(last, &case.sql, &types, parameters).await?, "any"))
            }
            Plan::Finish(finish) => {
                let outcome = self.finish(&finish, described, &types, parameters).await?;
                let begun = finish.gathers.iter().any(|it| it.query.contains("\"pgherd 0\""));
                Ok((outcome, if begun { "begun" } else { "finish" }))
            }
            Plan::Broadcast(on) => {
                let texts = on.into_iter().map(|it| (it, case.sql.clone())).collect();
                Ok((self.each(texts, &types, parameters).await?, "broadcast"))
            }
            Plan::Write(write) => Ok((self.write(&write, &types, parameters).await?, "write")),
            Plan::Scatter(scatter) => {
                Ok((self.scatter(&scatter, &types, parameters).await?, "scatter"))
            }
            Plan::Chain(chain) => Ok((self.chain(&chain, described, parameters).await?, "chain")),
            Plan::Move(change) => {
                Ok((self.change_keys(&change, &types, parameters).await?, "move"))
            }
            Plan::Everywhere(_) => Ok((self.everywhere(&case.sql).await?, "everywhere")),
            Plan::Refuse(refusal) => Ok((Outcome::Refused(refusal.construct.into_owned()), "")),
            // Its data is not here: the tests of the proxy have it.
            Plan::Copy(_) => Ok((Outcome::Refused("COPY".to_owned()), "")),
            Plan::Elsewhere => Ok((Outcome::Refused("not planned".to_owned()), "")),
        }
    }
}

impl Planned<'_> {
    pub fn outline(&self, sql: &str) -> Result<Outline> {
        let tree = Tree::parse(sql, StringSyntax::Standard).with_context(|| sql.to_owned())?;
        let statement = tree.statements().next().context("a statement")?;
        let context = Context {
            catalog: &self.0.catalog,
            search_path: &["public"],
            shards: self.0.shards.len(),
        };
        Ok(outline(statement, sql, &context))
    }

    /// The client's parameters, and the gathered rows as arrays behind them.
    pub async fn gathered(
        &self,
        gathers: &[Gather],
        first_parameter: usize,
        types: &[Type],
        parameters: &[Bound],
    ) -> Result<Result<Vec<Bound>, Outcome>> {
        let mut values = parameters.to_vec();
        ensure!(gathers.is_empty() || values.len() < first_parameter, "too many parameters");
        for gather in gathers {
            let mut gathered = vec![Vec::new(); gather.columns.len()];
            for shard in &gather.shards {
                let (types, values) =
                    if gather.uses_parameters { (types, parameters) } else { (&[][..], &[][..]) };
                let client = &self.0.shards[*shard];
                let rows = match answer(client, &gather.query, types, values).await? {
                    Outcome::Rows { columns, rows, .. } => {
                        let oids = columns.iter().map(|(_, oid, _)| *oid);
                        let expected = gather.columns.iter().map(|it| it.type_oid);
                        ensure!(oids.eq(expected), "other types: {}", gather.query);
                        rows
                    }
                    other => return Ok(Err(other)),
                };
                for (column, value) in rows.into_iter().flat_map(|it| it.into_iter().enumerate()) {
                    gathered[column].push(value);
                }
            }
            for (column, gathered) in gather.columns.iter().zip(&gathered) {
                let value = Some(array(column.type_oid, gathered));
                values.push(Bound { value, binary: true });
            }
        }
        Ok(Ok(values))
    }

    async fn each(
        &self,
        texts: Vec<(usize, String)>,
        types: &[Type],
        values: &[Bound],
    ) -> Result<Outcome> {
        let (mut all, mut names, mut sum) = (Vec::new(), Vec::new(), 0);
        for (shard, text) in texts {
            match answer(&self.0.shards[shard], &text, types, values).await? {
                Outcome::Rows { columns, rows, affected } => {
                    names = columns;
                    all.extend(rows);
                    sum += affected;
                }
                other => return Ok(other),
            }
        }
        Ok(Outcome::Rows { columns: names, rows: all, affected: sum })
    }

    async fn finish(
        &self,
        finish: &Finish,
        described: &Statement,
        types: &[Type],
        parameters: &[Bound],
    ) -> Result<Outcome> {
        let mut gathers = finish.gathers.clone();
        match finish.locks.and_then(|it| it.limit) {
            None => {}
            Some(0) => gathers.iter_mut().for_each(|it| it.shards.clear()),
            // Of all shards together: which rows, tests of the proxy say.
            Some(limit) => return Ok(Outcome::Refused(format!("LIMIT {limit}"))),
        }
        let values = self.gathered(&gathers, finish.first_parameter, types, parameters).await?;
        let values = match values {
            Ok(values) => values,
            Err(outcome) => return Ok(outcome),
        };
        let last = self.0.shards.last().context("a shard")?;
        let statement = match last.prepare_typed(&finish.query, types).await {
            Ok(statement) => statement,
            Err(error) => {
                let message = error.as_db_error().map(|it| it.message()).unwrap_or_default();
                return Ok(Outcome::Refused(format!("by Postgres: {message}")));
            }
        };
        if columns(&statement) != columns(described) {
            return Ok(Outcome::Refused("by its columns".to_owned()));
        }
        execute(last, &statement, &values).await
    }
}
