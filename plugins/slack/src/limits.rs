//! What Slack takes of a text: "Truncating really long messages" and the references of blocks and of text objects.

use std::borrow::Cow;

use aftercommit_plugin::{
    Failure,
    too_long::{TextLimit, TooLong},
};
use serde_json::{Value, value::RawValue};

/// The text of a message.
pub(crate) const MESSAGE_CHARS: usize = 40_000;
/// A text object, such as a section's.
const TEXT_CHARS: usize = 3000;
/// One of a section's fields.
const FIELD_CHARS: usize = 2000;
/// A header's text.
const HEADER_CHARS: usize = 150;

/// A text as long as Slack takes it.
pub(crate) fn fit<'t>(
    text: &'t str,
    what: &str,
    max_chars: usize,
    too_long: TooLong,
) -> Result<Cow<'t, str>, Failure> {
    let limit = TextLimit { what, vendor: "Slack", max_chars, end: "…" };
    Ok(match limit.fit(text, too_long)? {
        Cow::Owned(cut) => Cow::Owned(without_half_markup(&cut)),
        whole @ Cow::Borrowed(_) => whole,
    })
}

/// A cut text without the half of an entity (`&amp;`) or of a link (`<https://..|..>`) that stands before its last character.
fn without_half_markup(cut: &str) -> String {
    let text = cut.strip_suffix('…').unwrap_or(cut);
    let starts =
        [text.rfind('&').filter(|at| text.len() - at < 5 && !text[*at..].contains(';')), text.rfind('<')];
    let half = starts.into_iter().flatten().filter(|at| !text[*at..].contains(['>', ';'])).min();
    format!("{}…", &text[..half.unwrap_or(text.len())])
}

/// A JSON array of blocks whose texts are as long as Slack takes them. Blocks with room stay as they were written.
pub(crate) fn blocks(array: &str, too_long: TooLong) -> Result<Cow<'_, str>, Failure> {
    if array.len() <= HEADER_CHARS {
        return Ok(Cow::Borrowed(array));
    }
    let invalid = |error: serde_json::Error| Failure::permanent("invalid_blocks", error.to_string());
    let blocks: Vec<&RawValue> = serde_json::from_str(array).map_err(invalid)?;
    let mut written = Vec::with_capacity(blocks.len());
    let mut is_changed = false;
    for (position, raw) in blocks.into_iter().enumerate() {
        let mut block: Value = serde_json::from_str(raw.get()).map_err(invalid)?;
        if cut_block(&mut block, position, too_long)? {
            is_changed = true;
            written.push(Cow::Owned(block.to_string()));
        } else {
            written.push(Cow::Borrowed(raw.get()));
        }
    }
    Ok(if is_changed { Cow::Owned(format!("[{}]", written.join(","))) } else { Cow::Borrowed(array) })
}

/// Whether anything was cut.
fn cut_block(block: &mut Value, position: usize, too_long: TooLong) -> Result<bool, Failure> {
    let text_chars = if block["type"] == "header" { HEADER_CHARS } else { TEXT_CHARS };
    let mut is_cut = cut(block.get_mut("text"), &format!("block {position}"), text_chars, too_long)?;
    for (list, max_chars) in [("fields", FIELD_CHARS), ("elements", TEXT_CHARS)] {
        let items = block.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (at, item) in items.enumerate() {
            is_cut |= cut(Some(item), &format!("block {position}, {list}[{at}]"), max_chars, too_long)?;
        }
    }
    Ok(is_cut)
}

/// Cuts the `text` of a text object.
fn cut(object: Option<&mut Value>, what: &str, max_chars: usize, too_long: TooLong) -> Result<bool, Failure> {
    let Some(text) = object.and_then(|object| object.get_mut("text")) else { return Ok(false) };
    let Some(written) = text.as_str() else { return Ok(false) };
    match fit(written, &format!("the text of {what} of blocks_template"), max_chars, too_long)? {
        Cow::Borrowed(_) => Ok(false),
        Cow::Owned(shorter) => {
            *text = Value::String(shorter);
            Ok(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn section(text: &str) -> String {
        json!([{"type": "divider"}, {"type": "section", "text": {"type": "mrkdwn", "text": text}}])
            .to_string()
    }

    #[test]
    fn a_sections_text_is_cut_or_refused() {
        let whole = section(&"x".repeat(3000));
        assert!(matches!(blocks(&whole, TooLong::Fail), Ok(Cow::Borrowed(_))));
        let long = section(&"x".repeat(3001));
        let failure = blocks(&long, TooLong::Fail).expect_err("too long");
        assert_eq!(failure.problem().code, "too_long");
        assert!(failure.problem().message.contains("block 1") && failure.problem().message.contains("3000"));
        let cut: Value = serde_json::from_str(&blocks(&long, TooLong::Cut).expect("cut")).expect("JSON");
        assert_eq!(cut[1]["text"]["text"], format!("{}…", "x".repeat(2999)));
        assert_eq!(cut[0], json!({"type": "divider"}));
    }

    #[test]
    fn fields_headers_and_context_have_limits_of_their_own() {
        for (block, chars) in [
            (json!([{"type": "header", "text": {"type": "plain_text", "text": "TEXT"}}]), 150),
            (json!([{"type": "section", "fields": [{"type": "mrkdwn", "text": "TEXT"}]}]), 2000),
            (json!([{"type": "context", "elements": [{"type": "mrkdwn", "text": "TEXT"}]}]), 3000),
        ] {
            let of = |length: usize| block.to_string().replace("TEXT", &"x".repeat(length));
            assert!(blocks(&of(chars), TooLong::Fail).is_ok(), "{block}");
            assert!(blocks(&of(chars + 1), TooLong::Fail).is_err(), "{block}");
        }
    }

    #[test]
    fn a_block_with_room_keeps_its_bytes() {
        let array = format!("[ {{\"a\": 1.50}}, {} ]", section(&"x".repeat(4000)).trim_matches(['[', ']']));
        let cut = blocks(&array, TooLong::Cut).expect("cut");
        assert!(cut.starts_with("[{\"a\": 1.50},"), "{cut}");
    }

    #[test]
    fn markup_is_not_halved() {
        for (text, expected) in [
            ("abc &amp; d", "abc &amp;…"),
            ("abcdef &amp; d", "abcdef …"),
            ("a <https://x|y> b", "a …"),
            ("<b> abcdefgh", "<b> abcde…"),
        ] {
            assert_eq!(fit(text, "text", 10, TooLong::Cut).expect("cut"), expected);
        }
    }
}
