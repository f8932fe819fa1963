//! Messages read back by another parser: what was asked for is there, and nothing else.

use std::time::UNIX_EPOCH;

use aftercommit_tests::Mail;

use super::{
    mailbox::mailbox,
    message::{Enclosure, Letter, Prepared},
};

const DELIVERY: &str = "0197f3a0-0000-7000-8000-000000000000";

fn letter() -> Letter {
    Letter {
        to: vec!["Anna <a@example.com>".to_owned()],
        subject: "Hello".to_owned(),
        text: Some("A text".to_owned()),
        ..Letter::default()
    }
}

fn prepare(letter: &Letter) -> Result<Prepared, String> {
    letter.prepare(Some(&mailbox("Shop <shop@example.org>").unwrap()), DELIVERY, UNIX_EPOCH)
}

fn sent(letter: &Letter) -> (Prepared, Mail) {
    let prepared = prepare(letter).unwrap_or_else(|why| panic!("{why}"));
    let mail = Mail::parse(&prepared.bytes);
    (prepared, mail)
}

#[test]
fn a_message_has_its_fields_and_its_id_is_the_deliverys() {
    let (prepared, mail) = sent(&Letter {
        cc: vec!["c@example.com".to_owned()],
        bcc: vec!["hidden@example.com".to_owned(), "a@example.com".to_owned()],
        reply_to: vec!["Answers <r@example.org>".to_owned()],
        headers: vec![("X-Order".to_owned(), "7".to_owned())],
        ..letter()
    });
    assert_eq!(prepared.message_id, format!("{DELIVERY}@example.org"));
    assert_eq!(mail.header("message-id"), Some(format!("<{DELIVERY}@example.org>").as_str()));
    assert_eq!(mail.addresses("from"), ["Shop <shop@example.org>"]);
    assert_eq!(mail.addresses("to"), ["Anna <a@example.com>"]);
    assert_eq!(mail.addresses("cc"), ["c@example.com"]);
    assert_eq!(mail.addresses("reply-to"), ["Answers <r@example.org>"]);
    assert_eq!((mail.header("subject"), mail.header("x-order")), (Some("Hello"), Some("7")));
    assert_eq!(mail.body("text/plain"), Some("A text"));
    // Each recipient once; who gets a hidden copy is known to the server only.
    let recipients: Vec<String> = prepared.envelope.to().iter().map(ToString::to_string).collect();
    assert_eq!(recipients, ["a@example.com", "c@example.com", "hidden@example.com"]);
    assert!(!String::from_utf8(prepared.bytes).unwrap().contains("hidden"));
    assert_eq!(
        mail.header_names,
        [
            "cc",
            "content-transfer-encoding",
            "content-type",
            "date",
            "from",
            "message-id",
            "mime-version",
            "reply-to",
            "subject",
            "to",
            "x-order"
        ]
    );
}

#[test]
fn letters_of_all_alphabets_arrive_and_the_message_is_ascii() {
    let text = "Größe ≥ 10 €, 注文, 🦀\r\n.\r\nlast";
    let (prepared, mail) = sent(&Letter {
        to: vec!["Ægir Ørsted 注文 <a@example.com>".to_owned()],
        subject: "Größe 注文 🦀 ".repeat(20),
        text: Some(text.to_owned()),
        html: Some(format!("<p>{text}</p>")),
        headers: vec![("X-Groesse".to_owned(), "Größe 注文".to_owned())],
        attachments: vec![Enclosure {
            filename: "Größe 注文.csv".to_owned(),
            media_type: "text/csv; charset=utf-8".to_owned(),
            content: "größe,1\n".as_bytes().to_vec(),
        }],
        ..letter()
    });
    assert!(prepared.bytes.is_ascii());
    assert!(prepared.bytes.split(|byte| *byte == b'\n').all(|line| line.len() < 998), "a line is too long");
    assert_eq!(mail.addresses("to"), ["Ægir Ørsted 注文 <a@example.com>"]);
    assert_eq!(mail.header("subject").map(str::trim_end), Some("Größe 注文 🦀 ".repeat(20).trim_end()));
    assert_eq!(mail.header("x-groesse"), Some("Größe 注文"));
    assert_eq!(mail.body("text/plain"), Some(text.replace("\r\n", "\n").as_str()));
    assert!(mail.body("text/html").is_some_and(|html| html.contains("注文")));
    let attachment = mail.attachments().next().expect("an attachment");
    assert_eq!(attachment.filename.as_deref(), Some("Größe 注文.csv"));
    assert_eq!((attachment.media_type.as_str(), attachment.text.as_str()), ("text/csv", "größe,1\n"));
}

