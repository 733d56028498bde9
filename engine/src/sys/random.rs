//! The operating system's clock and random source.

use jiff::Timestamp;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::world::{Clock, Entropy};

/// The system clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The kernel's random numbers, `getrandom(2)`.
pub struct KernelEntropy;

impl Entropy for KernelEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        let mut filled = 0;
        while filled < buffer.len() {
            // With valid flags and a valid buffer the call can only be interrupted; then it is asked again.
            if let Ok(count) = getrandom(&mut buffer[filled..], GetRandomFlags::empty()) {
                filled += count;
            }
        }
    }
}
