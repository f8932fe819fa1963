//! A mail as its reader sees it, by a parser that has nothing to do with who wrote it.

use mailparse::{DispositionType, MailAddr, MailHeaderMap as _, ParsedMail};

/// A parsed message.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    /// Names of its headers, in lower case and in order.
    pub header_names: Vec<String>,
    headers: Vec<(String, String)>,
    addresses: Vec<(String, Vec<String>)>,
    /// Its parts that hold no others.
    pub parts: Vec<Part>,
}

/// A part of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// For example `text/plain`.
    pub media_type: String,
    /// The name of an attachment.
    pub filename: Option<String>,
    /// Its content as text, lines ended by a line feed.
    pub text: String,
}

impl Mail {
    /// Parses a message.
    #[must_use]
    pub fn parse(message: &[u8]) -> Self {
        let parsed = mailparse::parse_mail(message).expect("a message");
        let headers: Vec<(String, String)> = parsed
            .headers
            .iter()
            .map(|header| (header.get_key().to_lowercase(), header.get_value()))
            .collect();
        let mut header_names: Vec<String> = headers.iter().map(|(name, _)| name.clone()).collect();
        header_names.sort();
        let addresses = ["from", "to", "cc", "bcc", "reply-to"]
            .into_iter()
            .filter_map(|name| {
                let list =
                    mailparse::addrparse_header(parsed.headers.get_first_header(name)?).expect("addresses");
                Some((name.to_owned(), list.iter().map(shown).collect()))
            })
            .collect();
        let mut mail = Self { header_names, headers, addresses, parts: Vec::new() };
        mail.add(&parsed);
        mail
    }

    fn add(&mut self, part: &ParsedMail<'_>) {
        for inner in &part.subparts {
            self.add(inner);
        }
        if part.subparts.is_empty() {
            let disposition = part.get_content_disposition();
            let attached = disposition.disposition == DispositionType::Attachment;
            let text = String::from_utf8(part.get_body_raw().expect("a body")).expect("UTF-8");
            self.parts.push(Part {
                media_type: part.ctype.mimetype.clone(),
                filename: attached.then(|| disposition.params.get("filename").cloned()).flatten(),
                text: text.replace("\r\n", "\n"),
            });
        }
    }

    /// A header's value, decoded.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The mailboxes of `from`, `to`, `cc`, `bcc` or `reply-to`, as `name <address>`.
    #[must_use]
    pub fn addresses(&self, name: &str) -> &[String] {
        self.addresses.iter().find(|(known, _)| known == name).map_or(&[], |(_, list)| list)
    }

    /// The first part of a media type that is no attachment.
    #[must_use]
    pub fn body(&self, media_type: &str) -> Option<&str> {
        let mut parts = self.parts.iter().filter(|part| part.filename.is_none());
        parts.find(|part| part.media_type == media_type).map(|part| part.text.trim_end())
    }

    /// The attachments.
    pub fn attachments(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.filename.is_some())
    }
}

fn shown(address: &MailAddr) -> String {
    match address {
        MailAddr::Single(one) => match &one.display_name {
            Some(name) => format!("{name} <{}>", one.addr),
            None => one.addr.clone(),
        },
        MailAddr::Group(group) => format!("group {}", group.group_name),
    }
}
