//! What a person reads: aligned, coloured on a terminal, plain in a pipe.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _},
};

/// Prints the story on standard output.
pub(super) struct Screen {
    color: bool,
    chapter: u32,
}

/// How a word is meant.
#[derive(Clone, Copy)]
pub(super) enum Tone {
    Good,
    Bad,
    Quiet,
    Strong,
}

impl Screen {
    pub(super) fn new() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { color: io::stdout().is_terminal() && !no_color, chapter: 0 }
    }

    pub(super) fn chapter(&mut self, title: &str) {
        self.chapter += 1;
        let number = self.paint(Tone::Strong, &format!("{:>2}", self.chapter));
        println!("\n{number}  {}", self.paint(Tone::Strong, title));
    }

    /// A line below a chapter: what kind of thing it is about, and what happened.
    pub(super) fn line(&self, kind: &str, text: impl Display) {
        println!("    {} {text}", self.paint(Tone::Quiet, &format!("{kind:<10}")));
    }

    pub(super) fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => 32,
            Tone::Bad => 31,
            Tone::Quiet => 2,
            Tone::Strong => 1,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
