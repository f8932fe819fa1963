//! `mail`: this host has no SMTP server yet, and says so.

use crate::{
    bindings::aftercommit::action::mail::{Host, MailError, Message},
    capability::Need,
    guest::Guest,
};

impl Host for Guest {
    async fn send(&mut self, _: Message) -> wasmtime::Result<Result<String, MailError>> {
        self.call.host_call()?;
        if !self.call.permit.effective.needs.has(Need::Mail) {
            return Ok(Err(MailError::Denied("the plugin does not declare that it needs `mail`".to_owned())));
        }
        Ok(Err(MailError::NotConfigured("this host has no SMTP server".to_owned())))
    }
}