/// What somebody may have typed into a field of a row.
const HOSTILE: [&str; 16] = [
    "x\r\nBcc: evil@example.net",
    "x\nBcc: evil@example.net",
    "x\rBcc: evil@example.net",
    "x\r\n\r\nanother body",
    "x\r\n Bcc: folded",
    "x\0y",
    "x\u{85}Bcc: evil@example.net",
    "x\u{2028}Bcc: evil@example.net",
    "x\u{b}Bcc: evil@example.net",
    "\u{1b}[31mred",
    "x\r\n.\r\nMAIL FROM:<evil@example.net>\r\n",
    "=?utf-8?q?x=0D=0ABcc:_evil@example.net?=",
    "evil@example.net, other@example.net",
    "<evil@example.net>",
    "\"x\" <evil@example.net>, <b@example.net>",
    "x; boundary=evil",
];

#[test]
fn no_value_makes_a_header_a_part_or_a_recipient() {
    type Place = fn(&str) -> Letter;
    let places: [(&str, Place); 12] = [
        ("subject", |value| Letter { subject: value.to_owned(), ..letter() }),
        ("name of a recipient", |value| Letter { to: vec![format!("{value} <a@example.com>")], ..letter() }),
        ("quoted name", |value| Letter { to: vec![format!("\"{value}\" <a@example.com>")], ..letter() }),
        ("local part", |value| Letter { to: vec![format!("{value}@example.com")], ..letter() }),
        ("domain", |value| Letter { to: vec![format!("a@{value}")], ..letter() }),
        ("cc", |value| Letter { cc: vec![format!("a@example.com{value}")], ..letter() }),
        ("sender", |value| Letter { sender: Some(format!("{value} <s@example.org>")), ..letter() }),
        ("reply-to", |value| Letter { reply_to: vec![format!("{value} <r@example.org>")], ..letter() }),
        ("header's value", |value| Letter {
            headers: vec![("X-A".to_owned(), value.to_owned())],
            ..letter()
        }),
        ("header's name", |value| Letter {
            headers: vec![(format!("X-{value}"), "1".to_owned())],
            ..letter()
        }),
        ("message id", |value| Letter { message_id: Some(format!("{value}@example.org")), ..letter() }),
        ("attachment", |value| Letter {
            attachments: vec![Enclosure {
                filename: value.to_owned(),
                media_type: "text/plain".to_owned(),
                content: Vec::new(),
            }],
            ..letter()
        }),
    ];
    let mut known = sent(&letter()).1.header_names;
    known.extend(["cc".to_owned(), "reply-to".to_owned(), "x-a".to_owned()]);
    for (place, make) in places {
        for value in HOSTILE {
            let letter = make(value);
            let Ok(prepared) = prepare(&letter) else { continue };
            let mail = Mail::parse(&prepared.bytes);
            let case = format!("{place}: {value:?}\n{}", String::from_utf8_lossy(&prepared.bytes));
            for name in &mail.header_names {
                assert!(known.contains(name), "`{name}` in {case}");
            }
            assert!(prepared.envelope.to().len() <= 2, "{case}");
            let outside =
                |name: &str| name.contains("evil@example.net") || name.contains("other@example.net");
            assert!(!prepared.envelope.to().iter().any(|to| outside(to.as_ref())), "{case}");
            assert!(mail.parts.len() <= 2, "{case}");
            // No line break of the value is one in the header.
            let head = prepared.bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
            let lines = String::from_utf8_lossy(&prepared.bytes[..head]).into_owned();
            assert!(!lines.lines().any(|line| line.starts_with("Bcc") || line.starts_with("MAIL")), "{case}");
            assert!(!lines.contains('\0') && !lines.contains('\u{1b}'), "{case}");
        }
    }
}

