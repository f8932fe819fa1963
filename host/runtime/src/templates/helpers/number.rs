//! `{{number total 2 group="," point="."}}`: a number as people write it, rounded exactly.

use serde_json::Value;

use super::{
    arguments::{Arguments, text},
    compare::is_number,
};
use crate::templates::RenderProblem;

/// Digits before the point and after it. A short text such as `1e999999999` would be a long number.
const MAX_DIGITS: usize = 1000;
/// Letters of a separator.
const MAX_SEPARATOR_CHARS: usize = 8;

pub(super) fn number(given: &Arguments<'_, '_>) -> Result<Value, RenderProblem> {
    let value = given.given(0)?;
    if value.is_null() {
        return Ok(Value::Null);
    }
    let written = text(value);
    if value.is_boolean() || !is_number(&written) {
        return Err(given.wrong("takes a number, or a text that is one"));
    }
    let separator = |name: &str, otherwise: &'static str| {
        let separator = given.named(name)?.map_or_else(|| otherwise.into(), text);
        if separator.chars().count() > MAX_SEPARATOR_CHARS {
            return Err(given.wrong("has a separator that is longer than 8 characters"));
        }
        Ok(separator)
    };
    let (group, point) = (separator("group", "")?, separator("point", ".")?);
    let decimals = given.count(1)?;
    let plain = Plain::of(&written)
        .filter(|_| decimals.is_none_or(|decimals| decimals <= MAX_DIGITS))
        .ok_or_else(|| given.wrong("writes at most 1000 digits before the point and after it"))?;
    Ok(plain.rounded(decimals).write(&group, &point).into())
}

/// A number without an exponent.
#[derive(PartialEq, Eq, Debug)]
struct Plain {
    negative: bool,
    /// ASCII digits, at least one.
    whole: Vec<u8>,
    fraction: Vec<u8>,
}

impl Plain {
    /// Nothing when it has too many digits.
    fn of(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.len() > MAX_DIGITS || fraction.len() > MAX_DIGITS {
            return None;
        }
        let digits = [whole.as_bytes(), fraction.as_bytes()].concat();
        let is_zero = digits.iter().all(|digit| *digit == b'0');
        let exponent: i64 = if is_zero { 0 } else { exponent.parse().ok()? };
        let point = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
        let most = i64::try_from(2 * MAX_DIGITS).ok()?;
        if !(-most..=most).contains(&point) {
            return None;
        }
        let before = usize::try_from(point.max(0)).ok()?;
        let leading = usize::try_from((-point).max(0)).ok()?;
        let mut whole: Vec<u8> = digits.iter().copied().take(before).collect();
        whole.resize(before, b'0');
        let zeros = whole.iter().take_while(|digit| **digit == b'0').count();
        whole.drain(..zeros);
        if whole.is_empty() {
            whole.push(b'0');
        }
        let mut fraction = vec![b'0'; leading];
        fraction.extend(digits.iter().skip(before));
        (whole.len() <= MAX_DIGITS && fraction.len() <= 2 * MAX_DIGITS).then_some(Self {
            negative,
            whole,
            fraction,
        })
    }

    /// Half of the last digit is rounded away from zero, as in invoices.
    fn rounded(mut self, decimals: Option<usize>) -> Self {
        let Some(decimals) = decimals else { return self };
        let up = self.fraction.get(decimals).is_some_and(|digit| *digit >= b'5');
        self.fraction.resize(decimals, b'0');
        if up {
            let mut carry = true;
            for digit in self.fraction.iter_mut().rev().chain(self.whole.iter_mut().rev()) {
                if *digit < b'9' {
                    *digit += 1;
                    carry = false;
                    break;
                }
                *digit = b'0';
            }
            if carry {
                self.whole.insert(0, b'1');
            }
        }
        self
    }

    fn write(&self, group: &str, point: &str) -> String {
        let is_zero = self.whole.iter().chain(&self.fraction).all(|digit| *digit == b'0');
        let mut out = String::new();
        if self.negative && !is_zero {
            out.push('-');
        }
        for (position, digit) in self.whole.iter().enumerate() {
            if position > 0 && (self.whole.len() - position).is_multiple_of(3) {
                out.push_str(group);
            }
            out.push(char::from(*digit));
        }
        if !self.fraction.is_empty() {
            out.push_str(point);
            out.extend(self.fraction.iter().map(|digit| char::from(*digit)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, decimals: Option<usize>) -> Option<String> {
        let plain = Plain::of(text)?;
        Some(plain.rounded(decimals).write(",", "."))
    }

    #[test]
    fn numbers_are_rounded_exactly() {
        for (text, decimals, expected) in [
            ("1234567.125", Some(2), "1,234,567.13"),
            ("0.285", Some(2), "0.29"),
            ("1.005", Some(2), "1.01"),
            ("-2.5", Some(0), "-3"),
            ("-0.004", Some(2), "0.00"),
            ("999.995", Some(2), "1,000.00"),
            ("150", Some(2), "150.00"),
            ("1e3", None, "1,000"),
            ("1.5e-3", None, "0.0015"),
            ("123456789012345678901234567890.10", None, "123,456,789,012,345,678,901,234,567,890.10"),
            ("0e999999999999999999999", None, "0"),
            ("100", None, "100"),
            ("12.50E1", Some(1), "125.0"),
        ] {
            assert_eq!(written(text, decimals).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_would_be_long_is_refused() {
        for long in ["1e999999999", "1e-999999999", "1e99999999999999999999", "1e1001", "1e-2001"] {
            assert_eq!(written(long, Some(2)), None, "{long}");
        }
    }
}
