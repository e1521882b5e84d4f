//! The lines that `up` prints: a stage and the time since the start. A daemon in the background writes them to the pipe that its
//! parent reads; when the parent has gone they are dropped.
use std::io::Write;
use std::time::Instant;

/// The line after which the parent may go.
pub const READY: &str = "ready";

pub struct Progress {
    begun: Instant,
}

impl Progress {
    pub fn start() -> Progress {
        Progress { begun: Instant::now() }
    }

    /// `node ready            612 ms`
    pub fn stage(&self, name: &str) {
        self.say(&format!("{name:<16} {:>6} ms", self.begun.elapsed().as_millis()));
        tracing::info!(stage = name, ms = self.begun.elapsed().as_millis() as u64, "stage done");
    }

    pub fn say(&self, line: &str) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}
