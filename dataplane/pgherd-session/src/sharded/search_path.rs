//! The schemas along which names are looked for, some of which are on one shard only.

use std::sync::Arc;

use pgherd_plan::{Home, one_shard_of};

use super::catalog::Loaded;
use super::coordinator::Coordinator;
use super::execute::refused;
use super::failure::Failure;

const CURRENT: &str = "SELECT pg_catalog.unnest(pg_catalog.current_schemas(false))";
const WRITTEN: &str = "SELECT pg_catalog.current_setting('search_path'), current_user";

impl Coordinator {
    /// The schemas along which names without schema are looked for.
    pub(crate) async fn search_path(&mut self, loaded: &Loaded) -> Result<Arc<[String]>, Failure> {
        let path = match self.seen_path(loaded) {
            Some(path) => Arc::clone(path),
            None => self.looked_up(loaded).await?,
        };
        let schemas = loaded.catalog.schemas();
        if !schemas.is_empty() {
            self.shard_of_path = one_shard_of(schemas, path.iter().map(String::as_str));
        }
        Ok(path)
    }

    async fn looked_up(&mut self, loaded: &Loaded) -> Result<Arc<[String]>, Failure> {
        let params = self.front.params();
        let role = params.get("role").unwrap_or_default();
        let path = format!("{role}\0{}", params.get("search_path").unwrap_or("\0"));
        let key = (Arc::clone(&self.front.entry.user), path);
        // A SET LOCAL shows in no parameter.
        let is_cached = !self.transaction.has_settings();
        if is_cached && let Some(path) = loaded.paths.lock().get(&key).cloned() {
            self.see_path(loaded, params, &path);
            return Ok(path);
        }
        let known =
            self.transaction.path.as_ref().filter(|it| !is_cached && it.0 == loaded.version);
        if let Some((_, path)) = known {
            return Ok(Arc::clone(path));
        }
        let path: Arc<[String]> = match loaded.catalog.schemas().is_empty() {
            true => self.schemas_on(None).await?.into(),
            false => self.path_over_shards(loaded).await?.into(),
        };
        if is_cached {
            loaded.paths.lock().insert(key, Arc::clone(&path));
        } else {
            self.transaction.path = Some((loaded.version, Arc::clone(&path)));
        }
        Ok(path)
    }

    /// The schemas of the path that a shard has; any shard, if none is named.
    async fn schemas_on(&mut self, shard: Option<usize>) -> Result<Vec<String>, Failure> {
        let answer = match shard {
            Some(shard) => self.ask(shard, CURRENT).await?,
            None => self.ask_any(CURRENT).await?,
        };
        let schema = |row: &Vec<Option<Vec<u8>>>| row.first()?.as_deref().map(lossy);
        Ok(answer.rows.iter().filter_map(schema).collect())
    }

    /// Schemas that are on one shard are looked for there.
    async fn path_over_shards(&mut self, loaded: &Loaded) -> Result<Vec<String>, Failure> {
        let first = self.any_shard();
        let answer = self.ask(first, WRITTEN).await?;
        let mut row = answer.rows.into_iter().next().unwrap_or_default().into_iter().flatten();
        let (written, user) = (row.next().unwrap_or_default(), row.next().unwrap_or_default());
        let named = names(&lossy(&written), &lossy(&user));
        let mut there: Vec<(usize, Vec<String>)> = Vec::new();
        let mut path = Vec::new();
        for name in named {
            let shard = loaded.catalog.schemas().place(&name).unwrap_or(first);
            if !there.iter().any(|(it, _)| *it == shard) {
                there.push((shard, self.schemas_on(Some(shard)).await?));
            }
            let exists = there.iter().any(|(it, all)| *it == shard && all.contains(&name));
            if exists && !path.contains(&name) {
                path.push(name);
            }
        }
        Ok(path)
    }

    /// Where a text is judged: its shard if it has one, and what is judged in its place if no shard
    /// has all that it names, with the number of its own parameters.
    pub(super) async fn home_of(
        &mut self,
        text: &str,
    ) -> Result<(Option<usize>, Option<(String, usize)>), Failure> {
        if let Some(shard) = self.named_shard(text).await? {
            return Ok((Some(shard), None));
        }
        if self.catalog().await?.catalog.schemas().is_empty() {
            return Ok((None, None));
        }
        // What cannot be read is for Postgres to refuse.
        let Ok((outline, _)) = self.outline(text).await else { return Ok((None, None)) };
        match outline.home() {
            Home::Any => Ok((None, None)),
            Home::On(shard) => Ok((Some(shard), None)),
            Home::Nowhere => match (outline.stand_in(), outline.refusal()) {
                (Some((shard, text, first)), _) => {
                    Ok((shard, Some((text.to_owned(), first.saturating_sub(1)))))
                }
                (None, Some(refusal)) => Err(refused(refusal.clone())),
                (None, None) => Err(Failure::unsupported(
                    "a statement about schemas of several shards",
                    "Name what is in the schemas of one shard, or read them by a plain query.",
                )),
            },
        }
    }
}

fn lossy(bytes: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(bytes.as_ref()).into_owned()
}

/// The schemas that a search path names, in lower case unless they are quoted.
fn names(path: &str, user: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = path.trim_start();
    while !rest.is_empty() {
        let mut name = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut at = 0;
            let bytes = quoted.as_bytes();
            while let Some(found) = quoted.get(at..).and_then(|it| it.find('"')) {
                name.push_str(quoted.get(at..at + found).unwrap_or_default());
                at += found + 1;
                if bytes.get(at) != Some(&b'"') {
                    break;
                }
                name.push('"');
                at += 1;
            }
            rest = quoted.get(at..).unwrap_or_default();
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (plain, behind) = rest.split_at(end);
            name = plain.trim().to_lowercase();
            rest = behind;
        }
        names.push(if name == "$user" { user.to_owned() } else { name });
        rest = rest.trim_start().strip_prefix(',').unwrap_or_default().trim_start();
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_apart() {
        assert_eq!(names("\"$user\", public", "App"), ["App", "public"]);
        assert_eq!(names("tenant_1,Public , \"a,\"\"b\"", "x"), ["tenant_1", "public", "a,\"b"]);
        assert_eq!(names("\"\"", "x"), [""]);
        assert!(names("", "x").is_empty());
    }
}
