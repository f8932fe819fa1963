//! Images as triggers write them: `#`, then for each column its name as JSON, a mark, and its value as an SQL literal. What the
//! stored value is decides, not the declared type, since SQLite lets any column hold anything.

use std::borrow::Cow;

use serde_json::{Number, value::RawValue};

use super::event_row::Bytes;

/// The value is shown as it is.
pub(super) const PLAIN: char = ' ';
/// 0 is false and 1 is true.
pub(super) const BOOLEAN: char = 'b';
/// A text that is valid JSON is that JSON.
pub(super) const JSON: char = 'j';

type Read<T> = std::result::Result<T, String>;

/// Makes JSON of an image. One that is not a trigger's is left as it is; so is one that can not be read, with the reason.
pub(super) fn to_json(image: &mut Bytes<'_>) -> Read<()> {
    if let Some(written) = image.as_deref().and_then(|bytes| bytes.strip_prefix(b"#")) {
        let json = Reader { rest: written }.object()?;
        *image = Some(Cow::Owned(json));
    }
    Ok(())
}

struct Reader<'i> {
    rest: &'i [u8],
}

impl<'i> Reader<'i> {
    fn object(mut self) -> Read<Vec<u8>> {
        let mut json = vec![b'{'];
        while !self.rest.is_empty() {
            if json.len() > 1 {
                json.push(b',');
            }
            let name = self.name()?;
            json.extend_from_slice(name);
            json.push(b':');
            let [mark, rest @ ..] = self.rest else { return Err(odd()) };
            self.rest = rest;
            let value = self.value(char::from(*mark)).map_err(|why| {
                format!("the column {} can not be read: {why}", String::from_utf8_lossy(name))
            })?;
            json.extend_from_slice(value.as_bytes());
        }
        json.push(b'}');
        Ok(json)
    }

    /// A JSON string, quotes included.
    fn name(&mut self) -> Read<&'i [u8]> {
        let mut escaped = false;
        let end = self.rest.iter().skip(1).position(|byte| {
            let is_end = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            is_end
        });
        Ok(self.advance(end.ok_or_else(odd)? + 2))
    }

    fn value(&mut self, mark: char) -> Read<String> {
        match self.rest {
            [b'\'', ..] => {
                let text = self.quoted()?;
                text_as_json(&text, mark)
            }
            [b'X', ..] => {
                self.advance(1);
                Ok(format!("\"{}\"", utf8(&self.quoted()?)?))
            }
            [b'T', rest @ ..] if rest.starts_with(b"text") => {
                self.advance(5);
                let digits = self.until_name();
                text_as_json(&unhex(digits).ok_or_else(odd)?, mark)
            }
            [b'T', ..] => {
                self.advance(5);
                Ok(format!("\"{}\"", utf8(self.until_name())?))
            }
            _ => number(utf8(self.until_name())?, mark),
        }
    }

    /// What is between quotes, of which two stand for one.
    fn quoted(&mut self) -> Read<Vec<u8>> {
        let mut text = Vec::new();
        self.advance(1);
        loop {
            let end = self.rest.iter().position(|byte| *byte == b'\'').ok_or_else(odd)?;
            text.extend_from_slice(self.advance(end));
            self.advance(1);
            if self.rest.first() != Some(&b'\'') {
                return Ok(text);
            }
            text.push(b'\'');
            self.advance(1);
        }
    }

    fn until_name(&mut self) -> &'i [u8] {
        let end = self.rest.iter().position(|byte| *byte == b'"').unwrap_or(self.rest.len());
        self.advance(end)
    }

    fn advance(&mut self, count: usize) -> &'i [u8] {
        let (passed, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        passed
    }
}

fn odd() -> String {
    "the image is not what a trigger writes".to_owned()
}

fn utf8(bytes: &[u8]) -> Read<&str> {
    std::str::from_utf8(bytes).map_err(|error| error.to_string())
}

fn text_as_json(bytes: &[u8], mark: char) -> Read<String> {
    let text = utf8(bytes)?;
    // Nested deeper than a reader goes, it stays a text.
    if mark == JSON
        && let Ok(document) = serde_json::from_str::<&RawValue>(text)
        && serde_json::from_str::<serde_json::Value>(text).is_ok()
    {
        return Ok(document.get().to_owned());
    }
    Ok(serde_json::Value::from(text).to_string())
}

fn number(literal: &str, mark: char) -> Read<String> {
    match (literal, mark) {
        ("NULL", _) => Ok("null".to_owned()),
        ("0" | "0.0", BOOLEAN) => Ok("false".to_owned()),
        ("1" | "1.0", BOOLEAN) => Ok("true".to_owned()),
        _ if literal.parse::<i64>().is_ok() => Ok(literal.to_owned()),
        // The fewest digits that read back the same; JSON has no infinity.
        _ => match literal.parse::<f64>() {
            Ok(real) => Ok(Number::from_f64(real).map_or_else(|| "null".to_owned(), |real| real.to_string())),
            Err(error) => Err(error.to_string()),
        },
    }
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    digits.chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(image: &str) -> Read<String> {
        let mut bytes = Some(Cow::Borrowed(image.as_bytes()));
        to_json(&mut bytes)?;
        Ok(String::from_utf8(bytes.unwrap().into_owned()).unwrap())
    }

    #[test]
    fn literals_become_json() {
        for (image, json) in [
            ("#", "{}"),
            (r#"#"a\"b" 1"c" NULL"#, r#"{"a\"b":1,"c":null}"#),
            (r#"#"a" 'it''s "x"'"b"j'{"n":1.50}'"#, r#"{"a":"it's \"x\"","b":{"n":1.50}}"#),
            (r#"#"a"j'no json'"b" '1'"#, r#"{"a":"no json","b":"1"}"#),
            (r#"#"a"b1"b"b0"c"b7"#, r#"{"a":true,"b":false,"c":7}"#),
            (r#"#"a" X'00FF'"b" Ttext6100"c" Tblob00"#, r#"{"a":"00FF","b":"a\u0000","c":"00"}"#),
            (
                r#"#"a" 3.3333333333333331483e-01"b" 9.0e+999"c" -Inf"d" 1.0"#,
                r#"{"a":0.3333333333333333,"b":null,"c":null,"d":1.0}"#,
            ),
            (r#"{"a": 1}"#, r#"{"a": 1}"#),
        ] {
            assert_eq!(read(image).as_deref(), Ok(json), "{image}");
        }
    }

    #[test]
    fn an_image_that_was_cut_is_an_error() {
        for image in ["#\"a", "#\"a\"", "#\"a\" 'x", "#\"a\" Ttext6", "#\"a\" word"] {
            assert!(read(image).is_err(), "{image}");
        }
    }
}
