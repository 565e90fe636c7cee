//! The execution of a planned statement: on one shard, on several, or finished over their rows.

mod chain;
mod everywhere;
mod finish;
mod gather;
mod merge;
mod moving;
mod scatter;
mod write;

use std::sync::Arc;

use pgherd_plan::{Outline, Parameter, Plan, Refusal};
use pgherd_pool::Statement;
use pgherd_wire::description::row_type;
use pgherd_wire::frontend::definition_text;
use pgherd_wire::owed::Audience;
use pgherd_wire::{backend, frame};

use super::branch::{Arguments, Branch, Completed, Passing, Question, Wrote};
use super::catalog::Loaded;
use super::coordinator::Coordinator;
use super::encoding::Encoding;
use super::failure::{Failure, result_type_changed};
use super::front::Front;
use super::transaction::State;
use super::verb::Nature;
pub(crate) use gather::about_own_text;
use write::{Part, Together};

/// One execution of a statement.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) text: &'a str,
    /// Types of the parameters as Postgres has found them.
    pub(crate) types: &'a [u32],
    pub(crate) arguments: &'a Arguments,
    /// The arguments as the planner sees them.
    pub(crate) parameters: &'a [Parameter<'a>],
    /// Formats of the result: none for text, one for all, or one for each column.
    pub(crate) formats: &'a [i16],
    /// In the simple protocol a RowDescription goes before the rows.
    pub(crate) is_simple: bool,
    pub(crate) nature: Nature,
    /// By which connections keep it parsed.
    pub(crate) statement: Option<&'a Arc<Statement>>,
}

/// What is said at the end of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    /// The command tag; empty for an empty query.
    pub(crate) tag: Vec<u8>,
}

// === impl Done ===

impl Done {
    pub(crate) fn tagged(tag: &str) -> Self {
        Self { tag: tag.as_bytes().to_vec() }
    }

    pub(crate) fn of(completed: Completed) -> Self {
        Self { tag: completed.tag }
    }

    /// The tag with another number of rows, if it has one.
    pub(crate) fn with_count(&self, count: usize) -> Self {
        let at = self.tag.iter().rposition(|&byte| byte == b' ').map_or(0, |at| at + 1);
        match self.tag.split_at_checked(at) {
            Some((verb, number)) if !number.is_empty() && number.iter().all(u8::is_ascii_digit) => {
                Self { tag: [verb, count.to_string().as_bytes()].concat() }
            }
            _ => self.clone(),
        }
    }

    pub(crate) fn put(&self, front: &Front) {
        front.put(|out| match self.tag.as_slice() {
            [] => backend::put_empty(out, backend::tag::EMPTY_QUERY),
            tag => frame::put(out, backend::tag::COMMAND_COMPLETE, |body| {
                frame::put_cstr(body, tag);
            }),
        });
    }
}

// === impl Job ===

impl<'a> Job<'a> {
    /// The same with another text and without types that only its own text needs.
    pub(crate) fn question(&self, text: &'a str) -> Question<'a> {
        Question {
            sql: text.as_bytes(),
            types: self.types,
            arguments: self.arguments,
            formats: self.formats,
        }
    }

    /// What of the replies of the first shard goes to the client.
    pub(crate) fn passing(&self) -> Passing<'static> {
        Passing { description: self.is_simple, ..Passing::ROWS }
    }
}

/// The failure that a refusal is.
pub(crate) fn refused(refusal: Refusal) -> Failure {
    let text = refusal.to_string();
    let error =
        pgherd_wire::ErrorResponse::error(pgherd_wire::sqlstate::FEATURE_NOT_SUPPORTED, text);
    Failure::refused(error.hint(refusal.hint))
}

impl Coordinator {
    /// Plans a statement and runs it; its rows go to the client.
    pub(crate) async fn execute(&mut self, job: &Job<'_>) -> Result<Done, Failure> {
        let said = self.front.said();
        let mut attempts = self.attempts();
        loop {
            match self.execute_once(job).await {
                // Perhaps somebody else has changed the schema, and the client has heard nothing yet.
                Err(failure)
                    if self.transaction.state == State::None
                        && is_about_names(&failure.code())
                        && self.front.said() == said
                        && self.catalog_has_changed().await =>
                {
                    self.release_branches();
                    self.check_columns(job).await?;
                    return self.execute_once(job).await;
                }
                Err(failure) if self.tries_again(&mut attempts, &failure, job.text).await => {}
                executed => return executed,
            }
        }
    }

    /// What a client was told of the columns must hold for what it is sent.
    async fn check_columns(&mut self, job: &Job<'_>) -> Result<(), Failure> {
        let own = job
            .statement
            .filter(|it| !job.is_simple && definition_text(&it.definition) == job.text.as_bytes());
        let told = own.and_then(|it| it.shape.as_ref()).map(|it| it.columns.clone());
        let Some(told) = told else { return Ok(()) };
        let now = self.shape(job.text, job.types).await?;
        match now.row.as_deref().and_then(row_type).unwrap_or_default()[..] == told[..] {
            true => Ok(()),
            false => Err(result_type_changed()),
        }
    }

