//! The bound on a notification, which both providers have.

use std::borrow::Cow;

use aftercommit_plugin::{Failure, too_long::TooLong};

use crate::config::Config;

/// The largest payload: APNs' "Generating a remote notification", FCM's "About FCM messages".
pub(crate) const MAX_PAYLOAD_BYTES: usize = 4096;

/// The notification's text, cut if the action says so and it does not fit. `bytes_with` is the payload's length with a text.
pub(crate) fn fitting_body<'c>(
    config: &'c Config,
    vendor: &str,
    bytes_with: impl Fn(Option<&str>) -> usize,
) -> Result<Option<Cow<'c, str>>, Failure> {
    let body = config.body_template.as_deref();
    let bytes = bytes_with(body);
    if bytes <= MAX_PAYLOAD_BYTES {
        return Ok(body.map(Cow::Borrowed));
    }
    let too_large = || {
        let message = format!("the payload has {bytes} bytes, and {vendor} takes {MAX_PAYLOAD_BYTES}");
        Failure::permanent("payload_too_large", message)
    };
    let Some(body) = body.filter(|_| config.too_long == TooLong::Cut) else { return Err(too_large()) };
    // Each character is a byte at least, so no more of them fit.
    let ends: Vec<usize> = body.char_indices().map(|(at, _)| at).take(MAX_PAYLOAD_BYTES).collect();
    let cut = |end: usize| format!("{}…", &body[..end]);
    let fitting = ends.partition_point(|end| bytes_with(Some(&cut(*end))) <= MAX_PAYLOAD_BYTES);
    let end = fitting.checked_sub(1).map(|last| ends[last]).ok_or_else(too_large)?;
    Ok(Some(Cow::Owned(cut(end))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(body: &str, title: &str, too_long: &str) -> Config {
        let written = json!({"title_template": title, "body_template": body, "too_long": too_long});
        serde_json::from_value(written).expect("a configuration")
    }

    fn bytes(title: &str) -> impl Fn(Option<&str>) -> usize {
        let title = title.len();
        move |body| title + body.map_or(0, |body| json!(body).to_string().len())
    }

    #[test]
    fn the_text_gives_way() {
        let long = "é\"".repeat(4000);
        let config = config(&long, "title", "cut");
        let body = fitting_body(&config, "APNs", bytes("title")).expect("cut").expect("a text");
        let length = bytes("title")(Some(&body));
        assert!((MAX_PAYLOAD_BYTES - 3..=MAX_PAYLOAD_BYTES).contains(&length), "{length}");
        assert!(body.ends_with('…') && long.starts_with(body.trim_end_matches('…')));
    }

    #[test]
    fn what_does_not_fit_without_a_text_is_refused() {
        let title = "t".repeat(5000);
        for (config, title) in
            [(config(&"x".repeat(5000), "t", "fail"), "t"), (config("x", &title, "cut"), title.as_str())]
        {
            let failure = fitting_body(&config, "FCM", bytes(title)).expect_err("too large");
            assert_eq!(failure.problem().code, "payload_too_large");
        }
    }

    #[test]
    fn what_fits_stays() {
        let config = config("short", "t", "cut");
        let body = fitting_body(&config, "APNs", bytes("t")).expect("fits");
        assert!(matches!(body, Some(Cow::Borrowed("short"))));
    }
}
