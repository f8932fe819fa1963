//! The words of the language that are neither functions nor fields.

/// The words that stand between or before conditions and values, as they are printed.
pub const KEYWORDS: [&str; 13] = [
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "LIKE",
    "CONTAINS",
    "STARTS_WITH",
    "ENDS_WITH",
    "IS",
    "NULL",
    "TRUE",
    "FALSE",
];
