//! What the host keeps beside a guest: its present call, its memory meter, and WASI when it asks for it.

use std::{sync::Arc, time::Instant};

use wasmtime::{ResourceLimiter, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::{
    calling::{contacts::Contacts, cpu::CpuMeter},
    egress::{Bounds, Egress, Permit},
    hostapi::{GuestRequests, LogSink},
    limits::Limits,
};

/// Which export is being called; it decides what the imports answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Describe,
    Check,
    Run,
}

/// One call of a guest, with its budgets.
pub(crate) struct Call {
    pub(crate) phase: Phase,
    pub(crate) permit: Arc<Permit>,
    pub(crate) egress: Arc<Egress>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) log: Arc<LogSink>,
    pub(crate) deadline: Instant,
    pub(crate) cpu: Arc<CpuMeter>,
    pub(crate) host_calls: u64,
    /// How many deliveries it is for; more than one in a batch.
    pub(crate) deliveries: usize,
    /// Where redirects led the last request, if it was redirected.
    pub(crate) redirected_to: Option<Arc<str>>,
    pub(crate) contacts: Arc<Contacts>,
}

/// The host ends a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum HostStop {
    #[error("more than {0} calls of the host")]
    HostCalls(u64),
    #[error("`{0}` can not be called now")]
    NotNow(&'static str),
}

impl Call {
    /// Counts a call of the host.
    pub(crate) fn host_call(&mut self) -> Result<(), HostStop> {
        self.host_calls += 1;
        if self.host_calls > self.limits.host_calls {
            Err(HostStop::HostCalls(self.limits.host_calls))
        } else {
            Ok(())
        }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds { deadline: self.deadline, response_bytes: self.limits.response_bytes }
    }
}

/// Sums the guest's memories and bounds the sum.
#[derive(Default)]
pub(crate) struct MemoryMeter {
    limit: usize,
    used: usize,
    /// A growth was refused.
    pub(crate) refused: bool,
}

impl MemoryMeter {
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used as u64
    }
}

/// Function references a table may hold, all tables together being bounded by the pool.
const MAX_TABLE_ELEMENTS: usize = 100_000;

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let sum = self.used.saturating_add(desired.saturating_sub(current));
        if sum > self.limit {
            self.refused = true;
            return Ok(false);
        }
        self.used = sum;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

/// Resources of WASI that the host holds for a guest at the same time: requests, streams, alarms, lists of headers.
pub(crate) const MAX_RESOURCES: usize = 2048;
/// One list of headers, as it stands in the host's memory.
const MAX_HEADERS_BYTES: usize = 32 << 10;
/// Random numbers at once: they are made without a pause.
const MAX_RANDOM_BYTES: u64 = 64 << 10;

/// The data of a guest's store.
pub(crate) struct Guest {
    pub(crate) call: Call,
    pub(crate) memory: MemoryMeter,
    wasi: Option<Box<Wasi>>,
}

struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    requests: GuestRequests,
}

impl Guest {
    pub(crate) fn new(call: Call) -> Self {
        let limit = usize::try_from(call.limits.memory_bytes()).unwrap_or(usize::MAX);
        Self { call, memory: MemoryMeter { limit, ..MemoryMeter::default() }, wasi: None }
    }

    /// Made when first used: most guests never do, and it costs as much as instantiating them.
    fn wasi(&mut self) -> &mut Wasi {
        let log = &self.call.log;
        self.wasi.get_or_insert_with(|| {
            // Empty: no files, no environment, no arguments, no sockets, no name lookup.
            let mut ctx = WasiCtx::builder();
            ctx.stdout(log.stream(false)).stderr(log.stream(true));
            ctx.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
            ctx.max_random_size(MAX_RANDOM_BYTES);
            let mut table = ResourceTable::new();
            table.set_max_capacity(MAX_RESOURCES);
            let mut http = WasiHttpCtx::new();
            http.set_field_size_limit(MAX_HEADERS_BYTES);
            Box::new(Wasi { ctx: ctx.build(), table, http, requests: GuestRequests::default() })
        })
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut wasi.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.wasi();
        let Self { call, wasi, .. } = self;
        let wasi = wasi.as_mut().expect("made above");
        wasi.requests.enter(call);
        WasiHttpCtxView { hooks: &mut wasi.requests, table: &mut wasi.table, ctx: &mut wasi.http }
    }
}
