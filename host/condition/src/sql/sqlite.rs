//! SQL for SQLite, where each value has a type of its own.

use super::{
    column::{Column, SqliteKind},
    dialect::{Dialect, joined},
    instant,
    test::{ERROR, Test},
    value::{Arm, Number, Text, Time, Value},
};
use crate::syntax::Comparator;

/// Longer texts are null in an image: one that is too long for SQLite would fail the application's statement.
pub const MAX_TEXT_CHARS: u32 = 16 << 20;
/// The same for blobs, in bytes.
pub const MAX_BLOB_BYTES: u32 = 1 << 20;

/// A real has all digits of a number that has no more than these.
const EXACT_DIGITS: usize = 15;
/// Within these powers of ten SQLite reads and writes reals exactly.
const EXACT_EXPONENT: i64 = 70;
/// From here on a real that is written with the fewest digits may be another number than the integer that it equals.
/// Which one cannot be said in SQL: then the event is made.
const GREAT_REAL: &str = "9e15";
/// Calls of functions have at most so many arguments here; SQLite's bound is 127 at first.
const MAX_ARGUMENTS: usize = 64;

pub(super) struct Sqlite<'a> {
    pub(super) columns: &'a [Column<SqliteKind>],
}

impl Dialect for Sqlite<'_> {
    /// Not `true`: that may be the name of a column.
    fn boolean(&self, value: bool) -> &'static str {
        if value { "1" } else { "0" }
    }

    fn unknown(&self) -> &'static str {
        "NULL"
    }

    fn text(&self, text: &str) -> String {
        format!("'{}'", text.replace('\'', "''"))
    }

    fn number(&self, text: &str) -> Option<String> {
        literal(text).map(|literal| literal.sql)
    }

    fn column(&self, row: &str, name: &str) -> Option<Value> {
        let column = self.columns.iter().find(|column| column.name == name)?;
        let x = format!("{row}.\"{}\"", name.replace('"', "\"\""));
        let null = format!(
            "(CASE typeof({x}) WHEN 'text' THEN length({x}) > {MAX_TEXT_CHARS} \
             WHEN 'blob' THEN length({x}) > {MAX_BLOB_BYTES} WHEN 'real' THEN abs({x}) >= 9e999 ELSE {x} IS NULL END)"
        );
        let numeric = format!("typeof({x}) IN ('integer', 'real')");
        let textual = format!("typeof({x}) IN ('text', 'blob')");
        let number = Number { sql: format!("(+{x})"), literal: None };
        let text = format!("(CASE typeof({x}) WHEN 'blob' THEN hex({x}) ELSE {x} END)");
        let text = Text { sql: text, time: Time::Maybe };
        let arm = |when: String| Some(when);
        Some(match column.kind {
            SqliteKind::Plain => Value {
                null: Some(null),
                number: Some(Arm { when: arm(numeric), usual: true, value: number }),
                text: Some(Arm { when: arm(textual), usual: true, value: text }),
                ..Value::default()
            },
            // The plus keeps a text such as '1' from being compared as a number.
            SqliteKind::Boolean => {
                let is_boolean = format!("(+{x} IN (0, 1))");
                Value {
                    null: Some(null),
                    number: Some(Arm {
                        when: arm(format!("({numeric} AND NOT {is_boolean})")),
                        usual: true,
                        value: number,
                    }),
                    text: Some(Arm {
                        when: arm(format!("({textual} AND NOT {is_boolean})")),
                        usual: true,
                        value: text,
                    }),
                    boolean: Some(Arm { when: arm(is_boolean), usual: true, value: format!("(+{x} = 1)") }),
                    ..Value::default()
                }
            }
            SqliteKind::Json => {
                let json_null = format!(
                    "(CASE WHEN typeof({x}) = 'text' AND length({x}) <= {MAX_TEXT_CHARS} AND json_valid({x}) \
                     THEN json_type({x}) = 'null' ELSE {null} END)"
                );
                Value::opaque(json_null, "a JSON column")
            }
        })
    }

    fn compare_booleans(&self, left: &str, comparator: Comparator, right: &str) -> String {
        format!("({left} {} {right})", comparator.as_str())
    }

    fn compare_numbers(&self, left: &Number, comparator: Comparator, right: &Number) -> Test {
        let truth = format!("({} {} {})", left.sql, comparator.as_str(), right.sql);
        let (column, number) = match (&left.literal, &right.literal) {
            (None, Some(number)) => (&left.sql, number),
            (Some(number), None) => (&right.sql, number),
            (Some(_), Some(_)) => return Test::Truth(truth),
            (None, None) => {
                let (l, r) = (&left.sql, &right.sql);
                return Test::Code(format!(
                    "(CASE WHEN typeof({l}) <> typeof({r}) AND CAST({l} AS REAL) = CAST({r} AS REAL) \
                     AND NOT {l} BETWEEN -{GREAT_REAL} AND {GREAT_REAL} THEN {ERROR} ELSE {} END)",
                    self.code(&truth)
                ));
            }
        };
        match literal(number) {
            // Such a real may be written as this integer or as one beside it.
            Some(Literal { sql, is_long: true }) => Test::Code(format!(
                "(CASE WHEN typeof({column}) = 'real' AND {column} = CAST({sql} AS REAL) THEN {ERROR} ELSE {} END)",
                self.code(&truth)
            )),
            _ => Test::Truth(truth),
        }
    }

    fn compare_texts(&self, left: &str, comparator: Comparator, right: &str) -> String {
        format!("({left} {} {right} COLLATE BINARY)", comparator.as_str())
    }

    fn compare_times(&self, left: &Text, comparator: Comparator, right: &Text) -> String {
        let keys = format!("{} AS a, {} AS b", key(left), key(right));
        let texts = self.compare_texts(&left.sql, comparator, &right.sql);
        let operator = comparator.as_str();
        format!(
            "(SELECT CASE WHEN a IS NULL OR b IS NULL THEN {texts} ELSE a {operator} b END FROM (SELECT {keys}))"
        )
    }

    fn documents_differ(&self, left: &str, right: &str) -> String {
        format!("({left} <> {right})")
    }

    fn number_in(&self, number: &str, list: &[String]) -> String {
        format!("({number} IN ({}))", list.join(", "))
    }

    fn text_in(&self, text: &str, list: &[String]) -> String {
        format!("({text} COLLATE BINARY IN ({}))", list.join(", "))
    }

    fn contains(&self, text: &str, sought: &str) -> String {
        format!("(instr({text}, {sought}) > 0)")
    }

    fn starts_with(&self, text: &str, sought: &str) -> String {
        format!("(instr({text}, {sought}) = 1)")
    }

    /// As bytes: characters are counted to the first U+0000 only.
    fn ends_with(&self, text: &str, sought: &str) -> String {
        let (text, sought) = (format!("CAST({text} AS BLOB)"), format!("CAST({sought} AS BLOB)"));
        // A part of an empty blob is null.
        format!(
            "(length({text}) >= length({sought}) AND (length({sought}) = 0 OR substr({text}, -length({sought})) = {sought}))"
        )
    }

    fn like(&self, text: &str, pattern: &str) -> Test {
        let truth = format!("({text} GLOB {})", self.text(&glob(pattern)));
        // GLOB reads no further than to such a character.
        Test::Code(format!(
            "(CASE WHEN instr({text}, char(0)) > 0 THEN {ERROR} ELSE {} END)",
            self.code(&truth)
        ))
    }

    fn code(&self, truth: &str) -> String {
        format!("coalesce({truth} * 2 + 1, 2)")
    }

    fn pick(&self, code: &str, [error, no, unknown, yes]: [usize; 4]) -> String {
        format!("(CASE {code} WHEN 0 THEN {error} WHEN 1 THEN {no} WHEN 2 THEN {unknown} ELSE {yes} END)")
    }

    fn least(&self, numbers: &[String]) -> String {
        format!("({} % 4)", least(numbers))
    }

    fn is_true(&self, truth: &str) -> String {
        format!("coalesce({truth}, 0)")
    }

    fn is_true_or_error(&self, code: &str) -> String {
        format!("({code} IN (0, 3))")
    }
}