#[test]
fn a_text_can_not_end_the_message() {
    let evil = "MAIL FROM:<evil@example.net>";
    for end in ["\n.\n", "\r\n.\r\n", "\r.\r", "\n.\r\n", "\r\n.\r", "\r\n.\n", "\0\r.\r\n"] {
        let text = format!("before{end}{evil}");
        let (prepared, mail) = sent(&Letter {
            text: Some(text.clone()),
            html: Some(text.clone()),
            attachments: vec![Enclosure {
                filename: "a.txt".to_owned(),
                media_type: "text/plain".to_owned(),
                content: text.clone().into_bytes(),
            }],
            ..letter()
        });
        let bytes = &prepared.bytes;
        for (at, byte) in bytes.iter().enumerate() {
            let lone = (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'))
                || (*byte == b'\n' && (at == 0 || bytes[at - 1] != b'\r'));
            assert!(!lone, "half a line end at {at} for {end:?}: {}", String::from_utf8_lossy(bytes));
        }
        let expected = text.replace("\r\n", "\n").replace('\r', "\n");
        assert_eq!(mail.body("text/plain"), Some(expected.as_str()), "{end:?}");
        assert_eq!(mail.attachments().next().unwrap().text, text.replace("\r\n", "\n"), "{end:?}");
    }
}

#[test]
fn control_characters_are_refused_wherever_a_line_stands() {
    for control in ["\r", "\n", "\r\n", "\0", "\u{b}", "\u{c}", "\u{7f}", "\u{85}", "\u{2028}"] {
        let value = format!("a{control}b");
        for letter in [
            Letter { subject: value.clone(), ..letter() },
            Letter { to: vec![format!("{value} <a@example.com>")], ..letter() },
            Letter { headers: vec![("X-A".to_owned(), value.clone())], ..letter() },
            Letter { headers: vec![(value.clone(), "1".to_owned())], ..letter() },
            Letter { sender: Some(format!("{value}@example.com")), ..letter() },
            Letter { message_id: Some(format!("{value}@example.com")), ..letter() },
        ] {
            assert!(prepare(&letter).is_err(), "{letter:?}");
        }
    }
}

#[test]
fn what_can_not_be_sent_is_told() {
    let header = |name: &str| Letter { headers: vec![(name.to_owned(), "x".to_owned())], ..letter() };
    let attachment = |filename: &str, media_type: &str| Letter {
        attachments: vec![Enclosure {
            filename: filename.to_owned(),
            media_type: media_type.to_owned(),
            content: Vec::new(),
        }],
        ..letter()
    };
    for (letter, expected) in [
        (Letter { to: Vec::new(), ..letter() }, "names no recipient"),
        (Letter { text: None, ..letter() }, "neither text nor HTML"),
        (Letter { to: vec!["nobody".to_owned()], ..letter() }, "`to`: `nobody` is not one address"),
        (Letter { to: vec!["a@b.example, c@d.example".to_owned()], ..letter() }, "is not one address"),
        (
            Letter { to: (0..101).map(|n| format!("a{n}@example.com")).collect(), ..letter() },
            "101 recipients",
        ),
        (header("Bcc"), "has a field of its own"),
        (header("content-TYPE"), "has a field of its own"),
        (header("Received"), "the servers' to write"),
        (header("X Y"), "no name of a header"),
        (header("X:Y"), "no name of a header"),
        (header(""), "no name of a header"),
        (
            Letter {
                headers: vec![("X-A".to_owned(), "1".to_owned()), ("x-a".to_owned(), "2".to_owned())],
                ..letter()
            },
            "given twice",
        ),
        (attachment("../../etc/passwd", "text/plain"), "no name of an attachment"),
        (attachment("a.txt", "nonsense"), "no media type"),
        (Letter { message_id: Some("<a@b>".to_owned()), ..letter() }, "no message id"),
    ] {
        let told = prepare(&letter).err().unwrap_or_else(|| panic!("{letter:?} can be sent"));
        assert!(told.contains(expected), "{told}");
    }
    let anonymous = letter().prepare(None, DELIVERY, UNIX_EPOCH).err().unwrap();
    assert!(anonymous.contains("names no sender, and [smtp] has no `from`"), "{anonymous}");
}
