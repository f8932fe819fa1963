//! Images as triggers write them: `$`, for each column its name as JSON and a mark, `=`, and the values as SQL literals with
//! commas between them; nothing stands for null, and nulls may follow. What the stored value is decides, not the declared type, since
//! SQLite lets any column hold anything.
//!
//! Triggers of earlier programs wrote `#`, then for each column its name, its mark and its value.

use std::borrow::Cow;

use serde_json::{Number, value::RawValue};

use super::event_row::Bytes;

/// An image begins with it.
pub(super) const START: char = '$';
/// It is between the names and the values.
pub(super) const VALUES: char = '=';
/// The value is shown as it is.
pub(super) const PLAIN: char = ' ';
/// 0 is false and 1 is true.
pub(super) const BOOLEAN: char = 'b';
/// A text that is valid JSON is that JSON.
pub(super) const JSON: char = 'j';

type Read<T> = std::result::Result<T, String>;

/// Makes JSON of an image. One that is not a trigger's is left as it is; so is one that can not be read, with the reason.
pub(super) fn to_json(image: &mut Bytes<'_>) -> Read<()> {
    let json = match image.as_deref() {
        Some([b'$', rest @ ..]) => Reader { rest, value_end: b',' }.object()?,
        Some([b'#', rest @ ..]) => Reader { rest, value_end: b'"' }.object_by_pairs()?,
        _ => return Ok(()),
    };
    *image = Some(Cow::Owned(json));
    Ok(())
}

struct Reader<'i> {
    rest: &'i [u8],
    /// What follows a value that has no end of its own.
    value_end: u8,
}

impl<'i> Reader<'i> {
    fn object(mut self) -> Read<Vec<u8>> {
        let mut columns = Vec::new();
        while self.rest.first() != Some(&(VALUES as u8)) {
            columns.push((self.name()?, self.mark()?));
        }
        self.advance(1);
        let mut json = vec![b'{'];
        for (n, (name, mark)) in columns.into_iter().enumerate() {
            if n > 0 && self.advance(1) != b"," {
                return Err(odd());
            }
            self.field(name, mark, &mut json)?;
        }
        if self.rest.iter().any(|byte| *byte != b',') {
            return Err(odd());
        }
        json.push(b'}');
        Ok(json)
    }

    fn object_by_pairs(mut self) -> Read<Vec<u8>> {
        let mut json = vec![b'{'];
        while !self.rest.is_empty() {
            let (name, mark) = (self.name()?, self.mark()?);
            self.field(name, mark, &mut json)?;
        }
        json.push(b'}');
        Ok(json)
    }

    /// Reads the next value, and writes it with its name.
    fn field(&mut self, name: &[u8], mark: char, json: &mut Vec<u8>) -> Read<()> {
        let value = self
            .value(mark)
            .map_err(|why| format!("the column {} can not be read: {why}", String::from_utf8_lossy(name)))?;
        if json.len() > 1 {
            json.push(b',');
        }
        json.extend_from_slice(name);
        json.push(b':');
        json.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn mark(&mut self) -> Read<char> {
        match self.advance(1) {
            [mark] => Ok(char::from(*mark)),
            _ => Err(odd()),
        }
    }

    /// A JSON string, quotes included.
    fn name(&mut self) -> Read<&'i [u8]> {
        let mut escaped = false;
        if self.rest.first() != Some(&b'"') {
            return Err(odd());
        }
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
                let digits = self.until_end();
                text_as_json(&unhex(digits).ok_or_else(odd)?, mark)
            }
            [b'T', ..] => {
                self.advance(5);
                Ok(format!("\"{}\"", utf8(self.until_end())?))
            }
            _ => number(utf8(self.until_end())?, mark),
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

    fn until_end(&mut self) -> &'i [u8] {
        let end = self.rest.iter().position(|byte| *byte == self.value_end).unwrap_or(self.rest.len());
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
        ("" | "NULL", _) => Ok("null".to_owned()),
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
            ("$=", "{}"),
            ("$=,,", "{}"),
            (r#"$"a\"b" "c" "=" =1,,'it''s, "x"',"#, r#"{"a\"b":1,"c":null,"=":"it's, \"x\""}"#),
            (
                r#"$"a"j"b"j"c"b"d" ='{"n":1.50}','no json',1,X'00FF',,"#,
                r#"{"a":{"n":1.50},"b":"no json","c":true,"d":"00FF"}"#,
            ),
            (r#"$"a" "b" "c" =Ttext6100,Tblob00,-9.0e+999"#, r#"{"a":"a\u0000","b":"00","c":null}"#),
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
        for image in [
            "$",
            "$\"a\" ",
            "$a =1",
            "$\"a\" \"b\" =1",
            "$\"a\" =1,2",
            "$\"a\" ='x",
            "$\"a\" ='x'y",
            "$\"a\" =Ttext6",
            "$\"a\" =word",
            "#\"a",
            "#\"a\"",
            "#\"a\" 'x",
            "#\"a\" Ttext6",
            "#\"a\" word",
        ] {
            assert!(read(image).is_err(), "{image}");
        }
    }
}
