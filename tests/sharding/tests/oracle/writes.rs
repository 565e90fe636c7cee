//! Writes: plans carried out by plain clients, and what is in the tables afterwards.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use pgherd_plan::{Move, Refusal, Replies, Scatter, Write};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::cluster::{SHARDED, rows};
use crate::corpus::Case;
use crate::executor::{Outcome, Planned, answer, failed};
use crate::values::{Bound, Value, array};

/// Sequences are not rolled back.
pub const RESTART: &str = "SELECT setval('accounts_id_seq', 500, false), \
     setval('tickets_id_seq', 500, false), setval('currencies_id_seq', 10, false), \
     setval('numbers', 100, false)";

/// What one shard answered.
struct Answer {
    columns: Vec<(String, u32, i32)>,
    rows: Vec<Vec<Value>>,
    affected: u64,
}

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(refusal.construct.into_owned())
}

/// Answers of several shards as one; `given` says for each row of the client's which answer it
/// should be in.
fn together(answers: Vec<Answer>, given: &[usize]) -> Outcome {
    let affected = answers.iter().map(|it| it.affected).sum();
    let columns = answers.first().map(|it| it.columns.clone()).unwrap_or_default();
    let expected = |index| given.iter().filter(|it| **it == index).count();
    let complete = answers.iter().enumerate().all(|(index, it)| it.rows.len() == expected(index));
    let mut all: Vec<_> = answers.into_iter().map(|it| it.rows.into_iter()).collect();
    let rows = match complete {
        true => given.iter().filter_map(|it| all[*it].next()).collect(),
        false => all.into_iter().flatten().collect(),
    };
    Outcome::Rows { columns, rows, affected }
}

