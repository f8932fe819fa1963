//! The known word that an unknown one was probably meant to be.

/// The nearest of `known`, if one is near enough to be worth naming.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (likeness(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Swapped and forgotten letters count little, and so does what is only cut off.
fn likeness(word: &str, candidate: &str) -> f64 {
    let cut_off = if word.len() > 3 && candidate.starts_with(word) { 0.8 } else { 0.0 };
    strsim::normalized_damerau_levenshtein(word, candidate).max(cut_off)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_finds_its_neighbour() {
        assert_eq!(nearest("ulr", ["url", "headers"]), Some("url"));
        assert_eq!(nearest("body_templat", ["body", "body_template"]), Some("body_template"));
        assert_eq!(nearest("zzz", ["url", "headers"]), None);
    }
}
