//! The parser that pest makes of `condition.pest`.

use pest_derive::Parser;

#[derive(Parser)]
#[grammar = "condition.pest"]
pub(crate) struct Grammar;
