//! `mail`: from the guest's records to the egress and back.

use crate::{
    bindings::aftercommit::action::{
        mail::{self, Host, MailError},
        model::Content,
    },
    calling::{
        contacts::Contact,
        guest::{Guest, Phase},
    },
    egress::{Enclosure, Letter, MailFault, MailReply, MailSent},
    hostapi::ONLY_HTTP,
    secrets::Handles,
};

impl Host for Guest {
    async fn send(&mut self, message: mail::Message) -> wasmtime::Result<Result<mail::Sent, MailError>> {
        let answer = self.mail(message).await?;
        self.call.contacts.denials.note(&answer);
        Ok(answer)
    }
}

impl Guest {
    async fn mail(&mut self, message: mail::Message) -> wasmtime::Result<Result<mail::Sent, MailError>> {
        self.call.host_call()?;
        if self.call.phase != Phase::Run {
            return Ok(Err(MailError::Denied("mail is sent during `run` only".to_owned())));
        }
        let letter = Letter::from(message);
        if self.call.deliveries > 1 && letter.message_id.is_none() {
            let why = "in a batch each message has a message id of its own, made from its delivery's id";
            return Ok(Err(MailError::InvalidMessage(why.to_owned())));
        }
        if letter.texts().any(Handles::suspects_bytes) {
            return Ok(Err(MailError::Denied(ONLY_HTTP.to_owned())));
        }
        let call = &self.call;
        let sent = call.egress.mail(&call.permit, &letter, call.log.delivery(), call.bounds()).await;
        call.contacts.note(match &sent {
            Err(MailFault::Untrusted(_)) => Contact::Untrusted,
            _ => Contact::Other,
        });
        Ok(sent.map(mail::Sent::from).map_err(MailError::from))
    }
}

impl From<mail::Message> for Letter {
    fn from(message: mail::Message) -> Self {
        let attachments = message.attachments.into_iter().map(|attachment| Enclosure {
            filename: attachment.filename,
            media_type: attachment.media_type,
            content: match attachment.content {
                Content::Text(text) => text.into_bytes(),
                Content::Bytes(bytes) => bytes,
            },
        });
        Self {
            sender: message.sender,
            to: message.to,
            cc: message.cc,
            bcc: message.bcc,
            reply_to: message.reply_to,
            subject: message.subject,
            text: message.text,
            html: message.html,
            headers: message.headers,
            attachments: attachments.collect(),
            message_id: message.message_id,
        }
    }
}

impl From<MailSent> for mail::Sent {
    fn from(MailSent { message_id, refused }: MailSent) -> Self {
        Self { message_id, refused }
    }
}

impl From<MailFault> for MailError {
    fn from(fault: MailFault) -> Self {
        let reply = |reply: MailReply| mail::Reply { code: reply.code, message: reply.message };
        match fault {
            MailFault::InvalidMessage(why) => Self::InvalidMessage(why),
            MailFault::Denied(why) => Self::Denied(why),
            MailFault::NotConfigured(why) => Self::NotConfigured(why),
            MailFault::Untrusted(why) => Self::Transient(reply(MailReply::connection(why))),
            MailFault::Transient(said) => Self::Transient(reply(said)),
            MailFault::Permanent(said) => Self::Permanent(reply(said)),
        }
    }
}
