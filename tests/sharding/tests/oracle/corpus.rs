//! The corpus: statements in files by construct, with what is expected of each.
//!
//! A statement ends with a semicolon at the end of a line. Lines before it say more: `-- ordered`
//! (its ORDER BY is total), `-- with 5|{1,2}` (parameters as text), `-- refused WORDS` (the refusal
//! has these words).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

#[derive(Debug, Clone, Default)]
pub struct Case {
    pub file: String,
    pub sql: String,
    pub ordered: bool,
    pub parameters: Vec<Option<String>>,
    pub refused: Option<String>,
}

pub fn read() -> Result<Vec<Case>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut files =
        fs::read_dir(&directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        let name = file.file_stem().and_then(|it| it.to_str()).context("a name")?;
        let mut case = Case { file: name.to_owned(), ..Case::default() };
        for line in text.lines() {
            match line.strip_prefix("-- ") {
                Some("ordered") => case.ordered = true,
                Some(note) if note.starts_with("with ") => {
                    let values = note["with ".len()..].split('|');
                    case.parameters =
                        values.map(|it| (it != "NULL").then(|| it.to_owned())).collect();
                }
                Some(note) if note.starts_with("refused ") => {
                    case.refused = Some(note["refused ".len()..].to_owned());
                }
                Some(_) => {}
                None if line.trim().is_empty() => {}
                None => {
                    case.sql.push_str(line);
                    case.sql.push('\n');
                    if let Some(sql) = case.sql.trim_end().strip_suffix(';') {
                        let sql = sql.to_owned();
                        let next = Case { file: name.to_owned(), ..Case::default() };
                        cases.push(Case { sql, ..std::mem::replace(&mut case, next) });
                    }
                }
            }
        }
    }
    Ok(cases)
}
