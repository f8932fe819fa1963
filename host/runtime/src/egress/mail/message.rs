//! From a message as a guest gives it to the bytes that are sent. Nothing in it can add a header, a part or a recipient
//! that was not asked for: names, addresses and values with control characters are refused, all else is encoded by the
//! mail crate's typed builder.

use std::time::SystemTime;

use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        Attachment, Body, Mailbox, MultiPart, SinglePart,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
};

use super::mailbox::mailbox;

/// A message as it is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Letter {
    pub(crate) sender: Option<String>,
    pub(crate) to: Vec<String>,
    pub(crate) cc: Vec<String>,
    pub(crate) bcc: Vec<String>,
    pub(crate) reply_to: Vec<String>,
    pub(crate) subject: String,
    pub(crate) text: Option<String>,
    pub(crate) html: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) attachments: Vec<Enclosure>,
    /// Without angle brackets.
    pub(crate) message_id: Option<String>,
}

impl Letter {
    /// Every text of it.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let lines = [&self.sender, &self.text, &self.html, &self.message_id].into_iter().flatten();
        let lists = [&self.to, &self.cc, &self.bcc, &self.reply_to].into_iter().flatten();
        let headers = self.headers.iter().flat_map(|(name, value)| [name, value]);
        let names = self.attachments.iter().flat_map(|it| [&it.filename, &it.media_type]);
        let texts = lines.chain(lists).chain(headers).chain(names).chain([&self.subject]);
        texts.map(String::as_bytes).chain(self.attachments.iter().map(|it| it.content.as_slice()))
    }
}

/// An attachment.
#[derive(Clone, Debug)]
pub(crate) struct Enclosure {
    pub(crate) filename: String,
    pub(crate) media_type: String,
    pub(crate) content: Vec<u8>,
}

/// A message ready to be sent.
pub(super) struct Prepared {
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
    /// The sender's.
    pub(super) domain: String,
    /// Without angle brackets.
    pub(super) message_id: String,
}

/// Servers must take a hundred (RFC 5321, 4.5.3.1.8).
const MAX_RECIPIENTS: usize = 100;
/// A longer name or value would only be noise.
const MAX_HEADER_BYTES: usize = 8 << 10;
/// A line has at most 998 bytes (RFC 5322, 2.1.1), with the header's name or an address beside the word.
const MAX_WORD_BYTES: usize = 600;

/// Headers that the other fields, the message's form or the servers on its way write.
const RESERVED: [&str; 14] = [
    "bcc",
    "cc",
    "date",
    "from",
    "message-id",
    "mime-version",
    "received",
    "reply-to",
    "return-path",
    "sender",
    "subject",
    "to",
    "dkim-signature",
    "delivered-to",
];

impl Letter {
    /// Checks and writes it. `from` is the sender if it names none; `delivery` the first part of its id if it has none.
    pub(super) fn prepare(
        &self,
        from: Option<&Mailbox>,
        delivery: &str,
        now: SystemTime,
    ) -> Result<Prepared, String> {
        let sender = match &self.sender {
            Some(written) => mailbox(written).map_err(|why| format!("the sender: {why}"))?,
            None => from.cloned().ok_or("it names no sender, and [smtp] has no `from`")?,
        };
        let domain = ascii_domain(&sender.email);
        let message_id = match &self.message_id {
            Some(written) => checked_id(written)?,
            None => format!("{delivery}@{domain}"),
        };
        let mut builder =
            Message::builder().from(sender.clone()).date(now).message_id(Some(format!("<{message_id}>")));
        let mut recipients: Vec<Address> = Vec::new();
        for (field, list) in
            [("to", &self.to), ("cc", &self.cc), ("bcc", &self.bcc), ("reply-to", &self.reply_to)]
        {
            for written in list {
                let mailbox = mailbox(written).map_err(|why| format!("`{field}`: {why}"))?;
                if field != "reply-to" && !recipients.contains(&mailbox.email) {
                    recipients.push(mailbox.email.clone());
                }
                builder = match field {
                    "to" => builder.to(mailbox),
                    "cc" => builder.cc(mailbox),
                    "reply-to" => builder.reply_to(mailbox),
                    // Known to the server only.
                    _ => builder,
                };
            }
        }
        if recipients.is_empty() {
            return Err("it names no recipient".to_owned());
        }
        if recipients.len() > MAX_RECIPIENTS {
            return Err(format!(
                "it has {} recipients; at most {MAX_RECIPIENTS} are sent to",
                recipients.len()
            ));
        }
        let envelope = Envelope::new(Some(sender.email), recipients)
            .map_err(|error| format!("its addresses: {error}"))?;
        builder = builder.envelope(envelope.clone()).subject(one_line("the subject", &self.subject)?);
        let mut written = Vec::new();
        for (name, value) in &self.headers {
            let header = header(name, value)?;
            let lower = name.to_ascii_lowercase();
            if written.contains(&lower) {
                return Err(format!("the header `{name}` is given twice"));
            }
            written.push(lower);
            builder = builder.raw_header(header);
        }
        let message = self.body(builder)?;
        Ok(Prepared { envelope, bytes: message.formatted(), domain, message_id })
    }

