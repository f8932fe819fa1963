//! `redis`: this host has no Redis connection yet, and says so.

use crate::{
    bindings::aftercommit::action::{
        model::Content,
        redis::{Host, Node, RedisError},
    },
    capability::Need,
    guest::Guest,
};

impl Host for Guest {
    async fn execute(
        &mut self,
        connection: String,
        _: String,
        _: Vec<Content>,
    ) -> wasmtime::Result<Result<Vec<Node>, RedisError>> {
        self.call.host_call()?;
        if !self.call.permit.effective.needs.has(Need::Redis) {
            return Ok(Err(RedisError::Denied(
                "the plugin does not declare that it needs `redis`".to_owned(),
            )));
        }
        Ok(Err(RedisError::NotConfigured(format!("this host has no Redis connection `{connection}`"))))
    }
}
