//! `memcached`: from the guest's words to the egress and back.

use crate::{
    bindings::aftercommit::action::{
        memcached::{Host, MemcachedError},
        model::Content,
    },
    calling::{
        contacts::Contact,
        guest::{Guest, Phase},
    },
    egress::MemcachedFault,
    hostapi::{ONLY_HTTP, content_bytes},
    secrets::Handles,
};

impl Guest {
    fn may_use_memcached(&mut self) -> wasmtime::Result<Result<(), MemcachedError>> {
        self.call.host_call()?;
        if self.call.phase != Phase::Run {
            let why = "commands are sent during `run` only".to_owned();
            return Ok(Err(MemcachedError::Denied(why)));
        }
        Ok(Ok(()))
    }

    async fn delete_key(
        &mut self,
        connection: &str,
        key: &str,
    ) -> wasmtime::Result<Result<bool, MemcachedError>> {
        if let Err(denied) = self.may_use_memcached()? {
            return Ok(Err(denied));
        }
        let call = &self.call;
        let deleted = call.egress.memcached_delete(&call.permit, connection, key, call.bounds()).await;
        call.contacts.note(Contact::Other);
        Ok(deleted.map_err(MemcachedError::from))
    }

    async fn set_key(
        &mut self,
        connection: &str,
        key: &str,
        value: &Content,
        expiry_secs: u32,
    ) -> wasmtime::Result<Result<(), MemcachedError>> {
        if let Err(denied) = self.may_use_memcached()? {
            return Ok(Err(denied));
        }
        let (call, value) = (&self.call, content_bytes(value));
        if Handles::suspects(key) || Handles::suspects_bytes(value) {
            return Ok(Err(MemcachedError::Denied(ONLY_HTTP.to_owned())));
        }
        let set =
            call.egress.memcached_set(&call.permit, connection, key, value, expiry_secs, call.bounds()).await;
        call.contacts.note(Contact::Other);
        Ok(set.map_err(MemcachedError::from))
    }
}

impl Host for Guest {
    async fn delete(
        &mut self,
        connection: String,
        key: String,
    ) -> wasmtime::Result<Result<bool, MemcachedError>> {
        let answer = self.delete_key(&connection, &key).await?;
        self.call.contacts.denials.note(&answer);
        Ok(answer)
    }

    async fn set(
        &mut self,
        connection: String,
        key: String,
        value: Content,
        expiry_secs: u32,
    ) -> wasmtime::Result<Result<(), MemcachedError>> {
        let answer = self.set_key(&connection, &key, &value, expiry_secs).await?;
        self.call.contacts.denials.note(&answer);
        Ok(answer)
    }
}

impl From<MemcachedFault> for MemcachedError {
    fn from(fault: MemcachedFault) -> Self {
        match fault {
            MemcachedFault::Denied(why) => Self::Denied(why),
            MemcachedFault::NotConfigured(why) => Self::NotConfigured(why),
            MemcachedFault::InvalidKey(why) => Self::InvalidKey(why),
            MemcachedFault::Connect(why) => Self::Connect(why),
            MemcachedFault::Timeout => Self::Timeout,
            MemcachedFault::Refused(why) => Self::Refused(why),
            MemcachedFault::Server(why) => Self::Server(why),
            MemcachedFault::Protocol(why) => Self::Protocol(why),
        }
    }
}
