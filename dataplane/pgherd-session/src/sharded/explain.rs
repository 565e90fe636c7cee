//! EXPLAIN: the plan of the proxy over the plans of the shards.

use pgherd_plan::{Gather, Plan};
use pgherd_wire::backend::{self, Column};

use super::branch::Question;
use super::coordinator::Coordinator;
use super::cursors::tokens;
use super::execute::{Done, Job};
use super::failure::Failure;
use super::verb::Nature;

const TEXT: u32 = 25;

/// An EXPLAIN, cut.
struct Cut<'t> {
    /// EXPLAIN with its options.
    head: &'t str,
    query: &'t str,
    analyzes: bool,
    is_text: bool,
}

/// `None` when it is not understood.
fn cut(text: &str) -> Option<Cut<'_>> {
    let tokens = tokens(text);
    let word = |index: usize| {
        let (_, range) = tokens.get(index)?;
        text.get(range.clone()).map(str::to_ascii_lowercase)
    };
    let mut at = 1;
    if word(at)? == "(" {
        let mut depth = 0;
        loop {
            match word(at)?.as_str() {
                "(" => depth += 1,
                ")" => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
    } else {
        while matches!(word(at)?.as_str(), "analyze" | "analyse" | "verbose") {
            at += 1;
        }
    }
    let start = tokens.get(at)?.1.start;
    let (head, query) = (text.get(..start)?, text.get(start..)?);
    let lower = head.to_ascii_lowercase();
    Some(Cut {
        head,
        query: query.trim_end().trim_end_matches(';'),
        analyzes: lower.contains("analy"),
        is_text: !["json", "xml", "yaml"].iter().any(|it| lower.contains(it)),
    })
}

impl Coordinator {
    pub(crate) async fn explain(&mut self, job: &Job<'_>) -> Result<Done, Failure> {
        let cut = cut(job.text).ok_or_else(super::coordinator::not_understood)?;
        let inner = Job { text: cut.query, is_simple: false, nature: Nature::Reads, ..*job };
        let plan = self.plan(&inner).await?;
        match plan {
            Plan::Single(shard) => return self.on_one(shard, job).await,
            Plan::Any => return self.on_one(self.shard_for(cut.query), job).await,
            Plan::Refuse(refusal) => {
                self.judge_explained(&cut, job).await?;
                return Err(super::execute::refused(refusal));
            }
            _ if cut.analyzes || !cut.is_text => {
                return Err(Failure::unsupported(
                    "EXPLAIN with ANALYZE, or in another format than text,",
                    "Leave the options out, or name one shard.",
                ));
            }
            _ => {}
        }
        // One Postgres would have something to say of errors.
        self.judge_explained(&cut, job).await?;
        let mut lines = Vec::new();
        self.explain_plan(&plan, cut.head, &inner, &mut lines).await?;
        if job.is_simple {
            let columns = [Column { name: "QUERY PLAN", type_oid: TEXT }];
            self.front.put(|out| backend::put_row_description(out, &columns));
        }
        for line in &lines {
            let mut row = Vec::new();
            backend::put_data_row(&mut row, [Some(line.as_str())].into_iter());
            self.front.put_row(row.get(5..).unwrap_or_default())?;
        }
        Ok(Done::tagged("EXPLAIN"))
    }

    /// The errors of one Postgres, with their places in the client's text.
    async fn judge_explained(&mut self, cut: &Cut<'_>, job: &Job<'_>) -> Result<(), Failure> {
        match self.shape(cut.query, job.types).await {
            Ok(_) => Ok(()),
            Err(Failure::Reported(report)) => {
                Err(Failure::Reported(report.shifted(cut.head.chars().count())))
            }
            Err(failure) => Err(failure),
        }
    }

    async fn explain_plan(
        &mut self,
        plan: &Plan,
        head: &str,
        job: &Job<'_>,
        lines: &mut Vec<String>,
    ) -> Result<(), Failure> {
        match plan {
            Plan::Merge(merge) => {
                lines.push(format!("Merge of rows from {}", listed(&merge.shards)));
                lines.push(format!("  Query: {}", one_line(&merge.query)));
                for shard in &merge.shards {
                    self.explain_on(*shard, head, &merge.query, job, lines).await?;
                }
            }
            Plan::Finish(finish) => {
                lines.push("Final query on one shard".to_owned());
                lines.push(format!("  Query: {}", one_line(&finish.query)));
                self.explain_gathers(&finish.gathers, head, job, lines).await?;
            }
            Plan::Broadcast(shards) => {
                lines.push(format!("Write on {}", listed(shards)));
                for shard in shards {
                    self.explain_on(*shard, head, job.text, job, lines).await?;
                }
            }
            Plan::Write(write) => {
                let shards: Vec<usize> = write.texts.iter().map(|(shard, _)| *shard).collect();
                lines.push(format!("Write on {}", listed(&shards)));
                for (shard, text) in &write.texts {
                    lines.push(format!("  Shard {shard}: {}", one_line(text)));
                }
                self.explain_gathers(&write.gathers, head, job, lines).await?;
            }
            Plan::Scatter(scatter) => {
                lines.push("Insert of computed rows, each on its shard".to_owned());
                lines.push(format!("  Query: {}", one_line(&scatter.insert)));
                lines.push(format!("  Rows: {}", one_line(&scatter.rows)));
            }
            Plan::Move(change) => {
                lines.push(format!("Update of the sharding key on {}", listed(&change.shards)));
                lines.push(format!("  Query: {}", one_line(&change.update)));
            }
            _ => lines.push("On all shards".to_owned()),
        }
        Ok(())
    }

    async fn explain_gathers(
        &mut self,
        gathers: &[Gather],
        head: &str,
        job: &Job<'_>,
        lines: &mut Vec<String>,
    ) -> Result<(), Failure> {
        for gather in gathers {
            lines.push(format!("  ->  Gather from {}", listed(&gather.shards)));
            lines.push(format!("        Query: {}", one_line(&gather.query)));
            for shard in &gather.shards {
                self.explain_on(*shard, head, &gather.query, job, lines).await?;
            }
        }
        Ok(())
    }

    async fn explain_on(
        &mut self,
        shard: usize,
        head: &str,
        query: &str,
        job: &Job<'_>,
        lines: &mut Vec<String>,
    ) -> Result<(), Failure> {
        lines.push(format!("  ->  Shard {shard}"));
        let sql = format!("{head} {query}");
        let question = match query.contains('$') {
            true => Question { formats: &[], ..job.question(&sql) },
            false => Question { formats: &[], ..Question::plain(&sql) },
        };
        let branch = self.branch(shard).await?;
        branch
            .ask(&question, &mut |row| {
                let line =
                    backend::parse_data_row(row).and_then(|it| it.first().copied().flatten());
                let line = String::from_utf8_lossy(line.unwrap_or_default());
                lines.push(format!("        {line}"));
                Ok(())
            })
            .await?;
        Ok(())
    }
}

fn listed(shards: &[usize]) -> String {
    let shards: Vec<String> = shards.iter().map(ToString::to_string).collect();
    match shards.as_slice() {
        [one] => format!("shard {one}"),
        several => format!("shards {}", several.join(", ")),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explain_is_cut() {
        let it = cut("EXPLAIN (COSTS OFF, FORMAT text) SELECT (1) ;").unwrap();
        assert_eq!((it.query.trim(), it.analyzes, it.is_text), ("SELECT (1)", false, true));
        let it = cut("explain analyze verbose SELECT 1").unwrap();
        assert_eq!((it.query, it.analyzes), ("SELECT 1", true));
        assert!(!cut("EXPLAIN (FORMAT JSON) SELECT 1").unwrap().is_text);
    }
}
