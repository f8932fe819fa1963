//! What a component's imports are linked to: our interfaces, and all of WASI 0.2 with nothing behind it.

use wasmtime::{
    Engine,
    component::{HasSelf, Linker},
};

use crate::{bindings::Action, guest::Guest};

/// The linker of all plugins. What an import does is decided by the call that the guest is in.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    Action::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    Ok(linker)
}
