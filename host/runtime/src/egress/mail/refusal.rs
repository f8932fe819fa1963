//! Recipients that a server refuses, and what becomes of the message then (RFC 5321, 3.3).

use std::fmt;

use lettre::Address;

use super::{MailFault, Reply, mailbox::masked};

/// A recipient that the server refused, and why. Shows no whole address: failures and outcomes have many readers.
#[derive(Debug)]
pub(super) struct Refusal {
    recipient: String,
    reply: Reply,
}

/// Refusals that a failure or an outcome names; the others are counted.
const MAX_NAMED: usize = 10;
/// Characters of a reply beside each name.
const MAX_REPLY_CHARS: usize = 200;

impl Refusal {
    pub(super) fn new(recipient: &Address, mut reply: Reply) -> Self {
        let masked = masked(recipient);
        // Most servers repeat the address in their reply.
        reply.message = without(&reply.message, recipient.as_ref(), &masked);
        reply.message = reply.message.chars().take(MAX_REPLY_CHARS).collect();
        Self { recipient: masked, reply }
    }

    fn is_for_good(&self) -> bool {
        matches!(MailFault::of(self.reply.code, ""), MailFault::Permanent(_))
    }

    /// Decides by the refusals whether the message is sent to the recipients that were accepted; returns the refusals then.
    ///
    /// - One that may pass (4yz): to nobody, and all is tried again. Sent to the others now, a retry would send it to them twice.
    /// - All of them for good (5yz): to nobody, and no attempt can.
    /// - Some for good: to the others. No retry helps those who were refused, and the others are not to go without for them.
    pub(super) fn accepted_by_others(refused: Vec<Self>, all: usize) -> Result<Vec<Self>, MailFault> {
        let passing = refused.iter().find(|refusal| !refusal.is_for_good());
        let Some(first) = passing.or(refused.first().filter(|_| refused.len() == all)) else {
            return Ok(refused);
        };
        let message = format!(
            "{} of {all} recipients were refused, the message is sent to none: {}",
            refused.len(),
            lines(&refused).join(", ")
        );
        Err(MailFault::of(first.reply.code, message))
    }
}

/// The refusals as people read them, not too many.
pub(super) fn lines(refused: &[Refusal]) -> Vec<String> {
    let mut lines: Vec<String> = refused.iter().take(MAX_NAMED).map(Refusal::to_string).collect();
    if let Some(more @ 1..) = refused.len().checked_sub(MAX_NAMED) {
        lines.push(format!("and {more} more"));
    }
    lines
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.recipient, self.reply.code, self.reply.message)
    }
}

/// The text with another one in the place of an address, in whatever case of ASCII letters.
fn without(text: &str, address: &str, masked: &str) -> String {
    let (lower, address) = (text.to_ascii_lowercase(), address.to_ascii_lowercase());
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for (start, _) in lower.match_indices(&address) {
        out.push_str(&text[end..start]);
        out.push_str(masked);
        end = start + address.len();
    }
    out.push_str(&text[end..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(recipient: &str, code: u16, message: &str) -> Refusal {
        let reply = Reply { code, message: message.to_owned() };
        Refusal::new(&recipient.parse().unwrap(), reply)
    }

    #[test]
    fn one_refusal_that_may_pass_keeps_the_message_from_all() {
        let (later, never) = (|| refusal("a@x.example", 450, "later"), || refusal("b@x.example", 550, "no"));
        let Err(MailFault::Transient(told)) = Refusal::accepted_by_others(vec![never(), later()], 3) else {
            panic!("it is tried again")
        };
        assert_eq!(told.code, 450);
        assert_eq!(
            told.message,
            "2 of 3 recipients were refused, the message is sent to none: b***@x.example (550 no), a***@x.example (450 later)"
        );
        // 530 at a recipient is about the login of the host.
        let login = vec![refusal("a@x.example", 530, "log in")];
        assert!(matches!(Refusal::accepted_by_others(login, 1), Err(MailFault::Transient(_))));
    }

    #[test]
    fn those_who_were_accepted_get_it_when_the_others_never_will() {
        let never = |name: &str| refusal(name, 550, "no");
        assert!(Refusal::accepted_by_others(Vec::new(), 2).unwrap().is_empty());
        let refused = Refusal::accepted_by_others(vec![never("a@x.example")], 2).unwrap();
        assert_eq!(lines(&refused), ["a***@x.example (550 no)"]);
        let all = Refusal::accepted_by_others(vec![never("a@x.example"), never("b@x.example")], 2);
        assert!(matches!(all, Err(MailFault::Permanent(Reply { code: 550, .. }))), "{all:?}");
        let many: Vec<_> = (0..13).map(|n| never(&format!("a{n}@x.example"))).collect();
        assert_eq!(lines(&many).len(), 11);
        assert_eq!(lines(&many)[10], "and 3 more");
    }

    #[test]
    fn a_reply_that_repeats_the_address_does_not_show_it() {
        let told =
            refusal("jane@x.example", 550, "5.1.1 <Jane@X.example>: Jane@x.example is unknown Ü").to_string();
        assert_eq!(told, "j***@x.example (550 5.1.1 <j***@x.example>: j***@x.example is unknown Ü)");
        assert!(refusal("jane@x.example", 550, &"x".repeat(600)).to_string().len() < 240);
    }
}
