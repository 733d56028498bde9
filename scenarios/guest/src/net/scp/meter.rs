//! The progress line of `scp`: name, per cent, amount, rate and time, drawn over itself about once a second.

use crate::say;
use rustix::termios::tcgetwinsize;
use std::io;
use std::time::{Duration, Instant};

/// What stands right of the name.
const NUMBERS_WIDTH: usize = 35;
const UNITS: [char; 5] = [' ', 'K', 'M', 'G', 'T'];

/// The line of one file.
pub struct Meter {
    name: String,
    size: u64,
    sent: u64,
    started: Instant,
    drawn: Instant,
}

impl Meter {
    pub fn start(name: &str, size: u64) -> Meter {
        let now = Instant::now();
        let meter = Meter { name: name.to_owned(), size, sent: 0, started: now, drawn: now };
        meter.draw();
        meter
    }

    pub fn advance(&mut self, bytes: u64) {
        self.sent += bytes;
        if self.drawn.elapsed() >= Duration::from_secs(1) && self.sent < self.size {
            self.drawn = Instant::now();
            self.draw();
        }
    }

    /// Draws the line a last time and leaves it.
    pub fn stop(self) {
        self.draw();
        say::text("\r\n");
        say::flush();
    }

    fn draw(&self) {
        let columns = tcgetwinsize(io::stdout()).ok().map_or(0, |size| usize::from(size.ws_col));
        let width = if columns == 0 { 80 } else { columns };
        say::text(line(&self.name, self.sent, self.size, self.started.elapsed(), width));
        say::flush();
    }
}

fn line(name: &str, sent: u64, size: u64, elapsed: Duration, width: usize) -> String {
    let name_width = width.saturating_sub(NUMBERS_WIDTH);
    let name: String = name.chars().take(name_width).collect();
    let left = size.saturating_sub(sent);
    let percent = if left == 0 { 100 } else { u128::from(sent) * 100 / u128::from(size) };
    let rate = (sent as f64 / elapsed.as_secs_f64().max(1e-6)) as u64;
    let time = match (rate, left) {
        (0, 1..) => "  --:-- ETA".to_owned(),
        (_, 0) => format!("{}    ", clock(elapsed.as_secs())),
        (rate, left) => format!("{} ETA", clock(left / rate)),
    };
    format!("\r{name:name_width$} {percent:>3}% {} {}/s {time}", amount(sent), pace(rate))
}

fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours == 0 { format!("  {minutes:02}:{seconds:02}") } else { format!("{hours}:{minutes:02}:{seconds:02}") }
}

/// Six characters: ` 528  `, `2930KB`.
fn amount(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes, 0);
    while value >= 10_000 && unit < UNITS.len() - 1 {
        value = (value + 512) / 1024;
        unit += 1;
    }
    format!("{value:>4}{}{}", UNITS[unit], if unit == 0 { ' ' } else { 'B' })
}

/// Seven characters: `528.7MB`.
fn pace(rate: u64) -> String {
    let (mut hundredths, mut unit) = (rate.saturating_mul(100), 0);
    while (hundredths >= 100_000 || unit == 0) && unit < UNITS.len() - 1 {
        hundredths = (hundredths + 512) / 1024;
        unit += 1;
    }
    format!("{:>3}.{}{}B", (hundredths + 5) / 100, (hundredths + 5) / 10 % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_file_is_told_as_openssh_tells_it() {
        let line = line("f", 3_000_000, 3_000_000, Duration::from_micros(5411), 80);
        assert_eq!(line, format!("\rf{}100% 2930KB 528.7MB/s   00:00    ", " ".repeat(45)));
    }

    #[test]
    fn a_file_that_is_on_its_way_has_a_time_of_arrival() {
        let begun = line("f", 0, 10, Duration::from_secs(0), 80);
        assert_eq!(begun, format!("\rf{}  0%    0     0.0KB/s   --:-- ETA", " ".repeat(45)));
        assert!(line("f", 1 << 20, 3 << 20, Duration::from_secs(1), 80).ends_with("33% 1024KB   1.0MB/s   00:02 ETA"));
    }
}
