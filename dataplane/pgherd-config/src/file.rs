//! Reads the TOML file of a proxy and says where each of its errors stands.

use std::fmt;

use toml::de::DeTable;

use crate::{
    Invalid, ProxyFile,
    document::{Node, readable},
    shape::{Deviation, deviations},
};

/// Everything that is wrong with a configuration file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// The errors; there is at least one.
    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }
}

impl fmt::Display for ConfigErrors {
    /// One error on each line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

/// One error in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The line, counted from 1, where it is known.
    pub line: Option<usize>,
    /// The full path of the key, as in `clusters[0].users[1].name`; empty for the whole file.
    pub path: String,
    /// What is wrong there.
    #[source]
    pub problem: ConfigProblem,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        self.problem.fmt(f)
    }
}

/// What is wrong at one place of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigProblem {
    /// The text is not TOML.
    #[error("{reason}")]
    Syntax {
        /// The TOML parser's words.
        reason: String,
    },
    /// A key or value that the settings do not have.
    #[error(transparent)]
    Shape(#[from] Deviation),
    /// A rule of [`ProxyFile::validate`] is broken.
    #[error("{}", .0.message)]
    Invalid(Invalid),
    /// Refused for a reason that only the deserialiser knows.
    #[error("{reason}")]
    Refused {
        /// The deserialiser's words.
        reason: String,
    },
}

impl ProxyFile {
    /// Reads and validates the text of a configuration file.
    ///
    /// # Errors
    /// Every syntax error; without any, every unknown key and wrong value; without any of these,
    /// every broken rule of [`ProxyFile::validate`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigErrors> {
        let (table, syntax) = DeTable::parse_recoverable(text);
        if !syntax.is_empty() {
            return Err(sorted(syntax.iter().map(|error| refusal(text, error, true)).collect()));
        }
        let node = toml::de::DeValue::Table(table.get_ref().clone());
        let node = Node::from_toml(toml::Spanned::new(table.span(), node));
        let file: Self = toml::from_str(text).map_err(|error| {
            let found = deviations::<Self>(&node);
            if found.is_empty() {
                return sorted(vec![refusal(text, &error, false)]);
            }
            sorted(
                found
                    .into_iter()
                    .map(|(pointer, deviation)| place(text, &node, &pointer, deviation.into()))
                    .collect(),
            )
        })?;
        match file.validate() {
            Ok(_) => Ok(file),
            Err(found) => Err(sorted(
                found
                    .into_iter()
                    .map(|invalid| {
                        let pointer = invalid.pointer.clone();
                        place(text, &node, &pointer, ConfigProblem::Invalid(invalid))
                    })
                    .collect(),
            )),
        }
    }
}

fn sorted(mut errors: Vec<ConfigError>) -> ConfigErrors {
    errors.sort_by_key(|error| error.line.unwrap_or(usize::MAX));
    ConfigErrors { errors }
}

fn place(text: &str, document: &Node, pointer: &str, problem: ConfigProblem) -> ConfigError {
    let line = document.locate(pointer).map(|offset| line_at(text, offset));
    ConfigError { line, path: readable(pointer), problem }
}

/// Only the message: the parser's full report quotes the line, which may hold a password.
fn refusal(text: &str, error: &toml::de::Error, syntax: bool) -> ConfigError {
    let line = error.span().map(|span| line_at(text, span.start));
    let reason = error.message().to_owned();
    let problem = match syntax {
        true => ConfigProblem::Syntax { reason },
        false => ConfigProblem::Refused { reason },
    };
    ConfigError { line, path: String::new(), problem }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
