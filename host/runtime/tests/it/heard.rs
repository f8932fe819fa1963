//! What is logged while a test runs, at every level and of every library; on this thread, where a test's tasks run too.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{Level, subscriber::DefaultGuard};
use tracing_subscriber::fmt::MakeWriter;

/// The log so far. Nothing more is heard once this is dropped.
pub(crate) struct Heard {
    text: Text,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

/// As long as a process has one subscriber only, a thread without one that comes first to a place where something is logged
/// decides that nobody wants to hear it, ever. So there are two.
static ANOTHER: LazyLock<tracing::Dispatch> =
    LazyLock::new(|| tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(io::sink).into());

/// Begins to listen.
pub(crate) fn listen() -> Heard {
    LazyLock::force(&ANOTHER);
    let text = Text::default();
    let log =
        tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false).with_writer(text.clone());
    Heard { text, _guard: tracing::subscriber::set_default(log.finish()) }
}

impl Heard {
    /// All of it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.0.lock().unwrap()).into_owned()
    }

    /// Lines of the audit since the last call of this.
    pub(crate) fn audit(&self) -> Vec<String> {
        let taken = std::mem::take(&mut *self.text.0.lock().unwrap());
        let taken = String::from_utf8_lossy(&taken).into_owned();
        taken.lines().filter(|line| line.contains("aftercommit::audit")).map(str::to_owned).collect()
    }
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Text {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}
