//! What `wit-bindgen` makes of the WIT package. The rest of the crate is written over it; plugins need it only for what
//! the crate does not wrap.

#![expect(missing_docs, clippy::pedantic, reason = "generated code")]

wit_bindgen::generate!({
    path: "../../wit/action-1",
    world: "action",
    pub_export_macro: true,
    default_bindings_module: "aftercommit_plugin::bindings",
});
