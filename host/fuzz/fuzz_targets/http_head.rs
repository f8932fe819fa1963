//! Whatever an HTTP server answers, the client has an answer or an error within its bounds.

#![no_main]

use aftercommit_runtime::fuzzing::Peer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| Peer::with(|peer| peer.http(answer)));
