//! Functions that SQL has and conditions do not: what to write instead.

use crate::{calls::Function, diagnostic::Diagnostic, grammar::Rule, tokens::Token};

/// A name of SQL before a parenthesis.
pub(crate) fn mistake(source: &str, tokens: &[Token], index: usize) -> Option<Diagnostic> {
    let token = tokens[index];
    let opens = tokens.get(index + 1).is_some_and(|after| after.rule == Rule::open);
    let name = source[token.span.range()].to_ascii_lowercase();
    if !opens || token.rule != Rule::field || Function::named(&name).is_some() {
        return None;
    }
    let help = help(&name)?;
    let message = format!("conditions have no function `{name}`");
    Some(Diagnostic::error(token.span, message, "a function of SQL").help(help))
}

fn help(name: &str) -> Option<String> {
    Some(match name {
        "lower" | "upper" | "lcase" | "ucase" | "initcap" => {
            "texts are compared as they are: list the spellings, status IN ('paid', 'PAID'), or keep the text in one \
             spelling in a generated column of the table, which is a field like any other"
                .to_owned()
        }
        "now" | "current_timestamp" | "current_date" | "clock_timestamp" | "getdate" | "datetime" => {
            "a condition knows no clock: EVENT.occurred_at is when the change was made".to_owned()
        }
        "coalesce" | "ifnull" | "nvl" | "isnull" => {
            "say what null means: (total IS NULL OR total < 5)".to_owned()
        }
        "length" | "len" | "char_length" | "trim" | "ltrim" | "rtrim" | "substr" | "substring" | "left" | "right"
        | "concat" | "replace" | "abs" | "round" | "floor" | "ceil" | "cast" | "date" | "date_trunc" | "extract"
        | "strftime" | "to_char" | "json_extract" | "jsonb_extract_path_text" | "regexp_like" | "regexp_match" => {
            format!(
                "a condition compares values and does not calculate: keep what `{name}` makes in a generated column of the table, which is a \
                 field like any other"
            )
        }
        "count" | "sum" | "min" | "max" | "avg" | "exists" => {
            "a condition sees the row that was changed, and no others".to_owned()
        }
        _ => return None,
    })
}
