//! SQL for PostgreSQL. It runs with other rights than those of whoever changes the row: so it names nothing outside of
//! `pg_catalog`, and no operator by itself.

use aftercommit_core::Timestamp;

use super::{
    column::{Column, PostgresKind},
    dialect::{Dialect, joined},
    instant,
    test::Test,
    value::{Arm, Number, Text, Time, Value},
};
use crate::syntax::Comparator;

/// The years whose times are written in RFC 3339.
const FIRST_TIME: &str = "'0001-01-01 00:00:00+00'::pg_catalog.timestamptz";
const AFTER_LAST_TIME: &str = "'10000-01-01 00:00:00+00'::pg_catalog.timestamptz";

/// Numbers beyond this power of ten are refused; those of `numeric` go to 131072.
const MAX_EXPONENT: u32 = 1000;

pub(super) struct Postgres<'a> {
    pub(super) columns: &'a [Column<PostgresKind>],
}

impl Dialect for Postgres<'_> {
    fn boolean(&self, value: bool) -> &'static str {
        if value { "TRUE" } else { "FALSE" }
    }

    fn unknown(&self) -> &'static str {
        "NULL::pg_catalog.bool"
    }

    fn text(&self, text: &str) -> String {
        format!("{}::pg_catalog.text", quoted(text))
    }

    fn number(&self, text: &str) -> Option<String> {
        let exponent = text.split_once(['e', 'E']).map_or(Ok(0), |(_, exponent)| exponent.parse::<i32>());
        (exponent.ok()?.unsigned_abs() <= MAX_EXPONENT).then(|| format!("'{text}'::pg_catalog.numeric"))
    }

    fn column(&self, row: &str, name: &str) -> Option<Value> {
        let column = self.columns.iter().find(|column| column.name == name)?;
        let x = format!("{row}.\"{}\"", name.replace('"', "\"\""));
        let null = format!("({x} IS NULL)");
        let as_text = format!("{x}::pg_catalog.text");
        let as_json = format!("(pg_catalog.to_json({x}) OPERATOR(pg_catalog.#>>) '{{}}'::pg_catalog.text[])");
        Some(match column.kind {
            PostgresKind::Integer => {
                let number = Number { sql: format!("{x}::pg_catalog.numeric"), literal: None };
                Value { null: Some(null), number: Some(Arm::always(number)), ..Value::default() }
            }
            PostgresKind::Numeric => numeric(&x, &format!("{x}::pg_catalog.numeric"), "numeric", null),
            // The text has the fewest digits that read back the same, as in the image.
            PostgresKind::Float => numeric(&x, &format!("{as_text}::pg_catalog.numeric"), "float8", null),
            PostgresKind::Boolean => Value::of_boolean(x, Some(null)),
            PostgresKind::Text | PostgresKind::Character => Value::of_text(as_text, Time::Maybe, Some(null)),
            PostgresKind::Enum => {
                let label = format!("pg_catalog.enum_out({x})::pg_catalog.text");
                Value::of_text(label, Time::Maybe, Some(null))
            }
            PostgresKind::Uuid => Value::of_text(as_text, Time::Never, Some(null)),
            PostgresKind::Date | PostgresKind::Timestamp => Value::of_text(as_json, Time::Never, Some(null)),
            PostgresKind::TimestampTz => Value::of_text(as_json, Time::Zoned(x), Some(null)),
            PostgresKind::Json => {
                let bare = format!("pg_catalog.btrim({as_text}, E' \\t\\n\\r')");
                let json_null = format!("({bare} OPERATOR(pg_catalog.=) 'null'::pg_catalog.text)");
                Value::opaque(format!("COALESCE({json_null}, TRUE)"), "a JSON column")
            }
            PostgresKind::Jsonb => {
                let document = format!("COALESCE({x}, 'null'::pg_catalog.jsonb)");
                let json_null = format!("({document} OPERATOR(pg_catalog.=) 'null'::pg_catalog.jsonb)");
                Value { document: Some(document), ..Value::opaque(json_null, "a JSON column") }
            }
            // A composite value of nulls alone IS NULL, and has an image.
            PostgresKind::Other => Value::opaque(
                format!("(pg_catalog.num_nulls({x}) OPERATOR(pg_catalog.=) 1)"),
                "a column of a type that it does not know",
            ),
        })
    }

    fn compare_booleans(&self, left: &str, comparator: Comparator, right: &str) -> String {
        operation(left, comparator, right)
    }

    fn compare_numbers(&self, left: &Number, comparator: Comparator, right: &Number) -> Test {
        Test::Truth(operation(&left.sql, comparator, &right.sql))
    }

    fn compare_texts(&self, left: &str, comparator: Comparator, right: &str) -> String {
        operation(&by_code_point(left), comparator, right)
    }

    fn compare_times(&self, left: &Text, comparator: Comparator, right: &Text) -> String {
        let texts = self.compare_texts(&left.sql, comparator, &right.sql);
        if let (Some(first), Some(second)) = (zoned(left), zoned(right)) {
            let has_text = joined(&[first.has_text, second.has_text].concat(), " AND ");
            let times = operation(&first.sql, comparator, &second.sql);
            return format!("(CASE WHEN {has_text} THEN {times} ELSE {texts} END)");
        }
        let order = operation("(a.l COLLATE pg_catalog.\"C\")", comparator, "a.r");
        format!(
            "(SELECT CASE WHEN a.l IS NULL OR a.r IS NULL THEN {texts} ELSE {order} END \
             FROM (SELECT {} AS l, {} AS r OFFSET 0) AS a)",
            key(left),
            key(right)
        )
    }

    fn documents_differ(&self, left: &str, right: &str) -> String {
        operation(left, Comparator::NotEqual, right)
    }

    fn number_in(&self, number: &str, list: &[String]) -> String {
        let list = list.join(", ");
        format!("({number} OPERATOR(pg_catalog.=) ANY (ARRAY[{list}]::pg_catalog.numeric[]))")
    }

    fn text_in(&self, text: &str, list: &[String]) -> String {
        let list = list.join(", ");
        format!("({} OPERATOR(pg_catalog.=) ANY (ARRAY[{list}]::pg_catalog.text[]))", by_code_point(text))
    }

    fn contains(&self, text: &str, sought: &str) -> String {
        format!("(pg_catalog.strpos({}, {sought}) OPERATOR(pg_catalog.>) 0)", by_code_point(text))
    }

    fn starts_with(&self, text: &str, sought: &str) -> String {
        format!("pg_catalog.starts_with({}, {sought})", by_code_point(text))
    }

    fn ends_with(&self, text: &str, sought: &str) -> String {
        let end = format!("pg_catalog.\"right\"({text}, pg_catalog.char_length({sought}))");
        self.compare_texts(&end, Comparator::Equal, sought)
    }

    /// A backslash means the same to PostgreSQL.
    fn like(&self, text: &str, pattern: &str) -> Test {
        Test::Truth(format!("({} OPERATOR(pg_catalog.~~) {})", by_code_point(text), self.text(pattern)))
    }

    fn code(&self, truth: &str) -> String {
        let doubled = format!("({truth}::pg_catalog.int4 OPERATOR(pg_catalog.*) 2)");
        format!("COALESCE(({doubled} OPERATOR(pg_catalog.+) 1), 2)")
    }

    fn pick(&self, code: &str, [error, no, unknown, yes]: [usize; 4]) -> String {
        format!("('[0:3]={{{error},{no},{unknown},{yes}}}'::pg_catalog.int4[])[{code}]")
    }

    fn least(&self, numbers: &[String]) -> String {
        format!("(LEAST({}) OPERATOR(pg_catalog.%) 4)", numbers.join(", "))
    }

    fn is_true(&self, truth: &str) -> String {
        format!("({truth} IS TRUE)")
    }

    fn is_true_or_error(&self, code: &str) -> String {
        format!("({code} OPERATOR(pg_catalog.=) ANY ('{{0,3}}'::pg_catalog.int4[]))")
    }
}

