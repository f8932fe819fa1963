//! The origins that a configuration names in full: they are granted by writing them.

use std::collections::BTreeMap;

use url::Url;

use crate::{
    capability::Origin,
    configure::{
        marked::{MarkedConfig, MarkedText},
        problem::{ConfigProblem, Findings},
    },
    dot_segments::dot_segment,
    secrets::{Part, Secret, names_secret, parts},
};

/// The origins that fields marked `x-egress` name in full: before any template, or as the start of a secret URL. Those of
/// fields of the configuration itself come first.
pub(crate) fn literal_origins(config: &MarkedConfig, findings: &Findings) -> Vec<Origin> {
    let mut origins = Vec::new();
    let mut texts = config.sound_texts(findings);
    texts.retain(|text| text.marks.egress);
    texts.sort_by_key(|text| text.pointer.matches('/').count());
    for MarkedText { pointer, text, .. } in texts {
        match literal_origin(text, &config.secrets) {
            Ok(origin) => origins.extend(origin),
            Err(problem) => findings.add(problem.at(pointer)),
        }
    }
    origins
}

/// The origin that a text names in full, if it does.
pub(crate) fn literal_origin(
    text: &str,
    secrets: &BTreeMap<String, Secret>,
) -> Result<Option<Origin>, ConfigProblem> {
    let named = parts(text).unwrap_or_default();
    let secret = match named.first() {
        Some(Part::Secret(name)) => secrets.get(*name),
        _ => None,
    };
    let text = secret.map_or(text, Secret::expose);
    let Some(start) = origin_part(text) else {
        if text.starts_with("{{") {
            return Ok(None);
        }
        let what = if secret.is_some() {
            "the secret is not an http or https URL"
        } else {
            "is not an http or https URL"
        };
        return Err(ConfigProblem::new("", what).help("write it in full, such as https://example.com/path"));
    };
    // What stands before the first template is as it is written.
    let fixed = text.split_once("{{").map_or(text, |(before, _)| &before[..before.rfind('/').unwrap_or(0)]);
    if dot_segment(fixed).is_some() {
        return Err(
            ConfigProblem::new("", "its path has a segment `.` or `..`").help("write the path without it")
        );
    }
    // A host that a template or a secret completes is not granted by writing it.
    if start.contains("{{") || names_secret(start) {
        return Ok(None);
    }
    let url = Url::parse(start).ok();
    if url.as_ref().is_some_and(|url| !url.username().is_empty() || url.password().is_some()) {
        return Err(ConfigProblem::new("", "a URL holds no user and no password").help(
            "write them into the fields that are for credentials, or into the header `Authorization`",
        ));
    }
    match url.as_ref().and_then(Origin::of) {
        Some(origin) => Ok(Some(origin)),
        None => Err(ConfigProblem::new("", "its scheme, host or port is not one")),
    }
}

/// Scheme and authority, as written.
fn origin_part(text: &str) -> Option<&str> {
    let authority = text.find("://")? + 3;
    if !matches!(text[..authority].to_ascii_lowercase().as_str(), "http://" | "https://") {
        return None;
    }
    let end = text[authority..].find(['/', '?', '#', '\\']).map_or(text.len(), |end| authority + end);
    Some(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_be_sent_to_is_told_at_once() {
        let of = |text: &str| literal_origin(text, &BTreeMap::new()).map_err(|problem| problem.message);
        assert!(of("https://a.example/@b").is_ok_and(|origin| origin.is_some()));
        for wrong in
            ["https://user:hunter2@a.example/", "https://user@a.example", "https://:hunter2@a.example"]
        {
            let told = of(wrong).unwrap_err();
            assert!(told.contains("no user and no password") && !told.contains("hunter2"), "{told}");
        }
        assert!(of("https://user:{{password}}@a.example/").is_ok_and(|origin| origin.is_none()));
        assert!(of("https://a b.example/").unwrap_err().contains("is not one"));
        for dots in ["https://a.example/x/../y", "https://a.example/%2e%2E", "https://a.example/../{{../x}}"]
        {
            assert!(of(dots).unwrap_err().contains("`..`"), "{dots}");
        }
        assert!(of("https://a.example/x/{{../../x}}?y=/../").is_ok());
    }

    #[test]
    fn an_origin_ends_before_the_path() {
        assert_eq!(origin_part("https://a.example:1/x"), Some("https://a.example:1"));
        assert_eq!(origin_part("https://a.example\\@evil.example"), Some("https://a.example"));
        assert_eq!(origin_part("HTTP://a{{x}}/"), Some("HTTP://a{{x}}"));
        assert_eq!(origin_part("ftp://a.example"), None);
        assert_eq!(origin_part("a.example"), None);
    }
}
