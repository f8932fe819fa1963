//! The message: the payload that webhooks and `chat.postMessage` share.

use aftercommit_plugin::{Failure, JsonObject};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{config::Config, limits};

/// The most blocks of a message ("Reference: blocks").
const MAX_BLOCKS: usize = 50;

/// The members of the payload, from rendered templates.
pub(crate) fn of(config: &Config) -> Result<JsonObject, Failure> {
    let mut message = JsonObject::new();
    if let Some(channel) = &config.channel {
        message.text("channel", channel);
    }
    if let Some(text) = &config.message_template {
        let text = limits::fit(text, "message_template", limits::MESSAGE_CHARS, config.too_long)?;
        message.text("text", &text);
    }
    if let Some(rendered) = &config.blocks_template {
        let blocks = blocks(rendered)
            .map_err(|why| Failure::permanent("invalid_blocks", format!("blocks_template: {why}")))?;
        message.raw("blocks", &limits::blocks(blocks, config.too_long)?);
    }
    if let Some(thread_ts) = &config.thread_ts {
        message.text("thread_ts", thread_ts);
    }
    for (name, value) in [
        ("reply_broadcast", config.reply_broadcast),
        ("unfurl_links", config.unfurl_links),
        ("unfurl_media", config.unfurl_media),
    ] {
        if let Some(value) = value {
            message.raw(name, if value { "true" } else { "false" });
        }
    }
    Ok(message)
}

/// What Slack's Block Kit Builder hands out.
#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    blocks: &'a RawValue,
}

/// The JSON array of blocks in a text: the text itself, or the member `blocks` of an object.
pub(crate) fn blocks(text: &str) -> Result<&str, String> {
    let text = text.trim();
    let array = if text.starts_with('{') {
        let payload: Payload<'_> =
            serde_json::from_str(text).map_err(|error| format!("is not an object with `blocks`: {error}"))?;
        payload.blocks.get()
    } else {
        let whole: &RawValue = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
        whole.get()
    };
    let blocks: Vec<&RawValue> =
        serde_json::from_str(array).map_err(|_| "is not a JSON array of blocks".to_owned())?;
    if blocks.len() > MAX_BLOCKS {
        return Err(format!("has {} blocks, and Slack takes {MAX_BLOCKS} in a message", blocks.len()));
    }
    Ok(array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_what_was_written() {
        let config: Config = serde_json::from_str(
            r##"{"channel":"#a","message_template":"x &amp; \"y\"","blocks_template":"{\"blocks\": [ 1.50 ]}","thread_ts":"1.2",
                "reply_broadcast":true,"unfurl_links":false}"##,
        )
        .expect("a configuration");
        assert_eq!(
            of(&config).expect("a message").finish(),
            r##"{"channel":"#a","text":"x &amp; \"y\"","blocks":[ 1.50 ],"thread_ts":"1.2","reply_broadcast":true,"unfurl_links":false}"##
        );
    }

    #[test]
    fn what_is_no_array_is_refused() {
        assert_eq!(blocks(" [] "), Ok("[]"));
        for wrong in ["", "[", "1", "\"[]\"", r#"{"blocks":{}}"#, r#"{"attachments":[]}"#] {
            assert!(blocks(wrong).is_err(), "{wrong}");
        }
        let config = Config { blocks_template: serde_json::from_str("\"[\"").ok(), ..Config::default() };
        let failure = of(&config).expect_err("no JSON");
        assert!(
            matches!(failure, Failure::Permanent(ref why) if why.code == "invalid_blocks"),
            "{failure:?}"
        );
    }
}
