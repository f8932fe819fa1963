//! `clock`: the host's clock.

use crate::{
    bindings::aftercommit::action::clock::Host,
    calling::guest::{Guest, HostStop, Phase},
};

impl Host for Guest {
    fn now_ms(&mut self) -> wasmtime::Result<u64> {
        self.call.host_call()?;
        if self.call.phase == Phase::Describe {
            return Err(HostStop::NotNow("clock").into());
        }
        Ok(u64::try_from(self.call.egress.clock.now().as_millis()).unwrap_or(0))
    }
}
