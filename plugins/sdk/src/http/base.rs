//! URLs that paths are added to.

use crate::FieldProblem;

/// What is wrong with the URL of an API, to which a plugin adds paths: they would become a part of its query or fragment.
#[must_use]
pub fn base_url_problem(pointer: &str, url: Option<&str>) -> Option<FieldProblem> {
    let url = url.filter(|url| url.contains(['?', '#']))?;
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let message =
        format!("paths are added to this URL; write it without what begins with {:?}", &url[end..=end]);
    Some(FieldProblem::new(pointer, message))
}

#[cfg(test)]
mod tests {
    use super::base_url_problem;

    #[test]
    fn queries_and_fragments_are_refused() {
        for right in [None, Some("https://e.example:9200"), Some("https://e.example/api/")] {
            assert_eq!(base_url_problem("/url", right).map(|problem| problem.message), None);
        }
        let told = base_url_problem("/url", Some("https://e.example/?pretty#x")).expect("it is wrong");
        assert_eq!(told.pointer, "/url");
        assert!(told.message.ends_with("begins with \"?\""), "{}", told.message);
    }
}
