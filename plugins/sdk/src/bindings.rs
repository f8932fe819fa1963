//! What `wit-bindgen` makes of the WIT package. The rest of the crate is written over it; plugins need it only for what
//! the crate does not wrap.

#![expect(missing_docs, clippy::pedantic, reason = "generated code")]

wit_bindgen::generate!({
    path: "../../wit/action-1",
    world: "action",
    pub_export_macro: true,
    default_bindings_module: "aftercommit_plugin::bindings",
});

/// The optional export `batch`, as a world of its own: a plugin that does not export it says nothing of it.
pub mod batch {
    wit_bindgen::generate!({
        path: "../../wit/action-1",
        inline: r"
            package aftercommit:sdk;

            world batch-export {
                export aftercommit:action/batch@1.0.0;
            }
        ",
        world: "aftercommit:sdk/batch-export",
        with: { "aftercommit:action/model@1.0.0": crate::bindings::aftercommit::action::model },
        pub_export_macro: true,
        export_macro_name: "export_batch",
        default_bindings_module: "aftercommit_plugin::bindings::batch",
    });
}
