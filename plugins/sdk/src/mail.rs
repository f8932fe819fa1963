//! E-mail over the host's SMTP server, and what its replies mean for a delivery.

pub use crate::bindings::aftercommit::action::mail::{Attachment, MailError, Message, Reply, Sent};
use crate::{Failure, bindings::aftercommit::action::mail};

/// Sends a message; returns once the server has accepted it for one recipient at least, and refused the others for good.
pub fn send(message: &Message) -> Result<Sent, Failure> {
    mail::send(message).map_err(Failure::from)
}

/// The server wants a login, or refuses it (RFC 4954, 6): the host's, which an operator can mend.
const AUTHENTICATION: [u16; 4] = [530, 534, 535, 538];

impl From<MailError> for Failure {
    fn from(error: MailError) -> Self {
        match error {
            MailError::InvalidMessage(why) => Self::permanent("invalid_message", why),
            MailError::Denied(why) => Self::misconfigured("mail_denied", why),
            MailError::NotConfigured(why) => Self::misconfigured("mail_not_configured", why),
            MailError::Transient(Reply { code: 0, message }) => Self::transient("connect", message),
            MailError::Transient(reply) if AUTHENTICATION.contains(&reply.code) => {
                Self::transient("smtp_auth", reply.message).with_status(reply.code)
            }
            MailError::Transient(reply) => {
                Self::transient("smtp_reply", reply.message).with_status(reply.code)
            }
            MailError::Permanent(reply) => {
                Self::permanent("smtp_reply", reply.message).with_status(reply.code)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_classified_by_their_code() {
        let reply = |code| Reply { code, message: "said".to_owned() };
        let lost = Failure::from(MailError::Transient(reply(0)));
        assert!(
            matches!(&lost, Failure::Transient(problem) if problem.code == "connect" && problem.status.is_none())
        );
        let busy = Failure::from(MailError::Transient(reply(451)));
        assert!(matches!(&busy, Failure::Transient(problem) if problem.status == Some(451)));
        let unknown = Failure::from(MailError::Permanent(reply(550)));
        assert!(matches!(&unknown, Failure::Permanent(problem) if problem.status == Some(550)));
        let login = Failure::from(MailError::Transient(reply(535)));
        assert!(matches!(&login, Failure::Transient(problem) if problem.code == "smtp_auth"));
    }
}
