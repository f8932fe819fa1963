//! What `bindgen!` makes of the WIT package. Functions that never wait are synchronous, which is cheaper for the guest.

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