    /// The same for what is known to be for one shard.
    pub(crate) async fn execute_on(
        &mut self,
        shard: usize,
        job: &Job<'_>,
    ) -> Result<Done, Failure> {
        let mut attempts = self.attempts();
        loop {
            match self.on_one(shard, job).await {
                Err(failure) if self.tries_again(&mut attempts, &failure, job.text).await => {}
                executed => return executed,
            }
        }
    }

    async fn execute_once(&mut self, job: &Job<'_>) -> Result<Done, Failure> {
        let is_utf8 = Encoding::of(&self.front.params()) == Encoding::Utf8;
        if is_utf8 && let Some((shard, _)) = self.quick_shard(job.text, job.parameters) {
            return self.on_one(shard, job).await;
        }
        let plan = self.plan(job).await?;
        self.carry_out(plan, job).await
    }

    pub(crate) async fn plan(&mut self, job: &Job<'_>) -> Result<Plan, Failure> {
        if let Some(shard) = self.named_shard(job.text).await? {
            return Ok(Plan::Single(shard));
        }
        self.provide_unique_ids(job.text).await?;
        let (outline, loaded) = self.outline(job.text).await?;
        let encoding = Encoding::of(&self.front.params());
        let plan = encoding.with_parameters(job.parameters, |it| outline.plan(it, &loaded.places));
        self.improved(plan, &outline, &loaded, job).await
    }

    /// A plan that is not the client's own text, where a shard has to be asked first: for the time,
    /// which other shards then get as a constant, and for rights.
    async fn improved(
        &mut self,
        mut plan: Plan,
        outline: &Outline,
        loaded: &Loaded,
        job: &Job<'_>,
    ) -> Result<Plan, Failure> {
        if matches!(plan, Plan::Single(_) | Plan::Any | Plan::Refuse(_) | Plan::Elsewhere) {
            return Ok(plan);
        }
        if let (Plan::Finish(_), Some(moment)) = (&plan, outline.moment()) {
            let answer = self.ask_any(moment.question()).await?;
            let values = answer.rows.first().map(Vec::as_slice).unwrap_or_default();
            let text = |it: &Option<Vec<u8>>| {
                it.as_ref().map(|it| String::from_utf8_lossy(it).into_owned())
            };
            let values: Vec<Option<String>> = values.iter().map(text).collect();
            if let Some(text) = moment.text(&values)
                && let Some(begun) = self.outline_once(&text, loaded).await?
            {
                let encoding = Encoding::of(&self.front.params());
                let better =
                    encoding.with_parameters(job.parameters, |it| begun.plan(it, &loaded.places));
                if matches!(better, Plan::Merge(_) | Plan::Finish(_)) {
                    plan = better;
                }
            }
        }
        if let Some(rights) = outline.rights() {
            let answer = self.ask_any(rights).await?;
            if answer.rows.first().and_then(|row| row.first()?.as_deref()) != Some(b"t") {
                return Ok(Plan::Refuse(Refusal::new(
                    "a view over tables that this user may not read as the view's owner does",
                    "Grant SELECT on the tables to the user; row-level security cannot be kept.",
                )));
            }
        }
        Ok(plan)
    }

    pub(crate) async fn carry_out(&mut self, plan: Plan, job: &Job<'_>) -> Result<Done, Failure> {
        match plan {
            Plan::Single(shard) => self.on_one(shard, job).await,
            Plan::Any => self.on_one(self.shard_for(job.text), job).await,
            Plan::Broadcast(shards) => {
                self.may_write(&shards).await?;
                let begun = shards.len() > 1 && self.begin_own();
                let part = |shard| Part { shard, text: job.text, arguments: job.arguments };
                let parts: Vec<Part<'_>> = shards.into_iter().map(part).collect();
                let done = self.write_parts(&parts, Together::Added, job).await?;
                self.end_own(begun).await?;
                Ok(done)
            }
            Plan::Write(write) => self.write_plan(&write, job).await,
            Plan::Scatter(scatter) => {
                // What is sent says more than the client did, OVERRIDING for one: Postgres judges
                // the client's own text.
                self.shape(job.text, job.types).await?;
                self.scatter_plan(&scatter, job).await
            }
            Plan::Chain(chain) => Box::pin(self.chain_plan(&chain, job)).await,
            Plan::Move(change) => self.move_plan(&change, job).await,
            Plan::Everywhere(everywhere) => self.everywhere_plan(everywhere, job).await,
            Plan::Copy(copy) => Box::pin(self.copy_plan(&copy, job)).await,
            Plan::Merge(merge) => Box::pin(self.merge_plan(merge, job)).await,
            Plan::Finish(finish) => Box::pin(self.finish_plan(&finish, job)).await,
            Plan::Refuse(refusal) => {
                // What Postgres itself refuses is its own error.
                self.shape(job.text, job.types).await?;
                self.judge_copied(job.text).await?;
                Err(refused(refusal))
            }
            Plan::Elsewhere => Err(super::coordinator::not_understood()),
        }
    }