fn least(numbers: &[String]) -> String {
    if numbers.len() <= MAX_ARGUMENTS {
        return format!("min({})", numbers.join(", "));
    }
    let (left, right) = numbers.split_at(numbers.len() / 2);
    format!("min({}, {})", least(left), least(right))
}

/// A number as SQLite's SQL.
struct Literal {
    sql: String,
    /// An integer with more digits than a real has.
    is_long: bool,
}

/// `None` when SQLite has neither an integer nor a real that is this number.
fn literal(text: &str) -> Option<Literal> {
    let (sign, magnitude) = text.strip_prefix('-').map_or(("", text), |magnitude| ("-", magnitude));
    let (mantissa, exponent) = magnitude.split_once(['e', 'E']).unwrap_or((magnitude, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0').trim_end_matches('0');
    if digits.is_empty() {
        return Some(Literal { sql: "0".to_owned(), is_long: false });
    }
    let zeros_at_end = all.len() - all.trim_end_matches('0').len();
    let shift = i64::try_from(zeros_at_end).ok()? - i64::try_from(fraction.len()).ok()?;
    // The number is `digits * 10^exponent`.
    let exponent = exponent.parse::<i64>().ok()?.checked_add(shift)?;
    let power = exponent.checked_add(i64::try_from(digits.len()).ok()?)?;
    if !(-EXACT_EXPONENT..=EXACT_EXPONENT).contains(&power) {
        return None;
    }
    if let Some(zeros) = usize::try_from(exponent).ok().filter(|zeros| *zeros <= 19) {
        let sql = format!("{sign}{digits}{}", "0".repeat(zeros));
        if sql.parse::<i64>().is_ok_and(|integer| integer > i64::MIN) {
            return Some(Literal { sql: format!("({sql})"), is_long: digits.len() > EXACT_DIGITS });
        }
    }
    (digits.len() <= EXACT_DIGITS)
        .then(|| Literal { sql: format!("({sign}{digits}e{exponent})"), is_long: false })
}

/// A pattern of LIKE as one of GLOB, which looks at the case of letters.
fn glob(pattern: &str) -> String {
    let mut glob = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '%' => {
                glob.push('*');
                continue;
            }
            '_' => {
                glob.push('?');
                continue;
            }
            '\\' => characters.next().unwrap_or('\\'),
            character => character,
        };
        if matches!(literal, '*' | '?' | '[') {
            glob.extend(['[', literal, ']']);
        } else {
            glob.push(literal);
        }
    }
    glob
}

