//! `json_agg`, `jsonb_agg`, `json_object_agg` and `jsonb_object_agg`, in the call's order.

use super::collect::{Collected, collect};
use super::{Call, Merge, builtin, unexpected};
use crate::jsonb::write_string;
use crate::{Jsonb, Kind, TypeError, Value, oid};

pub(super) fn rule(call: &Call) -> Option<Result<Merge, TypeError>> {
    let function = call.function.to_ascii_lowercase();
    match function.as_str() {
        "json_agg" => Some(json_agg(call)),
        "jsonb_agg" => Some(call.argument().map(|argument| {
            let element = (format!("to_jsonb({})", argument.sql), builtin(oid::JSONB));
            collect(call, vec![element], None, Box::new(jsonb_array))
        })),
        "json_object_agg" | "jsonb_object_agg" => {
            Some(object_agg(call, function == "json_object_agg"))
        }
        _ => None,
    }
}

fn json_agg(call: &Call) -> Result<Merge, TypeError> {
    let argument = call.argument()?;
    // Postgres begins a line before each element of these.
    let data_type = argument.data_type.base();
    let structured = matches!(data_type.kind(), Kind::Array(..) | Kind::Composite(_))
        || data_type.oid() == oid::RECORD;
    let element = (format!("to_json({})::text", argument.sql), builtin(oid::TEXT));
    let finish = move |rows: Vec<Collected>, _: &[Option<Value>]| {
        if rows.is_empty() {
            return Ok(None);
        }
        let mut out = vec![b'['];
        for (place, mut row) in rows.into_iter().enumerate() {
            out.extend_from_slice(if place > 0 { b", " } else { b"" });
            match row.arguments.pop().flatten() {
                None => out.extend_from_slice(b"null"),
                Some(Value::Text(text)) => {
                    if structured && place > 0 {
                        out.extend_from_slice(b"\n ");
                    }
                    out.extend_from_slice(&text);
                }
                Some(_) => return Err(unexpected("json_agg")),
            }
        }
        out.push(b']');
        Ok(Some(Value::Text(out.into())))
    };
    Ok(collect(call, vec![element], None, Box::new(finish)))
}

fn jsonb_array(rows: Vec<Collected>, _: &[Option<Value>]) -> Result<Option<Value>, TypeError> {
    let some = !rows.is_empty();
    let elements = rows.into_iter().map(|mut row| json_value(row.arguments.pop().flatten()));
    let elements = elements.collect::<Result<_, _>>()?;
    Ok(some.then(|| Value::Jsonb(Box::new(Jsonb::Array(elements)))))
}

fn json_value(value: Option<Value>) -> Result<Jsonb, TypeError> {
    match value {
        None => Ok(Jsonb::Null),
        Some(Value::Jsonb(value)) => Ok(*value),
        Some(_) => Err(unexpected("jsonb_agg")),
    }
}

fn object_agg(call: &Call, is_json: bool) -> Result<Merge, TypeError> {
    let [key, value] = call.arguments.as_slice() else { return Err(call.refusal()) };
    // A key looks as the value would within JSON, which is not its type's own text for times.
    let key = (format!("to_json({}) #>> '{{}}'", key.sql), builtin(oid::TEXT));
    // The server's own error, whose words depend on its version; NULL when there is no such key.
    let null = format!("({}) IS NULL", call.arguments.first().map_or("", |it| it.sql.as_str()));
    let words = format!("{}({}, NULL::text)", call.function, key.0);
    let refuse_null = call.partial_where(&words, Some(&null), call.result.clone());
    let mut merge = if is_json {
        let value = (format!("to_json({})::text", value.sql), builtin(oid::TEXT));
        collect(call, vec![key, value], None, Box::new(json_object))
    } else {
        let value = (format!("to_jsonb({})", value.sql), builtin(oid::JSONB));
        collect(call, vec![key, value], None, Box::new(jsonb_object))
    };
    merge.partials.push(refuse_null);
    Ok(merge)
}

/// Key and value of a row.
fn pair(mut row: Collected) -> Result<(bytes::Bytes, Option<Value>), TypeError> {
    let value = row.arguments.pop().flatten();
    match row.arguments.pop().flatten() {
        // The last partial has let the server say so.
        None => Err(unexpected("json_object_agg")),
        Some(Value::Text(key)) => Ok((key, value)),
        Some(_) => Err(unexpected("json_object_agg")),
    }
}

fn json_object(rows: Vec<Collected>, _: &[Option<Value>]) -> Result<Option<Value>, TypeError> {
    if rows.is_empty() {
        return Ok(None);
    }
    let mut out = b"{ ".to_vec();
    for (place, row) in rows.into_iter().enumerate() {
        out.extend_from_slice(if place > 0 { b", " } else { b"" });
        let (key, value) = pair(row)?;
        write_string(&key, &mut out);
        out.extend_from_slice(b" : ");
        match value {
            None => out.extend_from_slice(b"null"),
            Some(Value::Text(text)) => out.extend_from_slice(&text),
            Some(_) => return Err(unexpected("json_object_agg")),
        }
    }
    out.extend_from_slice(b" }");
    Ok(Some(Value::Text(out.into())))
}

fn jsonb_object(rows: Vec<Collected>, _: &[Option<Value>]) -> Result<Option<Value>, TypeError> {
    if rows.is_empty() {
        return Ok(None);
    }
    // The last value of a key stays.
    let mut pairs = std::collections::BTreeMap::new();
    for row in rows {
        let (key, value) = pair(row)?;
        pairs.insert((key.len(), key), json_value(value)?);
    }
    let pairs = pairs.into_iter().map(|((_, key), value)| (key, value)).collect();
    Ok(Some(Value::Jsonb(Box::new(Jsonb::Object(pairs)))))
}