impl Planned<'_> {
    async fn on(
        &self,
        shard: usize,
        sql: &str,
        types: &[Type],
        values: &[Bound],
    ) -> Result<Result<Answer, Outcome>> {
        Ok(match answer(&self.0.shards[shard], sql, types, values).await? {
            Outcome::Rows { columns, rows, affected } => Ok(Answer { columns, rows, affected }),
            other => Err(other),
        })
    }

    pub async fn write(&self, write: &Write, types: &[Type], values: &[Bound]) -> Result<Outcome> {
        let values = self.gathered(&write.gathers, write.first_parameter, types, values).await?;
        let values = match values {
            Ok(values) => values,
            Err(outcome) => return Ok(outcome),
        };
        let mut answers = Vec::new();
        for (shard, text) in &write.texts {
            match self.on(*shard, text, types, &values).await? {
                Ok(answer) => answers.push(answer),
                Err(outcome) => return Ok(outcome),
            }
        }
        match &write.replies {
            Replies::Added => Ok(together(answers, &[])),
            Replies::InOrder(order) => Ok(together(answers, order)),
            Replies::Same => same(answers),
        }
    }

    pub async fn scatter(
        &self,
        scatter: &Scatter,
        types: &[Type],
        parameters: &[Bound],
    ) -> Result<Outcome> {
        let home = &self.0.shards[scatter.on.unwrap_or(0)];
        let case = Case { sql: scatter.rows.clone(), ..Case::default() };
        let described = match home.prepare_typed(&scatter.rows, types).await {
            Ok(described) => described,
            Err(error) => return failed(&error),
        };
        let outcome = match (&*scatter.plan, scatter.on) {
            (pgherd_plan::Plan::Any, Some(shard)) => {
                answer(&self.0.shards[shard], &case.sql, types, parameters).await?
            }
            (plan, _) => {
                let plan = plan.clone();
                Box::pin(self.carry_out(plan, &case, &described, parameters)).await?.0
            }
        };
        let Outcome::Rows { mut rows, .. } = outcome else { return Ok(outcome) };
        if let Some(supply) = scatter.supply.as_ref().filter(|_| !rows.is_empty()) {
            let count = i64::try_from(rows.len())?.to_be_bytes().to_vec();
            let count = Bound { value: Some(count), binary: true };
            let more = answer(home, supply, &[Type::INT8], &[count]).await?;
            let Outcome::Rows { rows: more, .. } = more else { return Ok(more) };
            ensure!(more.len() == rows.len(), "as many rows as asked for");
            rows.iter_mut().zip(more).for_each(|(row, more)| row.extend(more));
        }
        let (mut given, mut of_shard) = (Vec::new(), Vec::<(usize, Vec<Vec<Value>>)>::new());
        for row in rows {
            let key = match &scatter.to {
                pgherd_plan::To::Key { at, .. } => row[*at].0.clone(),
                _ => None,
            };
            let shards = match scatter.shard(key.as_deref(), &self.0.places) {
                Ok(Some(shard)) => shard..shard + 1,
                Ok(None) => 0..self.0.shards.len(),
                Err(refusal) => return Ok(refused(refusal)),
            };
            for shard in shards {
                let index = of_shard.iter().position(|(it, _)| *it == shard).unwrap_or_else(|| {
                    of_shard.push((shard, Vec::new()));
                    of_shard.len() - 1
                });
                given.push(index);
                of_shard[index].1.push(row.clone());
            }
        }
        if of_shard.is_empty() {
            of_shard.push((0, Vec::new()));
        }
        let mut answers = Vec::new();
        for (shard, rows) in of_shard {
            let mut values = parameters.to_vec();
            ensure!(values.len() < scatter.first_parameter, "too many parameters");
            values.extend(arrays(&scatter.columns, &rows));
            match self.on(shard, &scatter.insert, types, &values).await? {
                Ok(answer) => answers.push(answer),
                Err(outcome) => return Ok(outcome),
            }
        }
        match scatter.to {
            pgherd_plan::To::All => same(answers),
            _ => Ok(together(answers, &given)),
        }
    }

    pub async fn change_keys(
        &self,
        change: &Move,
        types: &[Type],
        values: &[Bound],
    ) -> Result<Outcome> {
        let values = self.gathered(&change.gathers, change.first_parameter, types, values).await?;
        let values = match values {
            Ok(values) => values,
            Err(outcome) => return Ok(outcome),
        };
        let ours = 2 + change.columns.len();
        let mut answers = Vec::new();
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        for shard in &change.shards {
            let mut answer = match self.on(*shard, &change.update, types, &values).await? {
                Ok(answer) => answer,
                Err(outcome) => return Ok(outcome),
            };
            for row in &mut answer.rows {
                let mut more = row.split_off(row.len() - ours).into_iter();
                let (ctid, key) = (more.next().context("ctid")?, more.next().context("a key")?);
                match change.shard(key.0.as_deref(), &self.0.places) {
                    Ok(to) if to == *shard => {}
                    Ok(to) => {
                        gone.push((*shard, vec![ctid]));
                        new.push((to, more.collect::<Vec<_>>()));
                    }
                    Err(refusal) => return Ok(refused(refusal)),
                }
            }
            answer.columns.truncate(answer.columns.len() - ours);
            // An UPDATE that returned nothing.
            if answer.columns.is_empty() {
                answer.rows.clear();
            }
            answers.push(answer);
        }
        let ctids = [pgherd_plan::GatheredColumn { type_oid: Type::TID.oid() }];
        for (sql, columns, rows) in
            [(&change.delete, &ctids[..], gone), (&change.insert, &change.columns[..], new)]
        {
            for shard in 0..self.0.shards.len() {
                let rows = rows.iter().filter(|it| it.0 == shard).map(|it| it.1.clone());
                let rows: Vec<Vec<Value>> = rows.collect();
                if rows.is_empty() {
                    continue;
                }
                let values: Vec<Bound> = arrays(columns, &rows).collect();
                match self.on(shard, sql, &[], &values).await? {
                    Ok(answer) => ensure!(answer.affected == u64::try_from(rows.len())?, "{sql}"),
                    Err(outcome) => return Ok(outcome),
                }
            }
        }
        Ok(together(answers, &[]))
    }

    pub async fn chain(
        &self,
        chain: &pgherd_plan::Chain,
        described: &tokio_postgres::Statement,
        parameters: &[Bound],
    ) -> Result<Outcome> {
        let home = &self.0.shards[0];
        let types = described.params();
        let part = async |sql: &str, plan: &pgherd_plan::Plan, types: &[Type], values: &[Bound]| {
            let case = Case { sql: sql.to_owned(), ..Case::default() };
            let described = match home.prepare_typed(sql, types).await {
                Ok(described) => described,
                Err(error) => return failed(&error),
            };
            Ok(Box::pin(self.carry_out(plan.clone(), &case, &described, values)).await?.0)
        };
        let of = |count: usize| (&types[..count], &parameters[..count]);
        let (first_types, values) = of(chain.first_parameters);
        let outcome = part(&chain.first, &chain.first_plan, first_types, values).await?;
        let Outcome::Rows { rows, .. } = outcome else { return Ok(outcome) };
        let (rest_types, values) = of(chain.rest_parameters);
        let mut values = values.to_vec();
        if !chain.columns.is_empty() {
            values.extend(arrays(&chain.columns, &rows));
        }
        part(&chain.rest, &chain.rest_plan, rest_types, &values).await
    }

    pub async fn everywhere(&self, sql: &str) -> Result<Outcome> {
        let mut answers = Vec::new();
        for shard in 0..self.0.shards.len() {
            match self.on(shard, sql, &[], &[]).await? {
                Ok(answer) => answers.push(answer),
                Err(outcome) => return Ok(outcome),
            }
        }
        same(answers)
    }
}