/// The key of the instant that a text writes down; null when it is no date-time.
fn key(text: &Text) -> String {
    match &text.time {
        Time::Known(instant) => format!("'{}'", instant::key(instant)),
        Time::Never | Time::Zoned(_) => "NULL".to_owned(),
        Time::Maybe => key_of_text(&text.sql),
    }
}

/// From the inside: the text, if its first 19 characters are those of a date-time; its zone `z`; its fraction `f`; the
/// numbers in it, with the offset `o` in minutes; the days of the month `n`.
fn key_of_text(text: &str) -> String {
    const DATE_AND_TIME: &str =
        "'[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][Tt ][0-9][0-9]:[0-9][0-9]:[0-9][0-9]*'";
    let number =
        |text: &str, at: u32, length: u32| format!("CAST(substr({text}, {at}, {length}) AS INTEGER)");
    let (zone_hour, zone_minute) = (number("z", 2, 2), number("z", 5, 2));
    let days = "365 * p + p / 4 - p / 100 + p / 400 + (153 * q + 2) / 5 + d - 1";
    let valid = joined(
        &[
            "m BETWEEN 1 AND 12".to_owned(),
            "d BETWEEN 1 AND n".to_owned(),
            "h <= 23".to_owned(),
            "i <= 59".to_owned(),
            "(s <= 59 OR s = 60 AND (h * 60 + i - o = 1439 AND d = n OR h * 60 + i - o = -1 AND d = 1))"
                .to_owned(),
            "(z IN ('Z', 'z') OR z GLOB '[+-][0-9][0-9]:[0-9][0-9]')".to_owned(),
            format!("(z IN ('Z', 'z') OR {zone_hour} <= 23 AND {zone_minute} <= 59)"),
            "(f = '' OR f GLOB '.[0-9]*' AND NOT substr(f, 2) GLOB '*[^0-9]*')".to_owned(),
        ],
        " AND ",
    );
    format!(
        "(SELECT CASE WHEN {valid} THEN printf('%012d', (({days}) * 1440 + h * 60 + i - o) * 60 + min(s, 59)) \
         || (s = 60) || rtrim(substr(f, 2), '0') END \
         FROM (SELECT z, f, m, d, h, i, s, o, y + 400 - (m <= 2) AS p, m + (CASE WHEN m > 2 THEN -3 ELSE 9 END) AS q, \
         CASE WHEN m = 2 THEN 28 + (y % 4 = 0 AND (y % 100 <> 0 OR y % 400 = 0)) WHEN m IN (4, 6, 9, 11) THEN 30 \
         ELSE 31 END AS n \
         FROM (SELECT z, substr(v, 20, length(v) - 19 - length(z)) AS f, {} AS y, {} AS m, {} AS d, {} AS h, {} AS i, \
         {} AS s, CASE WHEN z IN ('Z', 'z') THEN 0 ELSE ({zone_hour} * 60 + {zone_minute}) * \
         (CASE substr(z, 1, 1) WHEN '-' THEN -1 ELSE 1 END) END AS o \
         FROM (SELECT v, CASE WHEN substr(v, -1) IN ('Z', 'z') THEN substr(v, -1) ELSE substr(v, -6) END AS z \
         FROM (SELECT {text} AS v) WHERE v GLOB {DATE_AND_TIME} AND length(v) = length(CAST(v AS BLOB))))))",
        number("v", 1, 4),
        number("v", 6, 2),
        number("v", 9, 2),
        number("v", 12, 2),
        number("v", 15, 2),
        number("v", 18, 2),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_exactly_or_not_at_all() {
        for (text, sql) in [
            ("0", Some("0")),
            ("-0.00e5", Some("0")),
            ("100", Some("(100)")),
            ("100.00", Some("(100)")),
            ("-1e2", Some("(-100)")),
            ("0.5", Some("(5e-1)")),
            ("-12.50", Some("(-125e-1)")),
            ("9223372036854775807", Some("(9223372036854775807)")),
            ("1e20", Some("(1e20)")),
            ("9223372036854775808", None),
            ("0.1234567890123456", None),
            ("1e71", None),
            ("1e99999999999999999999", None),
        ] {
            assert_eq!(literal(text).map(|literal| literal.sql).as_deref(), sql, "{text}");
        }
    }

    #[test]
    fn patterns_keep_their_meaning() {
        assert_eq!(glob("a%b_c"), "a*b?c");
        assert_eq!(glob("100\\%[*]?\\_\\\\"), "100%[[][*]][?]_\\");
    }
}