/// A column of numbers that may hold NaN and the infinities, which are texts in JSON.
fn numeric(x: &str, number: &str, kind: &str, null: String) -> Value {
    let special =
        format!("({x} OPERATOR(pg_catalog.=) ANY ('{{NaN,Infinity,-Infinity}}'::pg_catalog.{kind}[]))");
    let text = Text { sql: format!("{x}::pg_catalog.text"), time: Time::Never };
    Value {
        null: Some(null),
        number: Some(Arm {
            when: Some(format!("(NOT {special})")),
            usual: true,
            value: Number { sql: number.to_owned(), literal: None },
        }),
        text: Some(Arm { when: Some(special), usual: false, value: text }),
        ..Value::default()
    }
}

fn operation(left: &str, comparator: Comparator, right: &str) -> String {
    let operator = if comparator == Comparator::NotEqual { "<>" } else { comparator.as_str() };
    format!("({left} OPERATOR(pg_catalog.{operator}) {right})")
}

/// Whatever collation the column has.
fn by_code_point(text: &str) -> String {
    format!("({text} COLLATE pg_catalog.\"C\")")
}

/// A text literal, whatever `standard_conforming_strings` is.
fn quoted(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A text that can be compared as a `timestamptz`.
struct ZonedText {
    sql: String,
    /// When its text is a date-time; always when empty.
    has_text: Vec<String>,
}

fn zoned(text: &Text) -> Option<ZonedText> {
    match &text.time {
        Time::Zoned(x) => Some(ZonedText {
            sql: x.clone(),
            has_text: vec![
                format!("({x} OPERATOR(pg_catalog.>=) {FIRST_TIME})"),
                format!("({x} OPERATOR(pg_catalog.<) {AFTER_LAST_TIME})"),
            ],
        }),
        Time::Known(instant) => {
            let at = Timestamp::from_micros(instant::unix_micros(instant)?);
            let has_text = Vec::new();
            Some(ZonedText { sql: format!("'{at}'::pg_catalog.timestamptz"), has_text })
        }
        Time::Maybe | Time::Never => None,
    }
}

/// The key of the instant that a text writes down; null when it is no date-time.
fn key(text: &Text) -> String {
    match &text.time {
        Time::Known(instant) => format!("'{}'::pg_catalog.text", instant::key(instant)),
        Time::Never => "NULL::pg_catalog.text".to_owned(),
        Time::Zoned(x) => key_of_time(x),
        Time::Maybe => key_of_text(&text.sql),
    }
}

/// The seconds since keys begin, which have six digits behind the point.
fn key_of_time(x: &str) -> String {
    let seconds = format!(
        "(pg_catalog.\"extract\"('epoch', {x}) OPERATOR(pg_catalog.+) {}::pg_catalog.numeric)::pg_catalog.text",
        instant::UNIX_EPOCH
    );
    let part = |index: u8| format!("pg_catalog.split_part({seconds}, '.', {index})");
    let whole = format!("pg_catalog.lpad({}, 12, '0')", part(1));
    let fraction = format!("pg_catalog.rtrim({}, '0')", part(2));
    format!(
        "(CASE WHEN ({x} OPERATOR(pg_catalog.>=) {FIRST_TIME}) AND ({x} OPERATOR(pg_catalog.<) {AFTER_LAST_TIME}) \
         THEN pg_catalog.concat({whole}, '0', {fraction}) END)"
    )
}

/// The numbers in a text that has the form of a date-time, with the offset `o` in minutes; then the days of the month
/// `n`. Nothing is read before the form is known to be right, because reading would fail.
fn key_of_text(text: &str) -> String {
    const FORM: &str = "'^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:\
                        ([0-5][0-9]|60)([.][0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$'";
    // Put in last: the name of a column may have anything in it.
    let v = "{v}";
    let number = |text: &str, at: u32, length: u32| {
        format!("pg_catalog.substr({text}, {at}, {length})::pg_catalog.int4")
    };
    let zone = format!("pg_catalog.\"right\"({v}, 6)");
    let sign = format!("(CASE WHEN pg_catalog.\"left\"({zone}, 1) {{=}} '-' THEN -1 ELSE 1 END)");
    let offset = format!("(({} {{*}} 60) {{+}} {})", number(&zone, 2, 2), number(&zone, 5, 2));
    let offset = format!(
        "(CASE WHEN pg_catalog.\"right\"({v}, 1) {{=}} ANY ('{{Z,z}}'::pg_catalog.text[]) THEN 0 ELSE ({offset} {{*}} {sign}) END)"
    );
    let year_days = "(365 {*} b.p) {+} (b.p {/} 4) {-} (b.p {/} 100) {+} (b.p {/} 400)";
    let days = format!("({year_days} {{+}} (((153 {{*}} b.q) {{+}} 2) {{/}} 5) {{+}} b.d {{-}} 1)");
    let minutes = "((b.h {*} 60) {+} b.i {-} b.o)";
    let second = "(CASE WHEN b.s {=} 60 THEN 59 ELSE b.s END)";
    let seconds = format!("((({days}::pg_catalog.int8 {{*}} 1440) {{+}} {minutes}) {{*}} 60) {{+}} {second}");
    let leap =
        format!("((({minutes} {{=}} 1439) AND (b.d {{=}} b.n)) OR (({minutes} {{=}} -1) AND (b.d {{=}} 1)))");
    let leap_year = "(((a.y {%} 4) {=} 0) AND (((a.y {%} 100) {<>} 0) OR ((a.y {%} 400) {=} 0)))";
    let month_days = format!(
        "(CASE WHEN a.m {{=}} 2 THEN (CASE WHEN {leap_year} THEN 29 ELSE 28 END) \
         WHEN a.m {{=}} ANY ('{{4,6,9,11}}'::pg_catalog.int4[]) THEN 30 ELSE 31 END)"
    );
    let sql = format!(
        "(CASE WHEN ({v} {{~}} {FORM}) THEN (SELECT CASE WHEN (b.d {{<=}} b.n) AND ((b.s {{<}} 60) OR {leap}) \
         THEN pg_catalog.concat(pg_catalog.lpad(({seconds})::pg_catalog.text, 12, '0'), \
         (CASE WHEN b.s {{=}} 60 THEN '1' ELSE '0' END), pg_catalog.rtrim(b.f, '0')) END \
         FROM (SELECT a.d, a.h, a.i, a.s, a.o, a.f, {month_days} AS n, \
         (CASE WHEN a.m {{>}} 2 THEN a.y {{+}} 400 ELSE a.y {{+}} 399 END) AS p, \
         (CASE WHEN a.m {{>}} 2 THEN a.m {{-}} 3 ELSE a.m {{+}} 9 END) AS q \
         FROM (SELECT {} AS y, {} AS m, {} AS d, {} AS h, {} AS i, {} AS s, {offset} AS o, \
         pg_catalog.substring({v}, '[.]([0-9]+)') AS f OFFSET 0) AS a OFFSET 0) AS b) END)",
        number(v, 1, 4),
        number(v, 6, 2),
        number(v, 9, 2),
        number(v, 12, 2),
        number(v, 15, 2),
        number(v, 18, 2),
    );
    qualified(&sql).replace(v, &by_code_point(text))
}

/// Writes each operator in braces, such as `{+}`, by its full name. All of them then bind equally, from the left.
fn qualified(sql: &str) -> String {
    ["+", "-", "*", "/", "%", "=", "<>", "<", "<=", ">", "~"].iter().fold(sql.to_owned(), |sql, operator| {
        sql.replace(&format!("{{{operator}}}"), &format!("OPERATOR(pg_catalog.{operator})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_literals_whatever_the_session_says() {
        let dialect = Postgres { columns: &[] };
        assert_eq!(dialect.text("it's"), "'it''s'::pg_catalog.text");
        assert_eq!(dialect.text("a\\'b"), "E'a\\\\''b'::pg_catalog.text");
    }

    #[test]
    fn numbers_that_would_fail_are_not_written() {
        let dialect = Postgres { columns: &[] };
        assert_eq!(dialect.number("-1.50e3").as_deref(), Some("'-1.50e3'::pg_catalog.numeric"));
        assert_eq!(dialect.number("1e1001"), None);
        assert_eq!(dialect.number("1e-99999999999999999999"), None);
    }
}
