//! `{{date occurred_at "%d.%m.%Y %H:%M" "Europe/Paris"}}`: a time as people of a place write it.

use handlebars::template::Parameter;
use jiff::{
    Timestamp, Zoned,
    civil::DateTime,
    fmt::{strtime, temporal::DateTimeParser},
    tz::TimeZone,
};
use serde_json::{Number, Value};

use super::arguments::{Arguments, shown, text};
use crate::templates::RenderProblem;

/// ISO 8601's date.
const DEFAULT_FORMAT: &str = "%Y-%m-%d";
const MAX_FORMAT_CHARS: usize = 200;

pub(super) fn date(given: &Arguments<'_, '_>) -> Result<Value, RenderProblem> {
    let value = given.given(0)?;
    if value.is_null() {
        return Ok(Value::Null);
    }
    let wrong = |why: String| given.wrong(&why);
    let format = given.optional(1)?.map_or_else(|| DEFAULT_FORMAT.into(), text);
    let zone =
        given.optional(2)?.map_or_else(|| Ok(TimeZone::UTC), |name| zone(&text(name))).map_err(wrong)?;
    let time = time(value)
        .ok_or_else(|| given.wrong("takes a date, a date-time (RFC 3339) or the seconds since 1970"))?;
    formatted(&time.to_zoned(zone), &format).map(Value::from).map_err(wrong)
}

/// What is wrong with a format or a zone that the template itself says.
pub(super) fn check(values: &[Parameter]) -> Result<(), String> {
    let literal = |position: usize| match values.get(position) {
        Some(Parameter::Literal(Value::String(text))) => Some(text),
        _ => None,
    };
    if let Some(name) = literal(2) {
        zone(name)?;
    }
    if let Some(format) = literal(1) {
        formatted(&Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC), format)?;
    }
    Ok(())
}

/// A time of day without an offset is UTC's.
fn time(value: &Value) -> Option<Timestamp> {
    if let Value::Number(number) = value {
        return number
            .as_i64()
            .map_or_else(|| fraction(number), |seconds| Timestamp::from_second(seconds).ok());
    }
    let text = value.as_str()?;
    let local = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    text.parse::<Timestamp>().ok().or_else(|| local().map(|zoned| zoned.timestamp()))
}

/// Seconds with a fraction, to the microsecond. A double has so many digits until the year 2255.
fn fraction(seconds: &Number) -> Option<Timestamp> {
    let micros = (seconds.as_f64()? * 1e6).round();
    // Further away is no time that can be written.
    let is_near = micros.abs() < 1e18;
    #[expect(clippy::cast_possible_truncation, reason = "a whole number in the range of the type")]
    is_near.then(|| Timestamp::from_microsecond(micros as i64).ok()).flatten()
}

/// A zone of the IANA database, which is part of the program, or an offset such as `+02:00`.
fn zone(name: &str) -> Result<TimeZone, String> {
    DateTimeParser::new().parse_time_zone(name).map_err(|_| {
        let shown = shown(name);
        format!("knows no time zone `{shown}`: write one such as `Europe/Paris` or `+02:00`")
    })
}

fn formatted(time: &Zoned, format: &str) -> Result<String, String> {
    if format.chars().count() > MAX_FORMAT_CHARS {
        return Err(format!("takes a format of at most {MAX_FORMAT_CHARS} characters"));
    }
    strtime::format(format, time).map_err(|error| format!("has a wrong format: {error}"))
}
