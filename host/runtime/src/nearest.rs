//! The known word that an unknown one was probably meant to be.

/// The nearest of `known`, if one is near enough to be worth naming.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
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