    fn body(&self, builder: lettre::message::MessageBuilder) -> Result<Message, String> {
        let built = match (&self.text, &self.html, self.attachments.is_empty()) {
            (None, None, true) => return Err("it has neither text nor HTML nor attachments".to_owned()),
            (Some(text), None, true) => builder.singlepart(SinglePart::plain(lines(text))),
            (None, Some(html), true) => builder.singlepart(SinglePart::html(lines(html))),
            (Some(text), Some(html), true) => {
                builder.multipart(MultiPart::alternative_plain_html(lines(text), lines(html)))
            }
            (text, html, false) => {
                let mixed = MultiPart::mixed().build();
                let mut mixed = match (text, html) {
                    (Some(text), Some(html)) => {
                        mixed.multipart(MultiPart::alternative_plain_html(lines(text), lines(html)))
                    }
                    (Some(text), None) => mixed.singlepart(SinglePart::plain(lines(text))),
                    (None, Some(html)) => mixed.singlepart(SinglePart::html(lines(html))),
                    (None, None) => mixed,
                };
                for attachment in &self.attachments {
                    mixed = mixed.singlepart(attachment.part()?);
                }
                builder.multipart(mixed)
            }
        };
        built.map_err(|error| error.to_string())
    }
}

/// A text as a body: its lines end with CR and LF, whatever they ended with, since servers do not agree on what a lone one
/// means (that is how mails are smuggled into others); and other control characters are encoded.
fn lines(text: &str) -> Body {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let plain = text.chars().all(|letter| !letter.is_control() || matches!(letter, '\n' | '\t'));
    if plain {
        return Body::new(text);
    }
    Body::new_with_encoding(text, ContentTransferEncoding::QuotedPrintable)
        .expect("every text can be written as quoted-printable")
}

impl Enclosure {
    fn part(&self) -> Result<SinglePart, String> {
        let filename = one_line("an attachment's name", &self.filename)?;
        if filename.is_empty() || filename.contains(['/', '\\']) {
            return Err(format!("`{}` is no name of an attachment", shown(&filename)));
        }
        let media_type = one_line("an attachment's media type", &self.media_type)?;
        let media_type = ContentType::parse(&media_type)
            .map_err(|_| format!("`{}` is no media type such as text/csv", shown(&media_type)))?;
        // Always: left to itself, the mail crate sends ASCII as it is, with line ends that servers do not agree on.
        let content = Body::new_with_encoding(self.content.clone(), ContentTransferEncoding::Base64)
            .map_err(|_| "an attachment can not be written as base64".to_owned())?;
        Ok(Attachment::new(filename).body(content, media_type))
    }
}

fn header(name: &str, value: &str) -> Result<HeaderValue, String> {
    let lower = name.to_ascii_lowercase();
    // RFC 5322, 2.2 would allow nearly every printable character; no header in use needs more than these.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let valid = !name.is_empty() && name.len() <= 76 && name.bytes().all(allowed);
    if !valid {
        return Err(format!("`{}` is no name of a header", shown(name)));
    }
    if RESERVED.contains(&lower.as_str()) || lower.starts_with("content-") || lower.starts_with("resent-") {
        return Err(format!("the header `{name}` has a field of its own, or is the servers' to write"));
    }
    let value = one_line(&format!("the header `{name}`"), value)?;
    let header = HeaderName::new_from_ascii(name.to_owned())
        .map_err(|_| format!("`{}` is no name of a header", shown(name)))?;
    Ok(HeaderValue::new(header, value))
}

/// A text of one line, without the white space around it.
pub(super) fn one_line(what: &str, text: &str) -> Result<String, String> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    // Unicode's own line ends are not SMTP's, but programs that show mail take them for line ends.
    if text.chars().any(|letter| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')) {
        return Err(format!("{what} has a line break or another control character: `{}`", shown(text)));
    }
    if text.len() > MAX_HEADER_BYTES {
        return Err(format!("{what} has {} bytes; at most {MAX_HEADER_BYTES} are sent", text.len()));
    }
    // Lines are folded between words; words with letters beyond ASCII are encoded in short ones.
    let longest = text.split_whitespace().filter(|word| word.is_ascii()).map(str::len).max().unwrap_or(0);
    if longest > MAX_WORD_BYTES {
        return Err(format!(
            "{what} has a word of {longest} letters; at most {MAX_WORD_BYTES} fit into a line"
        ));
    }
    Ok(text.to_owned())
}

fn checked_id(written: &str) -> Result<String, String> {
    let valid = written.split_once('@').is_some_and(|(left, right)| {
        let atom = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte))
        };
        atom(left) && atom(right)
    });
    if valid && written.len() <= 250 {
        Ok(written.to_owned())
    } else {
        Err(format!("`{}` is no message id such as 7@example.com (RFC 5322, 3.6.4)", shown(written)))
    }
}

/// A message id is ASCII.
fn ascii_domain(address: &Address) -> String {
    let domain = address.domain();
    if domain.is_ascii() { domain.to_owned() } else { "localhost".to_owned() }
}

/// A value as an error shows it: one line, not long.
pub(super) fn shown(text: &str) -> String {
    text.escape_debug().take(100).collect()
}
