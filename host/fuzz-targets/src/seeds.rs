//! Inputs to begin with: what is well-formed reaches further than noise, and its mutations go wrong in the middle.

pub(crate) const CONDITIONS: &[&[u8]] = &[
    b"total > 100 AND status = 'shipped'",
    b"CHANGED_TO(status, 'shipped') OR CHANGED_FROM(status, 'new') OR CHANGED(total)",
    b"HAS_FIELD(email) AND (status = 'active' OR NOT priority IN ('high', 'low', NULL))",
    b"OLD.total < NEW.total AND \"order-id\" <> -1.50e-7 AND items[0].sku LIKE 'a\\_%' ESCAPE '\\'",
    b"customer.address.city IS NOT NULL AND EVENT.actor = 'ada' AND name NOT LIKE '%caf\xc3\xa9_'",
    b"created_at >= '2026-01-02T03:04:05.678901+02:00' AND paid = TRUE AND total BETWEEN 1 AND 1e99",
    b"((((a = 1))))",
];

pub(crate) const EVALUATED: &[&[u8]] = &[
    b"total > 100 AND CHANGED_TO(status, 'shipped')\n{\"entity_type\":\"Order\",\"entity_id\":7,\"event_kind\":\"updated\",\
      \"data\":{\"total\":150.50,\"status\":\"shipped\"},\"old\":{\"total\":1e2,\"status\":null}}",
    b"items[1].sku LIKE 'a%b_' AND EVENT.actor = 'ada' AND NOT x IS NULL\n{\"entity_type\":\"Order\",\"event_kind\":\"created\",\
      \"data\":{\"items\":[{\"sku\":\"a\"},{\"sku\":\"axb1\"}],\"x\":-0.0},\"actor\":\"ada\"}",
    b"at > '2026-01-02T03:04:05Z' OR n IN (1, 1.0, 1e400)\n{\"entity_type\":\"Order\",\"event_kind\":\"deleted\",\
      \"data\":{\"at\":\"2026-01-02T03:04:05.000001+01:00\",\"n\":100000000000000000000000000}}",
];

pub(crate) const NUMBERS: &[&[u8]] = &[
    b"100 1e2",
    b"-0.00 0",
    b"9223372036854775808 9223372036854775807.5",
    b"1e-999999999999 1E+999999999999",
    b"007 x",
];

#[cfg(feature = "host")]
pub(crate) const TEMPLATES: &[&[u8]] = &[
    b"{{name}} {{{name}}} {{&name}}\0{\"name\":\"<a&\\\"b>\",\"items\":[1,{\"x\":null}],\"n\":150.50}",
    b"{\"id\":{{{id}}},\"text\":\"{{default missing \"none\"}}\"}\0{\"id\":7}",
    b"{{#each items as |item index|}}{{@index}}{{#unless @last}},{{/unless}}{{json item}}{{else}}-{{/each}}\0{\"items\":[1,2,[3]]}",
    b"{{#if (gt n 100)}}{{upper name}}{{else if (eq n 1)}}{{~#with a.b~}}{{../n}}{{/with}}{{/if}}{{!-- {{x}} --}}\0{\"n\":101,\"name\":\"\xc3\xa9\",\"a\":{\"b\":{}}}",
    b"https://example.com/{{id}}?city={{urlencode city}}&d={{date at \"%Y-%m-%d\"}}\0{\"id\":\"../x\",\"city\":\"K\xc3\xb6ln\",\"at\":\"2026-01-02T03:04:05Z\"}",
    b"{{truncate (join items \", \") 5}}{{len name}}{{lookup items 0}}\0{\"items\":[\"a\",\"b\"],\"name\":\"x\"}",
];

#[cfg(feature = "host")]
pub(crate) const OBSERVER_FILES: &[&[u8]] = &[
    include_bytes!("../../../examples/actions/webhook.toml"),
    include_bytes!("../../../examples/actions/cache.toml"),
    b"observers:\n- name: a\n  entity_type: Order\n  condition: total > 1\n  retry: {max_attempts: 3}\n  actions:\n  - &x\n    type: log\n    message: \"{{id}}\"\n  - *x\n",
    b"{\"observers\":[{\"name\":\"a\",\"entity_type\":\"Order\",\"priority\":100,\"actions\":[{\"type\":\"log\",\"message\":\"m\"}]}]}",
];

#[cfg(feature = "host")]
pub(crate) const HTTP_ANSWERS: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
    b"HTTP/1.1 503 Busy\r\nretry-after: Wed, 21 Oct 2026 07:28:00 GMT\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 429 Too Many\r\nretry-after: 120\r\nx-ratelimit-reset: 99999999999999999999\r\nconnection: close\r\n\r\n",
    b"HTTP/1.1 307 R\r\nlocation: http://127.0.0.1:1/../a?b#c\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.0 200\r\ncontent-encoding: gzip\r\n\r\n\x1f\x8b\x08\0",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
];

#[cfg(feature = "host")]
pub(crate) const SMTP_REPLIES: &[&[u8]] = &[
    b"220 mail.example.com ESMTP\r\n250-mail.example.com\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go on\r\n250 2.0.0 queued\r\n221 bye\r\n",
    b"220 x\r\n250-x\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN XOAUTH2\r\n530 5.7.0 first\r\n",
    b"220-a\r\n220-b\r\n220 c\r\n502 no\r\n250 x\r\n451 4.7.1 greylisted, try again in 5 minutes\r\n",
    b"554 5.7.1 no service\r\n",
    b"220 x\r\n250 x\r\n250 ok\r\n550 5.1.1 <ana@example.com>: unknown\r\n421 4.3.2 closing\r\n",
];

#[cfg(feature = "host")]
pub(crate) const REDIS_REPLIES: &[&[u8]] = &[
    b"+OK\r\n",
    b"-WRONGTYPE not this one\r\n",
    b":-9223372036854775808\r\n",
    b"$5\r\nhello\r\n",
    b"$-1\r\n*-1\r\n",
    b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n+x\r\n",
    b"*2\r\n$1\r\n0\r\n*2\r\n$3\r\nfoo\r\n$3\r\nbar\r\n",
];

#[cfg(feature = "host")]
pub(crate) const MEMCACHED_REPLIES: &[&[u8]] = &[
    b"DELETED\r\n",
    b"NOT_FOUND\r\n",
    b"STORED\r\n",
    b"ERROR\r\n",
    b"CLIENT_ERROR bad data chunk\r\n",
    b"SERVER_ERROR out of memory storing object\r\n",
];
