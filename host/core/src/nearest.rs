//! The known name that an unknown one was probably meant to be, for messages.

/// The candidate closest to `written`, if it is close: one slip in a short name, more in a longer one, or a name that
/// was cut off. Letters' case does not count.
///
/// ```
/// # use aftercommit_core::nearest;
/// assert_eq!(nearest("webhok", ["log", "webhook"]), Some("webhook"));
/// assert_eq!(nearest("telegram", ["log", "webhook"]), None);
/// ```
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    candidates
        .into_iter()
        .filter_map(|candidate| Some((slips(&written, &candidate.to_lowercase())?, candidate)))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Letters that were left out, added, swapped or mistaken; `None` when there are too many for one slip.
fn slips(written: &str, candidate: &str) -> Option<usize> {
    let allowed = 1 + candidate.chars().count() / 5;
    if written.len() > 3 && candidate.starts_with(written) {
        return Some(allowed);
    }
    // Each letter that one has more than the other is a slip. Without this look, the cost is that of both lengths multiplied.
    if written.chars().count().abs_diff(candidate.chars().count()) > allowed {
        return None;
    }
    Some(strsim::damerau_levenshtein(written, candidate)).filter(|slips| *slips <= allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_forgiven_and_guesses_are_not_made() {
        let words = ["AND", "BETWEEN", "STARTS_WITH", "url", "body", "body_template"];
        for (written, meant) in [
            ("ADN", Some("AND")),
            ("betwen", Some("BETWEEN")),
            ("startswith", Some("STARTS_WITH")),
            ("ulr", Some("url")),
            ("body_templat", Some("body_template")),
            ("body_temp", Some("body_template")),
            ("total", None),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, words), meant, "{written}");
        }
    }
}
