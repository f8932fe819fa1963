//! Messages that are within the standards and seldom tried, read back by another parser.

use std::time::UNIX_EPOCH;

use aftercommit_tests::Mail;

use super::{
    mailbox::mailbox,
    message::{Enclosure, Letter},
};

/// RFC 5322, 2.1.1, without the line's end.
const LINE_BYTES: usize = 998;

fn letter() -> Letter {
    Letter {
        to: vec!["a@example.com".to_owned()],
        subject: "Hello".to_owned(),
        text: Some("A text".to_owned()),
        ..Letter::default()
    }
}

/// What is sent, whom to, and what a reader sees.
fn sent(letter: &Letter) -> (String, Vec<String>, Mail) {
    let from = mailbox("Shop <shop@example.org>").unwrap();
    let prepared = letter.prepare(Some(&from), "0197f3a0-0000-7000-8000-000000000000", UNIX_EPOCH);
    let prepared = prepared.unwrap_or_else(|why| panic!("{why}"));
    let recipients = prepared.envelope.to().iter().map(ToString::to_string).collect();
    let mail = Mail::parse(&prepared.bytes);
    let text = String::from_utf8(prepared.bytes).unwrap();
    let longest = text.split("\r\n").map(str::len).max().unwrap();
    assert!(longest <= LINE_BYTES, "a line has {longest} bytes: {letter:?}");
    (text, recipients, mail)
}

/// Right to left, joined emoji, marks of their own, no spaces to fold at.
const TEXTS: [&str; 6] = [
    "הזמנה מספר 7 בדרך אליך",
    "طلب رقم 7 في الطريق",
    "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪",
    "e\u{301}u\u{308}n\u{303}",
    "訂單已經發貨訂單已經發貨",
    "order order order order",
];

#[test]
fn long_subjects_names_and_headers_arrive_in_lines_that_are_not_too_long() {
    for text in TEXTS {
        let long = text.repeat(2000 / text.len());
        let long = long.trim();
        let (_, recipients, mail) = sent(&Letter {
            to: vec![format!("{long} <a@example.com>")],
            subject: long.to_owned(),
            headers: vec![("X-Long".to_owned(), long.to_owned())],
            reply_to: vec![format!("{long} <r@example.org>")],
            ..letter()
        });
        assert_eq!(mail.header("subject"), Some(long));
        assert_eq!(mail.header("x-long"), Some(long));
        assert_eq!(mail.addresses("to"), [format!("{long} <a@example.com>")]);
        assert_eq!(mail.addresses("reply-to"), [format!("{long} <r@example.org>")]);
        assert_eq!(recipients, ["a@example.com"]);
    }
}

#[test]
fn a_word_that_fits_into_no_line_is_refused() {
    let from = mailbox("shop@example.org").unwrap();
    let word = |letters: usize| "x".repeat(letters);
    for letters in [600, 601] {
        for letter in [
            Letter { subject: format!("a {}", word(letters)), ..letter() },
            Letter { to: vec![format!("{} <a@example.com>", word(letters))], ..letter() },
            Letter { headers: vec![("X".repeat(76), word(letters))], ..letter() },
            Letter {
                attachments: vec![Enclosure {
                    filename: word(letters),
                    media_type: "text/csv".to_owned(),
                    content: Vec::new(),
                }],
                ..letter()
            },
        ] {
            if letters <= 600 {
                sent(&letter);
            } else {
                let told = letter.prepare(Some(&from), "7", UNIX_EPOCH).err().unwrap();
                assert!(told.contains("a word of 601 letters"), "{told}");
            }
        }
    }
}

#[test]
fn long_lines_of_a_text_arrive_whole() {
    for text in TEXTS {
        let long = format!("{}\n.\n..x\nFrom here\n{text} \n", text.repeat(10_000 / text.len()));
        let (_, _, mail) =
            sent(&Letter { text: Some(long.clone()), html: Some(format!("<p>{long}")), ..letter() });
        assert_eq!(mail.body("text/plain"), Some(long.trim_end()));
        assert_eq!(mail.body("text/html"), Some(format!("<p>{long}").trim_end()));
    }
}

#[test]
fn a_hundred_recipients_fit_and_each_is_told_once() {
    let to: Vec<String> = (0..99).map(|n| format!("Somebody With A Name {n} <a{n}@example.com>")).collect();
    let letter = Letter {
        to: to.clone(),
        cc: vec!["a7@EXAMPLE.com".to_owned(), "c@example.com".to_owned()],
        bcc: vec!["Hidden <a8@example.com>".to_owned(), "c@Example.COM".to_owned()],
        ..letter()
    };
    let (text, recipients, mail) = sent(&letter);
    assert_eq!(recipients.len(), 100);
    assert_eq!(mail.addresses("to"), to);
    assert!(mail.header("bcc").is_none() && !text.contains("Hidden"), "{text}");
}

#[test]
fn addresses_are_written_in_many_ways() {
    for (written, recipient, shown) in [
        ("\"Doe, Jane\" <jane@example.com>", "jane@example.com", "Doe, Jane <jane@example.com>"),
        (
            "\"Jane \\\"JD\\\" Doe\" <jane@example.com>",
            "jane@example.com",
            "Jane \"JD\" Doe <jane@example.com>",
        ),
        ("<jane@example.com>", "jane@example.com", "jane@example.com"),
        ("jane+shop@example.com", "jane+shop@example.com", "jane+shop@example.com"),
        ("o'hara@example.com", "o'hara@example.com", "o'hara@example.com"),
        ("Jane@Example.COM", "Jane@example.com", "Jane@example.com"),
        // An international domain needs no server that knows of them.
        ("Jane <jane@bücher.example>", "jane@xn--bcher-kva.example", "Jane <jane@xn--bcher-kva.example>"),
        ("用户@例え.example", "用户@xn--r8jz45g.example", "用户@xn--r8jz45g.example"),
    ] {
        let (_, recipients, mail) = sent(&Letter { to: vec![written.to_owned()], ..letter() });
        assert_eq!(recipients, [recipient], "{written}");
        assert_eq!(mail.addresses("to"), [shown], "{written}");
    }
    for wrong in [
        "jane@",
        "@example.com",
        "jane@exa mple.com",
        "jane@example..com",
        "Jane jane@example.com",
        "jane@example.com (Sales)",
        "jane@[192.0.2.1]",
        "",
    ] {
        assert!(mailbox(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn attachments_have_odd_names_and_sizes() {
    let names = [
        "order 7 (2) = 'x', final.csv".to_owned(),
        "הזמנה 7.csv".to_owned(),
        "👩‍👩‍👧 order's 100% *draft*.csv".to_owned(),
        ".csv".to_owned(),
        format!("{}.csv", "order".repeat(60)),
        format!("{}.csv", "訂單".repeat(60)),
    ];
    let content = "größe,1\n".repeat(200_000);
    let attachments = names.iter().map(|name| Enclosure {
        filename: name.clone(),
        media_type: "text/csv; charset=utf-8".to_owned(),
        content: content.clone().into_bytes(),
    });
    let (_, _, mail) = sent(&Letter { attachments: attachments.collect(), ..letter() });
    let found: Vec<_> = mail.attachments().map(|part| part.filename.clone().unwrap()).collect();
    assert_eq!(found, names);
    assert!(mail.attachments().all(|part| part.text == content));
}
