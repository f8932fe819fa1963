//! A rendered key or pattern. Values were rendered so that glob characters in them have a backslash; what has none was
//! written by the user.

use aftercommit_plugin::Failure;

/// What the action is about.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// One key, without the backslashes.
    Key(String),
    /// A pattern as Redis has it.
    Pattern(String),
}

impl Target {
    pub(crate) fn of(rendered: &str) -> Result<Self, Failure> {
        if !is_pattern(rendered) {
            let key = plain(rendered);
            return if key.is_empty() {
                Err(Failure::permanent(
                    "empty_key",
                    "the key is empty: a field in `key_pattern` is null or empty",
                ))
            } else {
                Ok(Self::Key(key))
            };
        }
        // A field that is null or empty must not turn `{{tenant}}*` into all there is.
        if rendered.chars().all(|letter| matches!(letter, '*' | '?')) {
            let message =
                format!("the pattern `{rendered}` would match every key; write a part of the key before it");
            return Err(Failure::permanent("pattern_matches_all", message));
        }
        Ok(Self::Pattern(rendered.to_owned()))
    }

    /// Whether a template, as written, is a pattern whatever its values are.
    pub(crate) fn is_written_as_pattern(template: &str) -> bool {
        let mut rest = template;
        while let Some((text, after)) = rest.split_once("{{") {
            if is_pattern(text) {
                return true;
            }
            rest = after.split_once("}}").map_or("", |(_, after)| after.trim_start_matches('}'));
        }
        is_pattern(rest)
    }
}

/// Whether a character that Redis's `stringmatchlen` takes for a pattern stands without a backslash.
fn is_pattern(text: &str) -> bool {
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
            }
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

fn plain(text: &str) -> String {
    let mut key = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        // A backslash at the end stands for itself.
        key.push(if letter == '\\' { letters.next().unwrap_or('\\') } else { letter });
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lose_their_backslashes_and_patterns_keep_them() {
        let key = |text: &str| Target::Key(text.to_owned());
        let pattern = |text: &str| Target::Pattern(text.to_owned());
        for (rendered, expected) in [
            ("order:7", key("order:7")),
            (r"order:a\*b\?\[c\]\\", key(r"order:a*b?[c]\")),
            (r"order:\", key(r"order:\")),
            ("order:7:*", pattern("order:7:*")),
            (r"order:a\*b:*", pattern(r"order:a\*b:*")),
            ("order:[ab]", pattern("order:[ab]")),
            ("a]b^c-d{e}", key("a]b^c-d{e}")),
        ] {
            assert_eq!(Target::of(rendered).expect("a target"), expected, "{rendered}");
        }
    }

    #[test]
    fn nothing_and_everything_are_refused() {
        for (rendered, code) in
            [("", "empty_key"), ("*", "pattern_matches_all"), ("?*", "pattern_matches_all")]
        {
            let failure = Target::of(rendered).expect_err("refused");
            assert_eq!(failure.problem().code, code);
        }
    }

    #[test]
    fn templates_are_told_apart_by_what_is_written() {
        for pattern in ["order:*", "{{a}}:*", "*{{a}}", "x[{{{a}}}]", "{{a}}{{b}}?"] {
            assert!(Target::is_written_as_pattern(pattern), "{pattern}");
        }
        for key in ["order:{{entity_id}}", r"a\*", "{{#if (eq a \"*\")}}x{{/if}}", "{{{a}}}", ""] {
            assert!(!Target::is_written_as_pattern(key), "{key}");
        }
    }
}
