//! Exact decimal numbers, compared by value and never through a float.
//!
//! A number stays the text it arrived as. Most numbers have at most 19 digits and are compared as whole numbers scaled
//! by a power of ten; all others digit by digit on their texts. Nothing here allocates, whatever the exponent says.

use std::cmp::Ordering;

use serde_json::Value;

/// Whether two JSON values are the same, numbers compared by value at every depth: `100` is `100.00` is `1e2`.
#[must_use]
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            compare(left.as_str(), right.as_str()) == Ordering::Equal
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| same(left, right)))
        }
        _ => left == right,
    }
}

/// Orders two JSON numbers (RFC 8259, section 6) by value. A text that is no number orders as a text.
#[must_use]
pub fn compare(left: &str, right: &str) -> Ordering {
    Decimal::new(left).compare(&Decimal::new(right))
}

/// A number's text, read once to be compared often. `S` is `&str`, or `Box<str>` for one that is kept.
#[derive(Clone, Copy, Debug)]
pub struct Decimal<S> {
    text: S,
    short: Option<Short>,
}

impl<S: AsRef<str>> Decimal<S> {
    /// Reads the text of a JSON number. Leading zeros are accepted too.
    #[must_use]
    pub fn new(text: S) -> Self {
        let short = Short::read(text.as_ref());
        Self { text, short }
    }

    /// The text as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.as_ref()
    }

    /// The same number, borrowed.
    #[must_use]
    pub fn borrow(&self) -> Decimal<&str> {
        Decimal { text: self.text.as_ref(), short: self.short }
    }

    /// Orders two numbers by value.
    #[must_use]
    pub fn compare<T: AsRef<str>>(&self, other: &Decimal<T>) -> Ordering {
        match (&self.short, &other.short) {
            (Some(left), Some(right)) => left.compare(right),
            _ => compare_digits(self.text(), other.text()),
        }
    }
}

/// A number whose significant digits fit a `u64` and whose exponent is small: `mantissa * 10^exponent`.
#[derive(Clone, Copy, Debug)]
struct Short {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

/// As many decimal digits as always fit a `u64`.
const SHORT_DIGITS: u32 = 19;

impl Short {
    /// `None` when the text is longer than this form can hold, or no number.
    fn read(text: &str) -> Option<Self> {
        let (negative, magnitude) = sign_and_magnitude(text);
        let mut mantissa = 0_u64;
        let mut digits = 0;
        let mut exponent = 0_i32;
        let mut bytes = magnitude.iter().enumerate();
        let mut after_point = false;
        for (index, &byte) in bytes.by_ref() {
            match byte {
                b'0'..=b'9' => {
                    digits += u32::from(mantissa > 0 || byte > b'0');
                    if digits > SHORT_DIGITS {
                        return None;
                    }
                    mantissa = mantissa * 10 + u64::from(byte - b'0');
                    exponent -= i32::from(after_point);
                }
                b'.' if !after_point => after_point = true,
                b'e' | b'E' => {
                    // Four digits: far more than any database's number, far less than an `i32`.
                    let written = magnitude.get(index + 1..).filter(|written| written.len() <= 5)?;
                    let written: i32 = str::from_utf8(written).ok()?.parse().ok()?;
                    return Some(Self { negative, mantissa, exponent: exponent.checked_add(written)? });
                }
                _ => return None,
            }
        }
        (!magnitude.is_empty()).then_some(Self { negative, mantissa, exponent })
    }

    fn compare(&self, other: &Self) -> Ordering {
        let negative = self.negative && self.mantissa != 0;
        match (negative, other.negative && other.mantissa != 0) {
            (false, false) => self.compare_magnitude(other),
            (true, true) => other.compare_magnitude(self),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        if self.exponent == other.exponent || self.mantissa == 0 || other.mantissa == 0 {
            return self.mantissa.cmp(&other.mantissa);
        }
        let steps = self.exponent.abs_diff(other.exponent);
        if self.exponent > other.exponent {
            scale(self.mantissa, steps).map_or(Ordering::Greater, |scaled| scaled.cmp(&other.mantissa.into()))
        } else {
            scale(other.mantissa, steps)
                .map_or(Ordering::Less, |scaled| u128::from(self.mantissa).cmp(&scaled))
        }
    }
}

/// `mantissa * 10^steps`; `None` when that has more digits than any mantissa (which is not 0).
fn scale(mantissa: u64, steps: u32) -> Option<u128> {
    (steps <= SHORT_DIGITS).then(|| u128::from(mantissa) * 10_u128.pow(steps))
}

fn sign_and_magnitude(text: &str) -> (bool, &[u8]) {
    match text.as_bytes() {
        [b'-', magnitude @ ..] => (true, magnitude),
        magnitude => (false, magnitude),
    }
}

/// A number of any length, as the parts of its text.
struct Long<'a> {
    negative: bool,
    /// The digits from the first that is not 0, and those after the point; both empty for zero.
    digits: (&'a [u8], &'a [u8]),
    /// Where the first digit stands: the number is `0.digits * 10^(place + exponent)`.
    place: i128,
    exponent: Exponent<'a>,
}

/// A written exponent, of any length.
#[derive(Clone, Copy)]
struct Exponent<'a> {
    negative: bool,
    digits: &'a [u8],
}

