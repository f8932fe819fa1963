//! The names of a context that templates may read, so that no more of an event than that is copied for them.

use std::collections::HashSet;

use handlebars::{
    Path, PathSeg,
    template::{Parameter, TemplateElement},
};

use super::Template;

/// Names at the top level of a context.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Roots {
    /// Any of them: a template shows the context itself, or looks up what no text says.
    All,
    /// These. Names within blocks count too, though they may be of what the block is about.
    Named(HashSet<String>),
}

impl Roots {
    /// What these templates may read.
    pub(crate) fn of<'t>(templates: impl Iterator<Item = &'t Template>) -> Self {
        let mut names = HashSet::new();
        for template in templates {
            if names_of(&template.compiled, &mut names).is_none() {
                return Self::All;
            }
        }
        Self::Named(names)
    }

    /// Whether this one may be read.
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(name),
        }
    }
}

/// `None`: any name. The depth is bounded where a template is compiled; this does not recurse.
fn names_of(template: &handlebars::Template, names: &mut HashSet<String>) -> Option<()> {
    let mut rest: Vec<&TemplateElement> = template.elements.iter().collect();
    while let Some(element) = rest.pop() {
        let helper = match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => continue,
            TemplateElement::Expression(helper)
            | TemplateElement::HtmlExpression(helper)
            | TemplateElement::HelperBlock(helper) => helper,
            _ => return None,
        };
        // Its own name is a helper's: a field that stands alone became the parameter of one that writes it.
        for parameter in helper.params.iter().chain(helper.hash.values()) {
            match parameter {
                Parameter::Literal(_) => {}
                Parameter::Name(name) => named(name, names)?,
                Parameter::Path(path) => root(path, names)?,
                Parameter::Subexpression(inner) => rest.push(&inner.element),
                _ => return None,
            }
        }
        let inner = [&helper.template, &helper.inverse].into_iter().flatten();
        rest.extend(inner.flat_map(|inner| &inner.elements));
    }
    Some(())
}

/// The first name of a path. A path that goes up, begins at the root or is quoted may lead anywhere.
fn root(path: &Path, names: &mut HashSet<String>) -> Option<()> {
    let Path::Relative((segments, _)) = path else {
        // `@index` and the like are no part of the context.
        return Some(());
    };
    let mut first = None;
    for segment in segments {
        let PathSeg::Named(name) = segment else { return None };
        first = first.or(Some(name));
    }
    named(first?, names)
}

fn named(name: &str, names: &mut HashSet<String>) -> Option<()> {
    let plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_$-".contains(letter));
    plain.then(|| {
        names.insert(name.to_owned());
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::templates::Escaping;

    fn roots(text: &str) -> Option<Vec<String>> {
        let template = Template::compile(text, Escaping::Text).unwrap();
        match Roots::of(std::iter::once(&template)) {
            Roots::All => None,
            Roots::Named(names) => {
                let mut names: Vec<_> = names.into_iter().collect();
                names.sort();
                Some(names)
            }
        }
    }

    #[test]
    fn names_are_found_wherever_they_stand() {
        for (text, expected) in [
            ("no template", ""),
            ("{{total}} {{customer.address.city}} {{{items.0.sku}}}", "customer items total"),
            ("{{#if a}}{{b}}{{else if c}}{{d}}{{else}}{{e}}{{/if}}", "a b c d e"),
            ("{{#each rows}}{{@index}} {{name}}{{/each}}", "name rows"),
            ("{{#if (and (eq a 1) (not b))}}x{{/if}}{{default c (json d)}}", "a b c d"),
            ("{{lookup data key}} {{event.actor}} {{this.total}}", "data event key total"),
            ("{{len}} {{#if json}}{{default}}{{/if}}", "default json len"),
        ] {
            assert_eq!(roots(text).expect(text).join(" "), expected, "{text}");
        }
    }

    #[test]
    fn what_may_read_anything_reads_all() {
        for text in [
            "{{this}}",
            "{{json this}}",
            "{{@root.total}}",
            "{{#each this}}{{@key}}{{/each}}",
            "{{#with a}}{{../b}}{{/with}}",
            "{{[a name]}}",
            "{{lookup this key}}",
        ] {
            assert_eq!(roots(text), None, "{text}");
        }
    }
}
