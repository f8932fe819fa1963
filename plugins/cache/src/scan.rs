//! Deleting by pattern: in steps of `SCAN` and `UNLINK`, which leave the server time for others. `KEYS` would stop it.

use aftercommit_plugin::{http::Content, prelude::*, redis::Node};

/// The last part of the budget is left for telling how far it came.
const RESERVE_PERCENT: u64 = 10;

/// Deletes every key that matches. It ends with a transient failure when the attempt's time is nearly over: the next
/// attempt begins anew and has fewer keys to delete.
pub(crate) fn unlink(
    connection: &str,
    pattern: &str,
    scan_count: u32,
    budget_ms: u32,
) -> Result<Outcome, Failure> {
    let end_ms = clock::now_ms() + u64::from(budget_ms) * (100 - RESERVE_PERCENT) / 100;
    let count = scan_count.to_string();
    let mut cursor = "0".to_owned();
    let (mut steps, mut deleted) = (0_u64, 0_u64);
    loop {
        let arguments = [cursor.as_str(), "MATCH", pattern, "COUNT", &count];
        let step = Step::read(redis::execute(connection, "SCAN", arguments)?)?;
        steps += 1;
        if !step.keys.is_empty() {
            let reply = redis::execute(connection, "UNLINK", step.keys)?;
            deleted += u64::try_from(crate::integer(&reply)).unwrap_or(0);
        }
        if step.cursor == "0" {
            return Ok(told(pattern, steps, deleted));
        }
        if clock::now_ms() >= end_ms {
            return Err(Failure::transient(
                "scan_unfinished",
                format!(
                    "{deleted} keys that match `{pattern}` are deleted after {steps} steps, and not all keys were looked \
                     at (`timeout_ms`, `scan_count`)"
                ),
            ));
        }
        cursor = step.cursor;
    }
}

fn told(pattern: &str, steps: u64, deleted: u64) -> Outcome {
    let mut details = JsonObject::new();
    details.raw("deleted", &deleted.to_string()).raw("steps", &steps.to_string());
    Outcome::new(format!("UNLINK {pattern} -> {deleted} keys")).with_details(details.finish())
}

/// What one `SCAN` gave: where to go on, and keys.
#[derive(Debug)]
struct Step {
    cursor: String,
    keys: Vec<Content>,
}

impl Step {
    fn read(reply: Vec<Node>) -> Result<Self, Failure> {
        let odd = || Failure::transient("protocol", "the reply to SCAN has another form");
        let mut nodes = reply.into_iter();
        match (nodes.next(), nodes.next(), nodes.next()) {
            (Some(Node::Array(2)), Some(Node::Data(Content::Text(cursor))), Some(Node::Array(_))) => {
                let keys = nodes.map(|node| match node {
                    Node::Data(key) => Ok(key),
                    _ => Err(odd()),
                });
                Ok(Self { cursor, keys: keys.collect::<Result<_, _>>()? })
            }
            _ => Err(odd()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_cursor_and_keys() {
        let text = |text: &str| Node::Data(Content::Text(text.to_owned()));
        let step = Step::read(vec![Node::Array(2), text("17"), Node::Array(1), text("k")]).expect("a step");
        assert_eq!((step.cursor.as_str(), step.keys.len()), ("17", 1));
        assert!(Step::read(vec![Node::Integer(1)]).is_err());
    }
}
