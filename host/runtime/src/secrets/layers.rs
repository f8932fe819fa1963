//! A text as its reader will have it: escapes undone and base64 decoded, also one within another, with the place of each byte in the
//! text as it came.
//!
//! A destination may write each letter of what it repeats in several ways (`%41`, `\u0041`, `&#65;`), and all of it in base64, so no
//! list of forms is whole.

use std::ops::Range;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// More layers within one another than that no honest destination writes.
const MAX_LAYERS: usize = 4;

/// A text, and where each of its bytes stands in the text as it came.
pub(super) struct Layer {
    pub(super) text: Vec<u8>,
    /// One more than bytes: the last is the end.
    pub(super) places: Vec<usize>,
    /// Whether it ends where the text as it came does.
    pub(super) is_at_end: bool,
}

/// Calls `see` with each layer under `text`, the outer before what is within it.
pub(super) fn each(text: &[u8], mut see: impl FnMut(&Layer)) {
    under(text, &|at| at, true, MAX_LAYERS, &mut see);
}

fn under(
    text: &[u8],
    place: &dyn Fn(usize) -> usize,
    is_at_end: bool,
    left: usize,
    see: &mut dyn FnMut(&Layer),
) {
    let Some(left) = left.checked_sub(1) else { return };
    let mut found = |layer: Layer| {
        see(&layer);
        under(&layer.text, &|at| layer.places[at], layer.is_at_end, left, see);
    };
    if let Some(layer) = undone(text, place, is_at_end) {
        found(layer);
    }
    for run in runs(text) {
        // What stands before it may be letters of base64 too: `/path/QUJD`.
        for start in run.start..run.start + 4 {
            if let Some(layer) = decoded(text, start..run.end, place, is_at_end) {
                found(layer);
            }
        }
    }
}

/// Letters of base64 in a row: four bytes, each with an escape of its own, take as many. What is not escaped is found without decoding.
const SHORTEST_RUN: usize = 16;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The standard's alphabet, and the one for URLs (RFC 4648, 4 and 5).
const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Where long runs of letters of base64 stand.
fn runs(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + text.get(at..)?.iter().position(|byte| is_base64(*byte))?;
            let length = text[start..].iter().take_while(|byte| is_base64(**byte)).count();
            at = start + length;
            if length >= SHORTEST_RUN {
                return Some(start..at);
            }
        }
    })
}

/// What such a run means, if that is a text.
fn decoded(text: &[u8], run: Range<usize>, place: &dyn Fn(usize) -> usize, is_at_end: bool) -> Option<Layer> {
    let (start, is_at_end) = (run.start, is_at_end && run.end == text.len());
    let mut letters: Vec<u8> = text[run].to_vec();
    for letter in &mut letters {
        match letter {
            b'-' => *letter = b'+',
            b'_' => *letter = b'/',
            _ => {}
        }
    }
    if letters.len() % 4 == 1 {
        letters.pop();
    }
    let text = BASE64.decode(&letters).ok()?;
    let readable = text.iter().filter(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()).count();
    if readable * 4 < text.len() * 3 {
        return None;
    }
    // A byte stands where its first bit does; the end behind the letter of its last bit.
    let letter_of = |byte: usize| byte * 8 / 6;
    let mut places: Vec<usize> = (0..text.len()).map(|byte| place(start + letter_of(byte))).collect();
    places.push(place(start + letters.len()));
    Some(Layer { text, places, is_at_end })
}

/// How long a text is without an escape that may not have ended yet.
pub(super) fn without_open_escape(text: &[u8]) -> usize {
    let tail = text.len().saturating_sub(LONGEST_ESCAPE);
    let open = text[tail..].iter().rposition(|byte| matches!(byte, b'%' | b'\\' | b'&'));
    // A backslash before it may be the escape of an escape.
    let mut end = open.map_or(text.len(), |at| tail + at);
    while text[..end].ends_with(b"\\") {
        end -= 1;
    }
    end
}

/// Bytes of an escape, as far as they are undone: `&#x0010FFFF;`.
const LONGEST_ESCAPE: usize = 12;

