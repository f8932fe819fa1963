//! Status codes as a user writes them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;

/// One code or a range of codes, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Codes {
    first: u16,
    last: u16,
}

impl Codes {
    pub(crate) fn contain(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }

    /// Reads `204` and `200-299`.
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let codes = Self { first: code(first)?, last: code(last)? };
        (codes.first <= codes.last).then_some(codes)
    }
}

fn code(text: &str) -> Option<u16> {
    let code = text.trim().parse().ok()?;
    (100..=599).contains(&code).then_some(code)
}

impl<'de> Deserialize<'de> for Codes {
    /// By way of the text as written: numbers that keep their digits do not fit an untagged enum.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = <&RawValue>::deserialize(deserializer)?.get();
        // Neither form holds anything that JSON would escape.
        Self::parse(written.trim_matches('"'))
            .ok_or_else(|| D::Error::custom(format!("{written} is no status code; write 204 or \"200-299\"")))
    }
}

impl JsonSchema for Codes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Codes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "minimum": 100,
            "maximum": 599,
            "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_ranges_are_read() {
        let read = |json: &str| serde_json::from_str::<Codes>(json).ok();
        assert_eq!(read("204"), Some(Codes { first: 204, last: 204 }));
        assert_eq!(read(r#""204""#), Some(Codes { first: 204, last: 204 }));
        assert_eq!(read(r#""200-299""#), Some(Codes { first: 200, last: 299 }));
        for wrong in ["99", "600", "200.5", "true", r#""299-200""#, r#""2xx""#, r#""200-""#, r#""""#] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
