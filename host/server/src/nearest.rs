//! The nearest known name, for messages about unknown ones.

/// The candidate that is most like `written`, if any is near enough to be meant.
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&written, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_near() {
        let names = ["webhook", "log", "slack"];
        assert_eq!(nearest("webhok", names), Some("webhook"));
        assert_eq!(nearest("Slakc", names), Some("slack"));
        assert_eq!(nearest("telegram", names), None);
    }
}