/// The text with its escapes undone, or nothing if it has none.
fn undone(text: &[u8], place: impl Fn(usize) -> usize, is_at_end: bool) -> Option<Layer> {
    let first = memchr::memchr3(b'%', b'\\', b'&', text)
        .into_iter()
        .chain(memchr::memchr2(b'\r', b'\n', text))
        .min()?;
    let mut layer =
        Layer { text: text[..first].to_vec(), places: (0..first).map(&place).collect(), is_at_end };
    let (mut at, mut any) = (first, false);
    while at < text.len() {
        let rest = &text[at..];
        let (meant, length) = match rest[0] {
            b'%' => percent(rest),
            b'\\' => backslash(rest),
            b'&' => reference(rest),
            // Long values are broken into lines.
            b'\r' | b'\n' => Some((Meant::Nothing, 1)),
            _ => None,
        }
        .map_or((Meant::Byte(rest[0]), 1), |escape| {
            any = true;
            escape
        });
        let before = layer.text.len();
        meant.write(&mut layer.text);
        layer.places.resize(layer.places.len() + layer.text.len() - before, place(at));
        at += length;
    }
    layer.places.push(place(text.len()));
    any.then_some(layer)
}

/// What an escape stands for.
enum Meant {
    Nothing,
    Byte(u8),
    Letter(char),
}

