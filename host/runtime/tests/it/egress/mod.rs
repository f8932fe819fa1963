//! The egress as an attacker sees it who wrote the plugin, the event's data, or the destination: each try by every import
//! that can express it. What is refused is a typed error for the guest, arrives nowhere, and stands in the audit if the
//! destination was denied.

mod addresses;
mod audit;
mod floods;
mod http2;
mod kept;
mod pools;
mod proxies;
mod redirects;
mod responses;
mod services;
mod smuggling;
mod way;