/// Copies of one table: they all say the same.
fn same(answers: Vec<Answer>) -> Result<Outcome> {
    let first = answers.first().context("a shard")?;
    ensure!(
        answers.iter().all(|it| it.affected == first.affected),
        "the copies have drifted apart"
    );
    let Answer { columns, rows, affected } = answers.into_iter().next().context("a shard")?;
    Ok(Outcome::Rows { columns, rows, affected })
}

fn arrays<'a>(
    columns: &'a [pgherd_plan::GatheredColumn],
    rows: &'a [Vec<Value>],
) -> impl Iterator<Item = Bound> + 'a {
    columns.iter().enumerate().map(|(index, column)| {
        let values: Vec<Value> = rows.iter().map(|it| it[index].clone()).collect();
        Bound { value: Some(array(column.type_oid, &values)), binary: true }
    })
}

/// A row as text, with what is random or the time of now only told as such.
fn shown(table: &str) -> String {
    let recent = |column: &str| {
        format!(
            "CASE WHEN t.{column} > timestamptz '2026-01-01' THEN 'now' ELSE t.{column}::text END"
        )
    };
    match table {
        "accounts" => format!(
            "(to_jsonb(t) - 'token' - 'created')::text || {} || (token IS NULL)",
            recent("created")
        ),
        "users" => format!("(to_jsonb(t) - 'created')::text || {}", recent("created")),
        "currencies" => format!("(to_jsonb(t) - 'changed')::text || {}", recent("changed")),
        _ => "t::text".to_owned(),
    }
}

/// What is wrong with the tables of the shards, if anything is.
pub async fn compare_tables(whole: &Client, shards: &[Client]) -> Result<Option<String>> {
    let count = shards.len();
    for (table, key, placement) in SHARDED {
        let sql = format!("SELECT {} FROM {table} t", shown(table));
        let mut expected = rows(whole, &sql).await?;
        let mut got = Vec::new();
        for (shard, client) in shards.iter().enumerate() {
            got.extend(rows(client, &sql).await?);
            let strays = format!(
                "SELECT {key} FROM {table} WHERE NOT satisfies_hash_partition(\
                 '{placement}'::regclass, {count}, {shard}, {key})"
            );
            if let Some(row) = rows(client, &strays).await?.first() {
                return Ok(Some(format!("{table}: the key {row:?} is not for shard {shard}")));
            }
        }
        expected.sort();
        got.sort();
        if expected != got {
            let lost: Vec<_> = expected.iter().filter(|it| !got.contains(it)).take(3).collect();
            let new: Vec<_> = got.iter().filter(|it| !expected.contains(it)).take(3).collect();
            return Ok(Some(format!("{table}: lacks {lost:.400?}, has {new:.400?}")));
        }
    }
    for table in ["countries", "currencies"] {
        let sql = format!("SELECT {} FROM {table} t", shown(table));
        let mut expected = rows(whole, &sql).await?;
        expected.sort();
        for client in shards {
            let mut got = rows(client, &sql).await?;
            got.sort();
            if expected != got {
                return Ok(Some(format!("{table} differs: {got:.400?}")));
            }
        }
    }
    moments(shards).await
}

/// One statement has one time, whatever the number of shards.
async fn moments(shards: &[Client]) -> Result<Option<String>> {
    for (table, column) in
        [("accounts", "created"), ("users", "created"), ("currencies", "changed")]
    {
        let sql = format!("SELECT DISTINCT {column} FROM {table} WHERE {column} > '2026-01-01'");
        let mut moments = BTreeSet::new();
        for client in shards {
            moments.extend(rows(client, &sql).await?);
        }
        if moments.len() > 1 {
            return Ok(Some(format!("{table}.{column} has several times: {moments:?}")));
        }
    }
    Ok(None)
}
