//! `${secret:NAME}` in a configuration's text.

/// A text in parts: as it is, or the name of a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Part<'t> {
    Text(&'t str),
    Secret(&'t str),
}

const OPEN: &str = "${secret:";

/// Whether a text names a secret.
pub(crate) fn names_secret(text: &str) -> bool {
    text.contains(OPEN)
}

/// The text in parts, or what is wrong with a reference.
pub(crate) fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(OPEN) {
        if start > 0 {
            parts.push(Part::Text(&rest[..start]));
        }
        let after = &rest[start + OPEN.len()..];
        let end = after.find('}').ok_or_else(|| "`${secret:` has no closing `}`".to_owned())?;
        let name = &after[..end];
        if !is_name(name) {
            return Err(format!(
                "`{}` is not the name of a secret: letters, digits, `_`, `-` and `.`",
                name.escape_debug()
            ));
        }
        parts.push(Part::Secret(name));
        rest = &after[end + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

/// Whether a text can name a secret.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found() {
        assert_eq!(
            parts("Bearer ${secret:A}!"),
            Ok(vec![Part::Text("Bearer "), Part::Secret("A"), Part::Text("!")])
        );
        assert_eq!(parts("${secret:A}${secret:B}"), Ok(vec![Part::Secret("A"), Part::Secret("B")]));
        assert_eq!(parts("$x {secret}"), Ok(vec![Part::Text("$x {secret}")]));
        assert!(parts("${secret:A").is_err());
        assert!(parts("${secret:../A}").is_err());
        assert!(parts("${secret:}").is_err());
    }
}
