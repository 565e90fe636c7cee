//! `If-Match` and `If-None-Match` (RFC 9110, 13.1): what a writer or reader knows already.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use pgherd_store::change::Condition;

use crate::{Kind, Problem};

/// The entity tag of something that a revision changed last.
pub fn entity_tag(revision: i64) -> String {
    format!("\"{revision}\"")
}

/// The same as a header.
pub fn entity_tag_header(revision: i64) -> HeaderValue {
    HeaderValue::try_from(entity_tag(revision)).expect("digits and quotes are allowed in headers")
}

/// What a writer knows.
pub fn condition(headers: &HeaderMap) -> Result<Condition, Problem> {
    let matches = tags(headers, header::IF_MATCH)?;
    let none_matches = tags(headers, header::IF_NONE_MATCH)?;
    match (matches, none_matches) {
        (None, None) => Ok(Condition::Unstated),
        (Some(Tags::Any), None) => Ok(Condition::Exists),
        (Some(Tags::Revisions(known)), None) => Ok(Condition::Revisions(known)),
        (None, Some(Tags::Any)) => Ok(Condition::Absent),
        (None, Some(Tags::Revisions(_))) => Err(Problem::new(
            Kind::Malformed,
            "a writer can send If-None-Match: * (for a new cluster) or If-Match: <ETag>",
        )),
        (Some(_), Some(_)) => {
            Err(Problem::new(Kind::Malformed, "If-Match and If-None-Match do not go together"))
        }
    }
}

/// Whether a reader has this revision already.
pub fn is_known(headers: &HeaderMap, revision: i64) -> bool {
    match tags(headers, header::IF_NONE_MATCH) {
        Ok(Some(Tags::Any)) => true,
        Ok(Some(Tags::Revisions(known))) => known.contains(&revision),
        Ok(None) | Err(_) => false,
    }
}

enum Tags {
    Any,
    Revisions(Vec<i64>),
}

/// A tag that is well-formed and not ours (or weak) matches nothing.
fn tags(headers: &HeaderMap, name: HeaderName) -> Result<Option<Tags>, Problem> {
    let mut known = Vec::new();
    let mut any = false;
    for value in headers.get_all(&name) {
        let value = value.to_str().unwrap_or_default();
        for tag in value.split(',').map(str::trim) {
            any = true;
            if tag == "*" {
                return Ok(Some(Tags::Any));
            }
            let strong = tag.strip_prefix("W/").unwrap_or(tag);
            let Some(inner) = strong.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) else {
                return Err(Problem::new(
                    Kind::Malformed,
                    format!("{name} must be * or an entity tag in double quotes, as in ETag"),
                ));
            };
            if strong.len() == tag.len() {
                known.extend(inner.parse::<i64>().ok());
            }
        }
    }
    Ok(any.then_some(Tags::Revisions(known)))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName};
    use expect_test::{Expect, expect};

    use super::condition;

    #[track_caller]
    fn check(headers: &[(&'static str, &'static str)], expected: Expect) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let actual = match condition(&map) {
            Ok(condition) => format!("{condition:?}"),
            Err(problem) => serde_json::to_value(&problem).unwrap()["detail"].to_string(),
        };
        expected.assert_eq(&actual);
    }

    #[test]
    fn what_a_writer_knows() {
        check(&[], expect!["Unstated"]);
        check(&[("if-match", "\"7\"")], expect!["Revisions([7])"]);
        check(&[("if-match", "\"7\", \"8\"")], expect!["Revisions([7, 8])"]);
        check(&[("if-match", "\"7\""), ("if-match", "\"9\"")], expect!["Revisions([7, 9])"]);
        check(&[("if-match", "W/\"7\"")], expect!["Revisions([])"]);
        check(&[("if-match", "\"other\"")], expect!["Revisions([])"]);
        check(&[("if-match", "*")], expect!["Exists"]);
        check(&[("if-none-match", "*")], expect!["Absent"]);
        check(
            &[("if-match", "7")],
            expect![[r#""if-match must be * or an entity tag in double quotes, as in ETag""#]],
        );
        check(
            &[("if-none-match", "\"7\"")],
            expect![[
                r#""a writer can send If-None-Match: * (for a new cluster) or If-Match: <ETag>""#
            ]],
        );
        check(
            &[("if-match", "*"), ("if-none-match", "*")],
            expect![[r#""If-Match and If-None-Match do not go together""#]],
        );
    }
}
