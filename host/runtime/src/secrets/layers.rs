//! A text as its reader will have it: escapes undone, also one within another, with the place of each byte in the text as it came.
//!
//! A destination may write each letter of what it repeats in several ways (`%41`, `\u0041`, `&#65;`), so no list of forms is whole.

/// More escapes within one another than that no honest destination writes.
const MAX_LAYERS: usize = 4;

/// A text, and where each of its bytes stands in the text as it came.
struct Layer {
    text: Vec<u8>,
    /// One more than bytes: the last is the end.
    places: Vec<usize>,
}

/// Calls `see` with the text of each layer under `text`, from the outermost on, and with the places of its bytes.
pub(super) fn each(text: &[u8], mut see: impl FnMut(&[u8], &[usize])) {
    let mut layer = undone(text, |at| at);
    for _ in 0..MAX_LAYERS {
        let Some(Layer { text, places }) = layer else { return };
        see(&text, &places);
        layer = undone(&text, |at| places[at]);
    }
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
fn undone(text: &[u8], place: impl Fn(usize) -> usize) -> Option<Layer> {
    let first = memchr::memchr3(b'%', b'\\', b'&', text)
        .into_iter()
        .chain(memchr::memchr2(b'\r', b'\n', text))
        .min()?;
    let mut layer = Layer { text: text[..first].to_vec(), places: (0..first).map(&place).collect() };
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
    use super::*;

    fn layers(text: &str) -> Vec<String> {
        let mut layers = Vec::new();
        each(text.as_bytes(), |text, _| layers.push(String::from_utf8_lossy(text).into_owned()));
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
        each(b"x%2541\\u0042y", |text, places| seen.push((text.to_vec(), places.to_vec())));
        assert_eq!(seen[0], (b"x%41By".to_vec(), vec![0, 1, 4, 5, 6, 12, 13]));
        assert_eq!(seen[1], (b"xABy".to_vec(), vec![0, 1, 6, 12, 13]));
        // Both bytes of a letter stand where its escape begins.
        each(b"\\u00fcz", |text, places| {
            assert_eq!((text, places), ("\u{fc}z".as_bytes(), &[0, 0, 6, 7][..]));
        });
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
