//! How long something may go on: until a moment, and never longer than whoever began it wants (Ctrl-C, SIGTERM).
//!
//! *Why*: what was found in fifty minutes must not be lost in the fifty-first. *Holds*: who is asked to end goes on to the end of what it is at, tells what it has, and leaves nothing
//! behind; asked again, it ends at once. *Never*: a failure that came of being asked to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static IS_ENDED: AtomicBool = AtomicBool::new(false);

extern "C" fn end(_: i32) {
    IS_ENDED.store(true, Ordering::Relaxed);
}

/// From now on the first Ctrl-C, or SIGTERM, only asks for an end.
///
/// # Errors
/// When the kernel does not take a handler.
pub fn listen() -> nix::Result<()> {
    let flags = SaFlags::SA_RESTART | SaFlags::SA_RESETHAND;
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler stores one atomic value, and nothing else.
        unsafe { sigaction(signal, &SigAction::new(SigHandler::Handler(end), flags, SigSet::empty())) }?;
    }
    Ok(())
}

/// Whether somebody asked for an end.
pub fn is_ended() -> bool {
    IS_ENDED.load(Ordering::Relaxed)
}

/// Why something was not begun.
pub const LATE: &str = "its part of the time was over";

/// Until when something may go on.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    until: Option<Instant>,
}

impl Pace {
    /// As long as it takes.
    pub const FREE: Pace = Pace { until: None };

    /// For so long, from now on.
    pub fn of(time: Duration) -> Pace {
        Pace { until: Some(Instant::now() + time) }
    }

    /// Whether nothing further is to be begun.
    pub fn is_over(self) -> bool {
        is_ended() || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Whether it has an end of its own.
    pub fn is_timed(self) -> bool {
        self.until.is_some()
    }

    /// What is left of it, so many parts of so many.
    pub fn part(self, part: u32, of: u32) -> Pace {
        let left = |until: Instant| until.saturating_duration_since(Instant::now()) * part / of;
        self.until.map_or(self, |until| Pace::of(left(until)))
    }

    /// How much is left.
    pub fn left(self) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_over_when_it_is_over() {
        assert!(!Pace::FREE.is_over() && !Pace::FREE.part(1, 2).is_timed());
        let hour = Pace::of(Duration::from_secs(3600));
        assert!(!hour.is_over() && hour.left() > Some(Duration::from_secs(3000)));
        assert!(hour.part(1, 4).left() <= Some(Duration::from_secs(900)));
        assert!(Pace::of(Duration::ZERO).is_over());
    }
}
