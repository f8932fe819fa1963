//! The word that was probably meant. It knows the language's vocabulary and nothing of a text's structure.

/// The words that stand between or before conditions and values, as they are printed.
pub const KEYWORDS: [&str; 13] = [
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "LIKE",
    "CONTAINS",
    "STARTS_WITH",
    "ENDS_WITH",
    "IS",
    "NULL",
    "TRUE",
    "FALSE",
];

/// The candidate closest to `written`, if it is close: one slip in a short word, two in a longer one. Letters' case
/// does not count.
pub(crate) fn closest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_uppercase();
    let slips = |candidate: &str| strsim::damerau_levenshtein(&written, candidate);
    candidates
        .into_iter()
        .map(|candidate| (slips(candidate), candidate))
        .filter(|(slips, candidate)| *slips <= if candidate.len() <= 4 { 1 } else { 2 })
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_forgiven_and_guesses_are_not_made() {
        assert_eq!(closest("ADN", KEYWORDS), Some("AND"));
        assert_eq!(closest("betwen", KEYWORDS), Some("BETWEEN"));
        assert_eq!(closest("startswith", KEYWORDS), Some("STARTS_WITH"));
        assert_eq!(closest("total", KEYWORDS), None);
        assert_eq!(closest("", ["AND"]), None);
    }
}
