//! Rows of a query as COPY TO writes them.

use super::options::{CopyFormat, CopyOptions};

/// Puts the values of rows, as the protocol has them, into the format of a COPY.
#[derive(Debug)]
pub struct Rows {
    options: CopyOptions,
    /// Of CSV: values of these columns are always in quotes.
    quoted: Vec<bool>,
}

// === impl Rows ===

impl Rows {
    /// `names` are those of the columns.
    pub fn new(options: &CopyOptions, names: &[String]) -> Self {
        let forced = |name: &String| options.force_quote.iter().any(|it| it == "*" || it == name);
        Self { options: options.clone(), quoted: names.iter().map(forced).collect() }
    }

    /// A row, by its values as text; in binary it has the form of a DataRow's body.
    pub fn line(&self, values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                out.push(self.options.delimiter);
            }
            match (value, self.options.format) {
                (None, _) => out.extend_from_slice(&self.options.null),
                (Some(value), CopyFormat::Csv) => {
                    let forced = self.quoted.get(index).copied().unwrap_or_default();
                    match forced || self.needs_quotes(value, values.len() == 1) {
                        true => self.options.put_quoted(&mut out, value),
                        false => out.extend_from_slice(value),
                    }
                }
                (Some(value), _) => self.options.put_escaped(&mut out, value),
            }
        }
        out.push(b'\n');
        out
    }

    fn needs_quotes(&self, value: &[u8], is_alone: bool) -> bool {
        let CopyOptions { delimiter, quote, .. } = self.options;
        let special = |it: &u8| [delimiter, quote, b'\n', b'\r'].contains(it);
        value == self.options.null || is_alone && value == b"\\." || value.iter().any(special)
    }
}

// === impl CopyOptions ===

impl CopyOptions {
    /// A value of CSV in quotes.
    pub(super) fn put_quoted(&self, out: &mut Vec<u8>, value: &[u8]) {
        out.push(self.quote);
        for &byte in value {
            if byte == self.quote || byte == self.escape {
                out.push(self.escape);
            }
            out.push(byte);
        }
        out.push(self.quote);
    }

    /// A value of the text format.
    pub(super) fn put_escaped(&self, out: &mut Vec<u8>, value: &[u8]) {
        for &byte in value {
            let escaped = match byte {
                8 => b'b',
                12 => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                11 => b'v',
                _ if byte == b'\\' || byte == self.delimiter => byte,
                _ => {
                    out.push(byte);
                    continue;
                }
            };
            out.extend_from_slice(&[b'\\', escaped]);
        }
    }
}