    /// The shard for what all of them could answer: the first one where its OIDs are asked for, or
    /// what only it keeps, such as advisory locks and large objects.
    pub(crate) fn shard_for(&self, text: &str) -> usize {
        const OF_FIRST: [&str; 7] =
            ["pg_", "information_schema", "reg", "lo_", "loread", "lowrite", "txid_"];
        if !self.oids.are_alike() {
            return 0;
        }
        let text = text.to_ascii_lowercase();
        let is_in = |it: &&str| memchr::memmem::find(text.as_bytes(), it.as_bytes()).is_some();
        if OF_FIRST.iter().any(is_in) { 0 } else { self.any_shard() }
    }

    /// The client's text on one shard.
    pub(crate) async fn on_one(&mut self, shard: usize, job: &Job<'_>) -> Result<Done, Failure> {
        let wrote = match job.nature {
            Nature::Reads => Wrote::Perhaps,
            Nature::Writes | Nature::Defines => Wrote::Yes,
        };
        if wrote == Wrote::Yes {
            self.may_write(&[shard]).await?;
        }
        if job.nature == Nature::Defines && self.transaction.is_open() {
            self.transaction.defines = true;
            self.forget_private_catalog();
        }
        let encoding = Encoding::of(&self.front.params());
        let branch = self.branch(shard).await?;
        if branch.on_primary {
            branch.wrote = branch.wrote.max(wrote);
        }
        let is_its_own = |it: &&Arc<Statement>| {
            let is_readable = encoding == Encoding::Utf8 || job.text.is_ascii();
            !job.is_simple && is_readable && definition_text(&it.definition) == job.text.as_bytes()
        };
        let own = job.statement.filter(is_its_own);
        match own.filter(|_| branch.translation.is_none()) {
            Some(statement) => branch.send_statement(statement, &job.question(job.text)).await?,
            None => send(branch, job, job.text).await?,
        }
        // What the client was told of its own text must hold.
        let told = own.and_then(|it| it.shape.as_ref()).map(|it| &*it.columns);
        let passing = Passing { columns: told.filter(|it| !it.is_empty()), ..job.passing() };
        let done = branch.forward(passing).await;
        if job.nature == Nature::Defines && !self.transaction.is_open() {
            self.forget_catalog();
        }
        Ok(Done::of(done?))
    }
}

/// Whether a failure may come of a catalog that is not up to date.
pub(crate) fn is_about_names(code: &str) -> bool {
    // Undefined tables, columns and functions, ambiguous and mismatching types, refusals, and
    // formats for as many columns as there were.
    const CODES: [&str; 8] =
        ["42P01", "42703", "42883", "42P18", "42804", "0A000", "XX000", "08P01"];
    CODES.contains(&code)
}

/// Sends a text as the client has: by itself, or with its parameters.
pub(crate) async fn send(branch: &mut Branch, job: &Job<'_>, text: &str) -> Result<(), Failure> {
    if job.is_simple && job.arguments.len() == 0 {
        return branch.send_simple(text.as_bytes(), Audience::Client).await;
    }
    branch.send_question(&job.question(text), Audience::Client).await
}

/// Two command tags with their counts added.
pub(super) fn added(sum: &[u8], tag: &[u8]) -> Vec<u8> {
    let cut = |tag: &[u8]| {
        let at = tag.iter().rposition(|&byte| byte == b' ')? + 1;
        let count: u64 = std::str::from_utf8(tag.get(at..)?).ok()?.parse().ok()?;
        Some((tag.get(..at)?.to_vec(), count))
    };
    match (cut(sum), cut(tag)) {
        (Some((verb, a)), Some((_, b))) => [verb, (a + b).to_string().into_bytes()].concat(),
        _ => sum.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_added() {
        assert_eq!(added(b"INSERT 0 2", b"INSERT 0 40"), b"INSERT 0 42");
        assert_eq!(added(b"UPDATE 0", b"UPDATE 1"), b"UPDATE 1");
        assert_eq!(added(b"TRUNCATE TABLE", b"TRUNCATE TABLE"), b"TRUNCATE TABLE");
        assert_eq!(Done::tagged("INSERT 0 2").with_count(0), Done::tagged("INSERT 0 0"));
        assert_eq!(Done::tagged("SHOW").with_count(0), Done::tagged("SHOW"));
    }
}