impl<'a> Long<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (negative, magnitude) = sign_and_magnitude(text);
        let split = magnitude.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (mantissa, exponent) = match split {
            Some(at) => (&magnitude[..at], Exponent::read(&magnitude[at + 1..])?),
            None => (magnitude, Exponent { negative: false, digits: &[] }),
        };
        let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &[][..]),
        };
        if mantissa.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
            return None;
        }
        let whole = without_leading_zeros(whole);
        let significant = if whole.is_empty() { without_leading_zeros(fraction) } else { fraction };
        let place = length(whole) - (length(fraction) - length(significant));
        Some(Self { negative, digits: (whole, significant), place, exponent })
    }

    fn is_zero(&self) -> bool {
        self.digits.0.is_empty() && self.digits.1.is_empty()
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.digits.0.iter().chain(self.digits.1).copied()
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        let order = match (self.is_zero(), other.is_zero()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            // place + exponent on either side, so arranged that the huge parts meet first.
            (false, false) => self.exponent.minus(other.exponent).cmp(&(other.place - self.place)),
        };
        order.then_with(|| {
            let (mut left, mut right) = (self.digits(), other.digits());
            loop {
                match (left.next(), right.next()) {
                    (None, None) => return Ordering::Equal,
                    (left, right) => match left.unwrap_or(b'0').cmp(&right.unwrap_or(b'0')) {
                        Ordering::Equal => {}
                        order => return order,
                    },
                }
            }
        })
    }
}

impl<'a> Exponent<'a> {
    fn read(text: &'a [u8]) -> Option<Self> {
        let (negative, digits) = match text {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] | digits => (false, digits),
        };
        let valid = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        valid.then(|| Self { negative, digits: without_leading_zeros(digits) })
    }

    /// The difference, exact up to 30 digits. Beyond, only its sign is right, which is enough: the places it is
    /// compared with are bounded by the length of a text.
    fn minus(self, other: Self) -> i128 {
        const ENOUGH: i128 = 10_i128.pow(30);
        let length = self.digits.len().max(other.digits.len());
        let mut difference = 0_i128;
        for index in 0..length {
            difference = difference * 10 + self.digit(index, length) - other.digit(index, length);
            // From here on later digits cannot change the sign: they add less than 2 * 10 per place.
            if difference.abs() > ENOUGH {
                break;
            }
        }
        difference
    }

    /// The digit at `index` of the exponent written with `length` digits, with the exponent's sign.
    fn digit(self, index: usize, length: usize) -> i128 {
        let leading = length - self.digits.len();
        let digit = index.checked_sub(leading).map_or(0, |index| i128::from(self.digits[index] - b'0'));
        if self.negative { -digit } else { digit }
    }
}

fn without_leading_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

/// A slice's length is at most `isize::MAX`, so it always fits.
fn length(digits: &[u8]) -> i128 {
    i128::try_from(digits.len()).unwrap_or(i128::MAX)
}

