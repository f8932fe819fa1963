//! How long a value lives: a number of seconds, or a template that makes one.

use std::borrow::Cow;

use aftercommit_plugin::Failure;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;

/// As written or rendered.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Ttl(String);

/// Ten years; what is longer needs no end.
const MAX_SECS: u32 = 315_360_000;

impl Ttl {
    /// The seconds, once rendered.
    pub(crate) fn secs(&self) -> Result<u32, Failure> {
        self.parse().ok_or_else(|| Failure::permanent("ttl_secs", self.message()))
    }

    /// What is wrong with it as written; a template may make anything.
    pub(crate) fn problem(&self) -> Option<String> {
        (!self.0.contains("{{") && self.parse().is_none()).then(|| self.message())
    }

    fn parse(&self) -> Option<u32> {
        self.0.trim().parse().ok().filter(|secs| (1..=MAX_SECS).contains(secs))
    }

    fn message(&self) -> String {
        let shown: String = self.0.escape_debug().take(40).collect();
        format!("`{shown}` is not a whole number of seconds from 1 to {MAX_SECS}")
    }
}

impl<'de> Deserialize<'de> for Ttl {
    /// By way of the text as written: numbers that keep their digits do not fit an untagged enum.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = <&RawValue>::deserialize(deserializer)?.get();
        if written.starts_with('"') {
            return serde_json::from_str(written).map(Self).map_err(D::Error::custom);
        }
        Ok(Self(written.to_owned()))
    }
}

impl JsonSchema for Ttl {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Ttl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "minimum": 1,
            "maximum": MAX_SECS,
            "x-template": "text",
            "examples": [3600, "{{cache_secs}}"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_read() {
        let read = |json: &str| serde_json::from_str::<Ttl>(json).expect("a ttl");
        assert_eq!(read("60").secs().ok(), Some(60));
        assert_eq!(read(r#"" 60 ""#).secs().ok(), Some(60));
        assert_eq!(read(r#""{{ttl}}""#).problem(), None);
        for wrong in ["0", "-1", "1.5", "315360001", r#""soon""#, r#""""#, "null", "true"] {
            let ttl = read(wrong);
            assert!(ttl.secs().is_err() && ttl.problem().is_some(), "{wrong}");
        }
    }
}
