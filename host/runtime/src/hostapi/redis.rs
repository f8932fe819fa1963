//! `redis`: from the guest's words to the egress and back.

use crate::{
    bindings::aftercommit::action::{
        model::Content,
        redis::{Host, Node, RedisError},
    },
    calling::{
        contacts::Contact,
        guest::{Guest, Phase},
    },
    egress::{RedisFault, RedisReply},
    hostapi::{ONLY_HTTP, content_bytes},
    secrets::Handles,
};

impl Host for Guest {
    async fn execute(
        &mut self,
        connection: String,
        command: String,
        arguments: Vec<Content>,
    ) -> wasmtime::Result<Result<Vec<Node>, RedisError>> {
        let answer = self.command(&connection, &command, &arguments).await?;
        self.call.contacts.denials.note(&answer);
        Ok(answer)
    }
}

impl Guest {
    async fn command(
        &mut self,
        connection: &str,
        command: &str,
        arguments: &[Content],
    ) -> wasmtime::Result<Result<Vec<Node>, RedisError>> {
        self.call.host_call()?;
        if self.call.phase != Phase::Run {
            return Ok(Err(RedisError::Denied("commands are sent during `run` only".to_owned())));
        }
        let call = &self.call;
        let arguments: Vec<&[u8]> = arguments.iter().map(content_bytes).collect();
        if Handles::suspects(command) || arguments.iter().any(|argument| Handles::suspects_bytes(argument)) {
            return Ok(Err(RedisError::Denied(ONLY_HTTP.to_owned())));
        }
        let reply = call.egress.redis(&call.permit, connection, command, &arguments, call.bounds()).await;
        call.contacts.note(match &reply {
            Err(RedisFault::Untrusted(_)) => Contact::Untrusted,
            _ => Contact::Other,
        });
        Ok(reply.map(|nodes| nodes.into_iter().map(Node::from).collect()).map_err(RedisError::from))
    }
}

impl From<RedisReply> for Node {
    fn from(reply: RedisReply) -> Self {
        match reply {
            RedisReply::Nil => Self::Nil,
            RedisReply::Status(text) => Self::Status(text),
            RedisReply::Error(text) => Self::Error(text),
            RedisReply::Integer(number) => Self::Integer(number),
            RedisReply::Data(bytes) => Self::Data(match String::from_utf8(bytes.into()) {
                Ok(text) => Content::Text(text),
                Err(error) => Content::Bytes(error.into_bytes()),
            }),
            RedisReply::Array(length) => Self::Array(length),
        }
    }
}

impl From<RedisFault> for RedisError {
    fn from(fault: RedisFault) -> Self {
        match fault {
            RedisFault::Denied(why) => Self::Denied(why),
            RedisFault::NotConfigured(why) => Self::NotConfigured(why),
            RedisFault::Connect(why) | RedisFault::Untrusted(why) => Self::Connect(why),
            RedisFault::Timeout => Self::Timeout,
            RedisFault::TooLarge(limit) => Self::ReplyTooLarge(limit),
            RedisFault::Protocol(why) => Self::Protocol(why),
        }
    }
}
