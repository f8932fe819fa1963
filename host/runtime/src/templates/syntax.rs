//! Why a text is no template, in the words of who writes one: the parser knows the names of its rules only.

use super::TemplateError;

/// The first thing in a text that no template has. Called when the parser has refused it, with what it said and where.
pub(super) fn explained(text: &str, parser: TemplateError) -> TemplateError {
    match found(text) {
        Some((offset, message)) => TemplateError { at: Some(place(text, offset)), message },
        None => parser,
    }
}

/// Line and column of a byte, from 1.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line..].chars().count() + 1)
}

fn found(text: &str) -> Option<(usize, String)> {
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("{{").map(|at| from + at) {
        let inside = start + text[start..].bytes().take_while(|byte| *byte == b'{').count();
        // A comment may hold anything, the others no braces.
        let is_long_comment = text[inside..].starts_with("!--");
        let Some(length) = text[inside..].find(if is_long_comment { "--}}" } else { "}}" }) else {
            return Some((start, "`{{` is not closed by `}}`".to_owned()));
        };
        let tag = text[inside..inside + length]
            .trim_matches(|letter: char| letter == '~' || letter.is_whitespace());
        if tag.is_empty() {
            return Some((start, "there is nothing between `{{` and `}}`; write a field's name".to_owned()));
        }
        if let Some(block) = tag.strip_prefix(['#', '^']).map(first_word).filter(|name| !name.is_empty()) {
            open.push((start, block));
        } else if let Some(name) = tag.strip_prefix('/').map(first_word) {
            match open.pop() {
                Some((_, block)) if block == name => {}
                Some((_, block)) => {
                    return Some((
                        start,
                        format!("`{{{{/{name}}}}}` ends no block; open is `{{{{#{block}}}}}`"),
                    ));
                }
                None => return Some((start, format!("`{{{{/{name}}}}}` ends no block"))),
            }
        }
        from = inside + length + 2;
    }
    let (start, block) = open.pop()?;
    Some((start, format!("`{{{{#{block} ..}}}}` is not ended by `{{{{/{block}}}}}`")))
}

fn first_word(tag: &str) -> &str {
    tag.split_whitespace().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::found;
    use crate::templates::{Escaping, Template};

    #[test]
    fn what_is_wrong_is_told_at_its_place() {
        for (text, expected) in [
            ("a {{#if x}} b", "line 1, column 3: `{{#if ..}}` is not ended by `{{/if}}`"),
            ("ü\n {{total", "line 2, column 2: `{{` is not closed by `}}`"),
            ("{{ }}", "line 1, column 1: there is nothing between `{{` and `}}`; write a field's name"),
            ("{{#each a}}{{/if}}", "line 1, column 12: `{{/if}}` ends no block; open is `{{#each}}`"),
            ("{{/if}}", "line 1, column 1: `{{/if}}` ends no block"),
        ] {
            let told = Template::compile(text, Escaping::Text).err().expect(text).to_string();
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn nothing_is_found_in_a_template() {
        for text in [
            "plain } {",
            "{{a}} {{{b}}} {{~c~}}",
            "{{#if a}}x{{else}}y{{/if}}{{#each b}}{{#with c}}{{d}}{{/with}}{{/each}}",
            "{{! {{ }}{{!-- }} --}}{{^if a}}x{{/if}}{{^}}",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn what_only_the_parser_knows_is_its_to_tell() {
        let told = Template::compile("{{a b=}}", Escaping::Text).err().expect("no template").to_string();
        assert!(told.starts_with("line 1, column"), "{told}");
    }
}
