//! What `bindgen!` makes of the WIT package. Functions that never wait are synchronous, which is cheaper for the guest.

pub(crate) use batch::{BatchExport, BatchExportIndices, exports::aftercommit::action::batch::Item};

wasmtime::component::bindgen!({
    path: "../../wit/action-1",
    world: "action",
    imports: {
        "aftercommit:action/http.send": async | trappable,
        "aftercommit:action/secrets.access-token": async | trappable,
        "aftercommit:action/mail.send": async | trappable,
        "aftercommit:action/redis.execute": async | trappable,
        "aftercommit:action/memcached.delete": async | trappable,
        "aftercommit:action/memcached.set": async | trappable,
        "aftercommit:action/template.render": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});

/// The optional export, as a world of its own: an instance is asked for it only where it is called.
mod batch {
    wasmtime::component::bindgen!({
        path: "../../wit/action-1",
        inline: r"
            package aftercommit:host;

            world batch-export {
                export aftercommit:action/batch@1.0.0;
            }
        ",
        world: "aftercommit:host/batch-export",
        with: { "aftercommit:action/model@1.0.0": super::aftercommit::action::model },
        exports: { default: async },
    });
}