fn compare_digits(left: &str, right: &str) -> Ordering {
    let (Some(first), Some(second)) = (Long::read(left), Long::read(right)) else { return left.cmp(right) };
    match (first.negative && !first.is_zero(), second.negative && !second.is_zero()) {
        (false, false) => first.compare_magnitude(&second),
        (true, true) => second.compare_magnitude(&first),
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_by_value_however_written() {
        for (left, right) in [
            ("100", "100.00"),
            ("100", "1e2"),
            ("100", "1E+2"),
            ("0.001", "1e-3"),
            ("-0", "0"),
            ("-0.0e5", "0e999999999"),
            ("0e99999999999999999999999999", "0"),
            ("1e999999999", "10e999999998"),
            ("0.1e1000000000000000000000000000000000000001", "1e1000000000000000000000000000000000000000"),
            ("100000000000000000000000000000000000000000.0", "1e41"),
            ("00012", "12"),
        ] {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} and {right}");
            assert_eq!(compare(right, left), Ordering::Equal, "{right} and {left}");
        }
    }

    #[test]
    fn every_digit_counts() {
        for (less, more) in [
            ("0.1", "0.10000000000000000000000000000000000000000001"),
            ("9007199254740992", "9007199254740993"),
            ("18446744073709551615", "18446744073709551616"),
            ("9999999999999999999", "10000000000000000000"),
            ("-1e999999999", "1"),
            ("1", "1e999999999"),
            ("1e-999999999", "1"),
            ("0", "1e-99999999999999999999999999999999999999999999999999"),
            ("1e99999999999999999999999999999999999999998", "1e99999999999999999999999999999999999999999"),
            ("-2", "-1.5"),
            ("-1e50", "-1e49"),
            ("0", "0.0000000000000000000000000000000000000001"),
            ("-0.0000000000000000000000000000000000000001", "-0"),
        ] {
            assert_eq!(compare(less, more), Ordering::Less, "{less} and {more}");
            assert_eq!(compare(more, less), Ordering::Greater, "{more} and {less}");
        }
    }

    #[test]
    fn a_text_that_is_no_number_orders_as_a_text() {
        for text in ["", "-", ".", "e", "1e", "1e+", "x", "1.2.3", "--1", "1e5x", "é"] {
            assert_eq!(compare(text, text), Ordering::Equal);
            assert_eq!(compare(text, "5"), text.cmp("5"), "{text}");
        }
    }

    #[test]
    fn sameness_reaches_into_arrays_and_objects() {
        let read = |text| serde_json::from_str::<Value>(text).unwrap();
        assert!(same(&read(r#"{"a":[1,{"b":2.50}]}"#), &read(r#"{"a":[1.0,{"b":25e-1}]}"#)));
        assert!(!same(&json!([1, 2]), &json!([1, 2, 3])));
        assert!(!same(&json!({"a": 1}), &json!({"b": 1})));
        assert!(!same(&json!(1), &json!("1")));
    }

    /// The reference: both numbers written out without exponents, padded to the same shape, compared as texts.
    fn padded(text: &str, whole_width: usize, fraction_width: usize) -> (bool, String) {
        let (negative, magnitude) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = magnitude.split_once(['e', 'E']).unwrap_or((magnitude, "0"));
        let exponent: i32 = exponent.parse().unwrap();
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = format!("{whole}{fraction}");
        let mut point = i32::try_from(whole.len()).unwrap() + exponent;
        while point < 0 {
            digits.insert(0, '0');
            point += 1;
        }
        let point = usize::try_from(point).unwrap();
        while digits.len() < point {
            digits.push('0');
        }
        let (whole, fraction) = digits.split_at(point);
        let digits = format!("{whole:0>whole_width$}{fraction:0<fraction_width$}");
        (negative && digits.bytes().any(|digit| digit != b'0'), digits)
    }

    fn reference(left: &str, right: &str) -> Ordering {
        match (padded(left, 200, 200), padded(right, 200, 200)) {
            ((false, left), (false, right)) => left.cmp(&right),
            ((true, left), (true, right)) => right.cmp(&left),
            ((false, _), (true, _)) => Ordering::Greater,
            ((true, _), (false, _)) => Ordering::Less,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn agrees_with_padded_texts(
            left in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?",
            right in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?",
        ) {
            prop_assert_eq!(compare(&left, &right), reference(&left, &right));
        }

        #[test]
        fn agrees_on_numbers_that_are_close(
            digits in "[0-3]{1,24}", zeros in 0..4_usize, shift in -30..30_i32, other in "[0-3]{1,24}",
        ) {
            let left = format!("{digits}e{shift}");
            let scaled = format!("{digits}{}e{}", "0".repeat(zeros), shift - i32::try_from(zeros).unwrap());
            prop_assert_eq!(compare(&left, &scaled), Ordering::Equal);
            let other = format!("{other}e{shift}");
            prop_assert_eq!(compare(&scaled, &other), reference(&scaled, &other));
        }

        #[test]
        fn short_and_long_forms_agree(
            left in "-?[0-9]{1,12}(\\.[0-9]{1,6})?(e-?[0-9]{1,3})?",
            right in "-?[0-9]{1,12}(\\.[0-9]{1,6})?(e-?[0-9]{1,3})?",
        ) {
            prop_assert_eq!(compare(&left, &right), compare_digits(&left, &right));
        }

        #[test]
        fn exponents_subtract_exactly(left: i64, right: i64) {
            let (first, second) = (left.to_string(), right.to_string());
            let difference = Exponent::read(first.as_bytes()).unwrap().minus(Exponent::read(second.as_bytes()).unwrap());
            prop_assert_eq!(difference, i128::from(left) - i128::from(right));
        }

        #[test]
        fn never_panics(left: String, right: String) {
            prop_assert_eq!(compare(&left, &right), compare(&right, &left).reverse());
        }
    }
}
