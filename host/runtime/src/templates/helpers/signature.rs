//! Which helpers there are, and how each is called.

use std::collections::HashMap;

use handlebars::template::Parameter;
use serde_json::Value;

use super::{arguments::Arguments, compare, date, number, text};
use crate::templates::RenderProblem;
use aftercommit_core::nearest;

/// Makes the helper's value.
pub(super) type Make = fn(&Arguments<'_, '_>) -> Result<Value, RenderProblem>;

/// Says what is wrong with the values that the template itself says.
type Check = fn(&[Parameter]) -> Result<(), String>;

/// One helper.
pub(in crate::templates) struct Signature {
    pub(super) name: &'static str,
    least: usize,
    most: usize,
    /// What may be given by name.
    named: &'static [&'static str],
    form: Form,
    /// None where the helper renders what stands in its block.
    pub(super) make: Option<Make>,
    /// Looks at the values that the template itself says.
    check: Option<Check>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Block,
    Value,
    /// `{{#eq a b}}..{{/eq}}` is `{{#if (eq a b)}}..{{/if}}`.
    Both,
}

const fn block(name: &'static str, named: &'static [&'static str]) -> Signature {
    Signature { name, least: 1, most: 1, named, form: Form::Block, make: None, check: None }
}

const fn truth(name: &'static str, least: usize, most: usize, make: Make) -> Signature {
    Signature { name, least, most, named: &[], form: Form::Both, make: Some(make), check: None }
}

const fn value(name: &'static str, least: usize, most: usize, make: Make) -> Signature {
    Signature { name, least, most, named: &[], form: Form::Value, make: Some(make), check: None }
}

const MANY: usize = usize::MAX;

/// All helpers, in the order of the documentation.
pub(super) const ALL: &[Signature] = &[
    block("if", &["includeZero"]),
    block("unless", &["includeZero"]),
    block("each", &[]),
    block("with", &[]),
    value("lookup", 2, 2, text::lookup),
    truth("eq", 2, 2, compare::eq),
    truth("ne", 2, 2, compare::ne),
    truth("gt", 2, 2, compare::gt),
    truth("gte", 2, 2, compare::gte),
    truth("lt", 2, 2, compare::lt),
    truth("lte", 2, 2, compare::lte),
    truth("and", 1, MANY, compare::and),
    truth("or", 1, MANY, compare::or),
    truth("not", 1, 1, compare::not),
    value("default", 2, 2, text::default),
    value("len", 1, 1, text::len),
    value("json", 1, 1, text::json),
    value("truncate", 2, 3, text::truncate),
    value("lower", 1, 1, text::lower),
    value("upper", 1, 1, text::upper),
    value("join", 1, 2, text::join),
    value("urlencode", 1, 1, text::urlencode),
    Signature { named: &["group", "point"], ..value("number", 1, 2, number::number) },
    Signature { check: Some(date::check), ..value("date", 1, 3, date::date) },
];

/// The names of all helpers.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|signature| signature.name)
}

/// The helper of that name, or what is wrong with it.
pub(in crate::templates) fn signature(name: &str) -> Result<&'static Signature, String> {
    ALL.iter().find(|signature| signature.name == name).ok_or_else(|| {
        let known = nearest(name, names()).map_or_else(
            || format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        format!("there is no helper `{name}`; {known}")
    })
}

impl Signature {
    /// Whether it may be called so.
    pub(in crate::templates) fn check(
        &self,
        as_block: bool,
        values: &[Parameter],
        named: &HashMap<String, Parameter>,
    ) -> Result<(), String> {
        let Self { name, least, most, .. } = *self;
        match self.form {
            Form::Block if !as_block => {
                return Err(format!("`{name}` is a block: `{{{{#{name} ..}}}}..{{{{/{name}}}}}`"));
            }
            Form::Value if as_block => return Err(format!("`{name}` is no block: `{{{{{name} ..}}}}`")),
            _ => {}
        }
        if !(least..=most).contains(&values.len()) {
            let takes = match (least, most) {
                (1, 1) => "1 value".to_owned(),
                (least, most) if least == most => format!("{least} values"),
                (least, MANY) => format!("{least} or more values"),
                (least, most) if least + 1 == most => format!("{least} or {most} values"),
                (least, most) => format!("{least} to {most} values"),
            };
            return Err(format!("`{name}` takes {takes}, not {}", values.len()));
        }
        if let Some(strange) = named.keys().find(|key| !self.named.contains(&key.as_str())) {
            let near = nearest(strange, self.named.iter().copied());
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Err(format!("`{name}` takes no `{strange}=`{near}"));
        }
        self.check.map_or(Ok(()), |check| check(values)).map_err(|why| format!("`{name}` {why}"))
    }
}