impl Meant {
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Nothing => {}
            Self::Byte(byte) => out.push(byte),
            Self::Letter(letter) => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

type Escape = Option<(Meant, usize)>;

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

/// A number of so many hexadecimal digits; `from_str_radix` would take a sign.
fn hex(text: &[u8], digits: usize) -> Option<u32> {
    let digits = text.get(..digits).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    number(digits, 16)
}

/// `%41` (RFC 3986, 2.1).
fn percent(text: &[u8]) -> Escape {
    let byte = hex(&text[1..], 2)?;
    Some((Meant::Byte(u8::try_from(byte).ok()?), 3))
}

/// JSON's escapes (RFC 8259, 7), and those that other languages have beside them.
fn backslash(text: &[u8]) -> Escape {
    let letter = *text.get(1)?;
    let simple = |byte| Some((Meant::Byte(byte), 2));
    match letter {
        b'u' if text.get(2) == Some(&b'{') => {
            let end = memchr::memchr(b'}', text.get(..LONGEST_ESCAPE).unwrap_or(text))?;
            Some((Meant::Letter(char::from_u32(hex(&text[3..], end - 3)?)?), end + 1))
        }
        b'u' => utf16(text),
        b'x' => Some((Meant::Byte(u8::try_from(hex(&text[2..], 2)?).ok()?), 4)),
        b'n' => simple(b'\n'),
        b'r' => simple(b'\r'),
        b't' => simple(b'\t'),
        b'b' => simple(8),
        b'f' => simple(12),
        letter if letter.is_ascii_punctuation() => simple(letter),
        _ => None,
    }
}

/// `\u0041`, or two of them that make one letter (RFC 8259, 7).
fn utf16(text: &[u8]) -> Escape {
    let unit = |at: usize| {
        text.get(at..).filter(|rest| rest.starts_with(b"\\u")).and_then(|rest| hex(&rest[2..], 4))
    };
    let high = unit(0)?;
    if let Some(letter) = char::from_u32(high) {
        return Some((Meant::Letter(letter), 6));
    }
    let units = [u16::try_from(high).ok()?, u16::try_from(unit(6)?).ok()?];
    let letter = char::decode_utf16(units).next()?.ok()?;
    Some((Meant::Letter(letter), 12))
}

/// HTML's names of the letters that are no letters or digits (HTML standard, 13.5).
const NAMES: [(&[u8], u8); 35] = [
    (b"amp", b'&'),
    (b"lt", b'<'),
    (b"gt", b'>'),
    (b"quot", b'"'),
    (b"apos", b'\''),
    (b"sol", b'/'),
    (b"bsol", b'\\'),
    (b"plus", b'+'),
    (b"equals", b'='),
    (b"lowbar", b'_'),
    (b"period", b'.'),
    (b"comma", b','),
    (b"colon", b':'),
    (b"semi", b';'),
    (b"excl", b'!'),
    (b"quest", b'?'),
    (b"num", b'#'),
    (b"dollar", b'$'),
    (b"percnt", b'%'),
    (b"ast", b'*'),
    (b"commat", b'@'),
    (b"lpar", b'('),
    (b"rpar", b')'),
    (b"lsqb", b'['),
    (b"lbrack", b'['),
    (b"rsqb", b']'),
    (b"rbrack", b']'),
    (b"lcub", b'{'),
    (b"lbrace", b'{'),
    (b"rcub", b'}'),
    (b"rbrace", b'}'),
    (b"verbar", b'|'),
    (b"Hat", b'^'),
    (b"grave", b'`'),
    (b"Tab", b'\t'),
];

/// `&#65;`, `&#x41;` and names.
fn reference(text: &[u8]) -> Escape {
    let written = text.get(..LONGEST_ESCAPE).unwrap_or(text);
    let end = memchr::memchr(b';', written);
    if written.get(1) != Some(&b'#') {
        let name = &written[1..end?];
        let &(_, meant) = NAMES.iter().find(|(known, _)| *known == name)?;
        return Some((Meant::Byte(meant), name.len() + 2));
    }
    let (start, radix) = if matches!(written.get(2), Some(b'x' | b'X')) { (3, 16) } else { (2, 10) };
    let is_digit = |byte: &u8| char::from(*byte).is_digit(radix);
    // The semicolon may be missing.
    let length = written[start..].iter().take_while(|byte| is_digit(byte)).count();
    let letter = char::from_u32(number(&written[start..start + length], radix)?)?;
    let closed = written.get(start + length) == Some(&b';');
    Some((Meant::Letter(letter), start + length + usize::from(closed)))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn layers(text: &str) -> Vec<String> {
        let mut layers = Vec::new();
        each(text.as_bytes(), |layer| layers.push(String::from_utf8_lossy(&layer.text).into_owned()));
        layers
    }

    #[test]
    fn escapes_are_undone_also_one_within_another() {
        for (text, expected) in [
            ("a%41%c3%BC", vec!["aA\u{fc}"]),
            (r"\u0041\/\x42\u{43}\ud83d\ude00", vec!["A/BC\u{1f600}"]),
            ("&#65;&#x42;&amp;&sol;&#67", vec!["AB&/C"]),
            ("a\r\nb", vec!["ab"]),
            ("%2541", vec!["%41", "A"]),
            ("&amp;#65;", vec!["&#65;", "A"]),
            (r"\u0025\u0034\u0031", vec!["%41", "A"]),
            ("plain text", vec![]),
            // What is no escape stays.
            (r"100% &x; \q %zz \u12 &#; &#xFFFFFFFF; \ud800 \", vec![]),
        ] {
            assert_eq!(layers(text), expected, "{text}");
        }
        assert_eq!(layers(&"%25".repeat(3)), ["%%%"]);
        assert_eq!(layers(&format!("%{}41", "25".repeat(50))).len(), MAX_LAYERS);
    }

    #[test]
    fn each_byte_has_its_place_in_the_text_as_it_came() {
        let mut seen = Vec::new();
        each(b"x%2541\\u0042y", |layer| seen.push((layer.text.clone(), layer.places.clone())));
        assert_eq!(seen[0], (b"x%41By".to_vec(), vec![0, 1, 4, 5, 6, 12, 13]));
        assert_eq!(seen[1], (b"xABy".to_vec(), vec![0, 1, 6, 12, 13]));
        // Both bytes of a letter stand where its escape begins.
        each(b"\\u00fcz", |layer| {
            assert_eq!((&*layer.text, &*layer.places), ("\u{fc}z".as_bytes(), &[0, 0, 6, 7][..]));
        });
    }

    #[test]
    fn base64_is_decoded_wherever_it_begins_and_whatever_is_within() {
        // `%73%65%63%72%65%74`, as a value of its own, behind a path, and once more in base64.
        let once = "JTczJTY1JTYzJTcyJTY1JTc0";
        for text in
            [format!("a {once}= b"), format!("/a/{once}"), format!("token: {}", STANDARD.encode(once))]
        {
            let layers = layers(&text);
            assert!(layers.iter().any(|layer| layer.ends_with("secret")), "{text}: {layers:?}");
        }
        let mut places = Vec::new();
        each(format!("a {once}").as_bytes(), |layer| {
            if layer.text == b"secret" {
                places.clone_from(&layer.places);
            }
        });
        assert_eq!(places, [2, 6, 10, 14, 18, 22, 26]);
        let picture = STANDARD.encode((0..=255_u8).map(|byte| byte.wrapping_mul(167)).collect::<Vec<_>>());
        assert_eq!(layers(&picture), Vec::<String>::new(), "it is no text");
    }

    #[test]
    fn an_escape_at_a_cut_is_seen() {
        for (text, kept) in [
            ("ab%", 2),
            ("ab%4", 2),
            (r"ab\u00", 2),
            ("ab&#x4", 2),
            (r"ab\\u00", 2),
            ("%41 and what follows it", 23),
        ] {
            assert_eq!(without_open_escape(text.as_bytes()), kept, "{text}");
        }
    }
}
