//! Parameters of the session: SET, RESET, SHOW and DISCARD ALL, on all shards alike.

use std::sync::Arc;

use pgherd_wire::ParamSet;
use pgherd_wire::owed::Audience;

use super::branch::Passing;
use super::coordinator::Coordinator;
use super::execute::Done;
use super::failure::Failure;
use super::transaction::State;
use super::verb::Setting;
use crate::patience::in_time;
use crate::pins::Pins;
use crate::settle::Answer;
use crate::settle::question::question;

impl Coordinator {
    /// SET and RESET. Returns the tag.
    pub(crate) async fn set(
        &mut self,
        setting: &Setting,
        text: &str,
    ) -> Result<&'static str, Failure> {
        let text = text.trim().trim_end_matches(';');
        let first = self.any_shard();
        self.branch(first).await?;
        let text = match &setting.reset {
            Some(name) => self.reset_text(name, text),
            None => text.to_owned(),
        };
        let is_reset = setting.reset.is_some();
        if setting.reset.as_deref() == Some("all") {
            self.wishes.reset_all(self.transaction.is_open());
        }
        let shards: Vec<usize> = self.branches.iter().map(|it| it.shard).collect();
        for shard in shards {
            let Some(branch) = self.branches.get(shard) else { continue };
            // One speaks for all.
            branch.is_quiet = is_reset || shard != first;
            branch.send_simple(text.as_bytes(), Audience::Client).await?;
            let completed = branch.forward(Passing::NOTHING).await;
            branch.is_quiet = false;
            completed?;
        }
        if let Some(name) = setting.name.as_ref().filter(|it| it.contains('.'))
            && !self.custom.contains(name)
        {
            self.custom.push(name.clone());
        }
        if self.transaction.is_open() {
            self.transaction.log_set(&text);
            self.transaction.sets |= !setting.is_local && !setting.is_transaction;
            if is_reset {
                self.report_params(first);
            }
        } else if !setting.is_local && !setting.is_transaction {
            self.take_settings().await?;
            self.report_params(first);
        }
        Ok(if is_reset { "RESET" } else { "SET" })
    }

    /// RESET leads to the values that the session began with: the shard began with others.
    fn reset_text(&self, name: &str, text: &str) -> String {
        let mut own = ParamSet::default();
        for (key, value) in self.front.startup_params.iter() {
            if name == "all" || key.eq_ignore_ascii_case(name) {
                own.set(key, value);
            }
        }
        let sql = own.to_set_statements();
        if sql.is_empty() { text.to_owned() } else { format!("{text}; {sql}") }
    }

    /// Tells the client of parameters that a branch has now and that nothing was said of.
    pub(crate) fn report_params(&mut self, shard: usize) {
        let Some(branch) = self.branches.get(shard) else { return };
        let Some(lease) = branch.connection() else { return };
        let params = Arc::clone(&lease.params);
        let reported = lease.pool().reported();
        for name in reported.iter() {
            if let Some(value) = params.get(name) {
                self.front.report_later(name, value);
            }
        }
    }

    /// Asks what parameters the session has now, so that they follow to other connections.
    pub(crate) async fn take_settings(&mut self) -> Result<(), Failure> {
        let Some(shard) = self.branches.iter().find(|it| it.is_alive()).map(|it| it.shard) else {
            return Ok(());
        };
        let mut names = self.custom.clone();
        for (name, _) in self.front.params().iter() {
            if name.contains('.') && !names.iter().any(|it| it == name) {
                names.push(name.to_owned());
            }
        }
        let Some(branch) = self.branches.get(shard) else { return Ok(()) };
        let Some(lease) = branch.connection() else { return Err(Failure::Broken(shard)) };
        let mut answer = Answer::default();
        let asked = in_time(answer.ask(lease, &question(Pins::SETTINGS, &names))).await;
        if let Err(error) = asked {
            tracing::warn!(shard, "cannot ask for the session's parameters: {error}");
            branch.taint();
            return Err(Failure::Broken(shard));
        }
        if answer.illegible {
            branch.taint();
            return Err(Failure::unsupported(
                "a parameter whose value has other characters than ASCII",
                "Set it in the startup packet, or for the role.",
            ));
        }
        let reported = lease.pool().welcome().unwrap_or_default();
        let settings = answer.settings.iter().filter(|(name, value)| match name.as_str() {
            "role" => value != "none",
            // What was never set reads like this after a RESET.
            name => !(value.is_empty() && name.contains('.')),
        });
        let settings = settings.map(|(name, value)| (name.as_str(), value.as_str()));
        let params = Arc::new(lease.params.with_unreported(&reported, settings));
        let client = self.front.params();
        // What is reported the client has heard, or is about to.
        let told = client.iter().filter(|(name, _)| reported.get(name).is_some());
        let mut own = (*params).clone();
        for (name, value) in told {
            own.set(name, value);
        }
        self.front.set_params(Arc::new(own));
        for branch in self.branches.iter_mut() {
            branch.assume_params(&params);
        }
        Ok(())
    }

    /// SHOW: as one shard has it.
    pub(crate) async fn show(&mut self, text: &str, description: bool) -> Result<Done, Failure> {
        let branch = self.branch(self.any_shard()).await?;
        branch.send_simple(text.as_bytes(), Audience::Client).await?;
        let passing = Passing { description, ..Passing::ROWS };
        Ok(Done::of(branch.forward(passing).await?))
    }

    /// The session is as new.
    pub(crate) async fn discard_all(&mut self) -> Result<&'static str, Failure> {
        if self.transaction.state != State::None {
            return Err(Failure::error(
                "25001",
                "DISCARD ALL cannot run inside a transaction block",
            ));
        }
        self.extended.clear();
        self.wishes.reset_all(false);
        let reset = Setting {
            is_local: false,
            is_transaction: false,
            reset: Some("all".to_owned()),
            name: None,
        };
        self.set(&reset, "RESET ALL").await?;
        Ok("DISCARD ALL")
    }
}
