//! EXPLAIN: the plan of the proxy over the plans of the shards.

mod part;

use part::{Format, Part};
use pgherd_plan::{Finish, Gather, Plan};
use pgherd_wire::backend::{self, Column};

use super::branch::Question;
use super::coordinator::Coordinator;
use super::cursors::tokens;
use super::execute::{Done, Job};
use super::failure::Failure;
use super::verb::Nature;

/// An EXPLAIN, cut.
struct Cut<'t> {
    /// EXPLAIN with its options.
    head: &'t str,
    query: &'t str,
    analyzes: bool,
    format: Format,
}

/// `None` when it is not understood.
fn cut(text: &str) -> Option<Cut<'_>> {
    let tokens = tokens(text);
    let word = |index: usize| {
        let (_, range) = tokens.get(index)?;
        text.get(range.clone()).map(str::to_ascii_lowercase)
    };
    let (mut analyzes, mut format) = (false, Format::Text);
    let mut at = 1;
    if word(at)? == "(" {
        at += 1;
        while word(at)? != ")" {
            let name = word(at)?;
            let value = word(at + 1).filter(|it| it != "," && it != ")");
            let value = value.as_deref().map(|it| it.trim_matches(['\'', '"']));
            match name.as_str() {
                "analyze" | "analyse" => {
                    analyzes = !matches!(value, Some("off" | "false" | "0" | "no" | "f" | "n"));
                }
                "format" => {
                    format = match value? {
                        "text" => Format::Text,
                        "json" => Format::Json,
                        "xml" => Format::Xml,
                        "yaml" => Format::Yaml,
                        _ => return None,
                    }
                }
                _ => {}
            }
            at += 1;
            while !matches!(word(at)?.as_str(), "," | ")") {
                at += 1;
            }
            if word(at)? == "," {
                at += 1;
            }
        }
        at += 1;
    } else {
        while matches!(word(at)?.as_str(), "analyze" | "analyse" | "verbose") {
            analyzes |= word(at)? != "verbose";
            at += 1;
        }
    }
    let start = tokens.get(at)?.1.start;
    let (head, query) = (text.get(..start)?, text.get(start..)?);
    Some(Cut { head, query: query.trim_end().trim_end_matches(';'), analyzes, format })
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
            Plan::Merge(_) | Plan::Finish(_) => {}
            _ if cut.analyzes => {
                return Err(Failure::unsupported(
                    "EXPLAIN ANALYZE of a write to several shards",
                    "Leave ANALYZE out, or name one shard.",
                ));
            }
            _ => {}
        }
        // One Postgres would have something to say of errors.
        self.judge_explained(&cut, job).await?;
        let part = Box::pin(self.explain_plan(&plan, &cut, &inner)).await?;
        if job.is_simple {
            let columns = [Column { name: "QUERY PLAN", type_oid: cut.format.type_oid() }];
            self.front.put(|out| backend::put_row_description(out, &columns));
        }
        for line in cut.format.rows(&part) {
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
        cut: &Cut<'_>,
        job: &Job<'_>,
    ) -> Result<Part, Failure> {
        let mut part;
        match plan {
            Plan::Merge(merge) => {
                part = Part::node(format!("Merge of rows from {}", listed(&merge.shards)))
                    .with("Query", one_line(&merge.query));
                for shard in &merge.shards {
                    part.add(self.explain_on(*shard, &merge.query, cut, job).await?);
                }
            }
            Plan::Finish(finish) => {
                part =
                    Part::node("Final query on one shard").with("Query", one_line(&finish.query));
                self.explain_gathers(&finish.gathers, cut, job, &mut part).await?;
                if cut.analyzes {
                    part.add(self.explain_final(finish, cut, job).await?);
                }
            }
            Plan::Broadcast(shards) => {
                part = Part::node(format!("Write on {}", listed(shards)));
                for shard in shards {
                    part.add(self.explain_on(*shard, job.text, cut, job).await?);
                }
            }
            Plan::Write(write) => {
                let shards: Vec<usize> = write.texts.iter().map(|(shard, _)| *shard).collect();
                part = Part::node(format!("Write on {}", listed(&shards)));
                for (shard, text) in &write.texts {
                    part.add(Part::Shard { shard: *shard, lines: self.quoted_text(text, cut) });
                }
                self.explain_gathers(&write.gathers, cut, job, &mut part).await?;
            }
            Plan::Scatter(scatter) => {
                part = Part::node("Insert of computed rows, each on its shard")
                    .with("Query", one_line(&scatter.insert))
                    .with("Rows", one_line(&scatter.rows));
            }
            Plan::Move(change) => {
                part =
                    Part::node(format!("Update of the sharding key on {}", listed(&change.shards)))
                        .with("Query", one_line(&change.update));
            }
            Plan::Chain(chain) => {
                part = Part::node("Two statements, one after the other")
                    .with("First", one_line(&chain.first))
                    .with("Then", one_line(&chain.rest));
            }
            _ => part = Part::node("On all shards"),
        }
        Ok(part)
    }

    /// A text in the place of a plan.
    fn quoted_text(&self, text: &str, cut: &Cut<'_>) -> Vec<String> {
        let text = one_line(text);
        vec![match cut.format {
            Format::Text => text,
            Format::Json | Format::Yaml => part::quoted(&text),
            Format::Xml => part::escaped(&text),
        }]
    }

    async fn explain_gathers(
        &mut self,
        gathers: &[Gather],
        cut: &Cut<'_>,
        job: &Job<'_>,
        part: &mut Part,
    ) -> Result<(), Failure> {
        for gather in gathers {
            let mut own = Part::node(format!("Gather from {}", listed(&gather.shards)))
                .with("Query", one_line(&gather.query));
            for shard in &gather.shards {
                own.add(self.explain_on(*shard, &gather.query, cut, job).await?);
            }
            part.add(own);
        }
        Ok(())
    }

    /// ANALYZE of the final query, over rows that are gathered for it.
    async fn explain_final(
        &mut self,
        finish: &Finish,
        cut: &Cut<'_>,
        job: &Job<'_>,
    ) -> Result<Part, Failure> {
        let shape = self.shape(job.text, job.types).await?;
        let types = if job.types.is_empty() { &shape.parameters } else { job.types };
        let job = Job { types, ..*job };
        let gathered = self.gathered_for(finish, &job).await?;
        let arguments = gathered.as_ref().unwrap_or(job.arguments);
        let sql = format!("{} {}", cut.head, finish.query);
        let question = Question { formats: &[], arguments, ..job.question(&sql) };
        let shard = self.any_shard();
        let mut part = Part::node("Final query");
        part.add(self.explained(shard, &question).await?);
        Ok(part)
    }

    async fn explain_on(
        &mut self,
        shard: usize,
        query: &str,
        cut: &Cut<'_>,
        job: &Job<'_>,
    ) -> Result<Part, Failure> {
        let sql = format!("{} {query}", cut.head);
        let question = match query.contains('$') {
            true => Question { formats: &[], ..job.question(&sql) },
            false => Question { formats: &[], ..Question::plain(&sql) },
        };
        self.explained(shard, &question).await
    }

    async fn explained(&mut self, shard: usize, question: &Question<'_>) -> Result<Part, Failure> {
        let branch = self.branch(shard).await?;
        let mut lines = Vec::new();
        branch
            .ask(question, &mut |row| {
                let line =
                    backend::parse_data_row(row).and_then(|it| it.first().copied().flatten());
                lines.push(String::from_utf8_lossy(line.unwrap_or_default()).into_owned());
                Ok(())
            })
            .await?;
        Ok(Part::Shard { shard, lines })
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
        assert_eq!((it.query.trim(), it.analyzes, it.format), ("SELECT (1)", false, Format::Text));
        let it = cut("explain analyze verbose SELECT 1").unwrap();
        assert_eq!((it.query, it.analyzes), ("SELECT 1", true));
        let it = cut("EXPLAIN (ANALYZE off, BUFFERS, FORMAT 'JSON') SELECT 1").unwrap();
        assert_eq!((it.query, it.analyzes, it.format), ("SELECT 1", false, Format::Json));
        assert!(cut("EXPLAIN (FORMAT YAML, ANALYZE) SELECT 1").unwrap().analyzes);
    }
}
