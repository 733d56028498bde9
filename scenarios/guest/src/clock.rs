//! Times as text: what `date -d`, `touch -d` and `touch -t` read, and what `ls -l` and `stat` print.

use crate::os;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds and nanoseconds since the epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    pub seconds: i64,
    pub nanoseconds: u32,
}

impl Instant {
    pub fn now() -> Instant {
        Instant::from_system(SystemTime::now())
    }

    pub fn from_system(time: SystemTime) -> Instant {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Instant {
                seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: after.subsec_nanos(),
            },
            Err(before) => {
                Instant { seconds: -i64::try_from(before.duration().as_secs()).unwrap_or(0), nanoseconds: 0 }
            }
        }
    }

    /// strftime with GNU's `%N` (nanoseconds), `%:z` and `%-d`.
    pub fn format(self, format: &str, utc: bool) -> String {
        let tm = os::broken_down(self.seconds, utc);
        let zone = os::strftime("%z", &tm);
        let colon_zone = if zone.len() == 5 { format!("{}:{}", &zone[..3], &zone[3..]) } else { zone };
        let expanded = format
            .replace("%N", &format!("{:09}", self.nanoseconds))
            .replace("%3N", &format!("{:03}", self.nanoseconds / 1_000_000))
            .replace("%:z", &colon_zone);
        os::strftime(&expanded, &tm)
    }

    /// `ls -l`'s time: the hour within the last half year, else the year.
    pub fn listed(self) -> String {
        const HALF_YEAR: i64 = 31_556_952 / 2;
        let now = Instant::now().seconds;
        let recent = self.seconds <= now && self.seconds > now - HALF_YEAR;
        self.format(if recent { "%b %e %H:%M" } else { "%b %e  %Y" }, false)
    }

    /// `stat`'s time.
    pub fn full(self) -> String {
        self.format("%Y-%m-%d %H:%M:%S.%N %z", false)
    }
}

/// Reads `@SECONDS`, `now`, `YYYY-MM-DD`, `YYYY-MM-DD[T ]HH:MM[:SS[.FRACTION]]`, each with an optional `Z`, `UTC` or
/// `+HH:MM`.
pub fn parse(text: &str, utc: bool) -> Option<Instant> {
    let text = text.trim();
    if text == "now" || text.is_empty() {
        return Some(Instant::now());
    }
    if let Some(seconds) = text.strip_prefix('@') {
        let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
        return Some(Instant { seconds: whole.parse().ok()?, nanoseconds: nanoseconds(fraction)? });
    }
    let (body, zone_seconds) = split_zone(text)?;
    let (date, time) = body.split_once(['T', ' ']).unwrap_or((body, "00:00"));
    let mut parts = date.split('-').map(|part| part.parse::<i32>());
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let mut clock = time.trim().split(':');
    let (hour, minute) = (clock.next()?.parse().ok()?, clock.next()?.parse().ok()?);
    let (second, fraction) = match clock.next() {
        None => (0, ""),
        Some(second) => {
            let (whole, fraction) = second.split_once('.').unwrap_or((second, ""));
            (whole.parse().ok()?, fraction)
        }
    };
    let mut tm = os::empty_time();
    (tm.tm_year, tm.tm_mon, tm.tm_mday) = (year - 1900, month - 1, day);
    (tm.tm_hour, tm.tm_min, tm.tm_sec) = (hour, minute, second);
    let seconds = os::seconds_of(tm, utc || zone_seconds.is_some()) - zone_seconds.unwrap_or(0);
    Some(Instant { seconds, nanoseconds: nanoseconds(fraction)? })
}

fn split_zone(text: &str) -> Option<(&str, Option<i64>)> {
    for suffix in ["Z", " UTC", " GMT"] {
        if let Some(body) = text.strip_suffix(suffix) {
            return Some((body, Some(0)));
        }
    }
    let Some(at) = text.rfind(['+', '-']).filter(|at| *at > 10) else { return Some((text, None)) };
    let digits: String = text[at + 1..].chars().filter(char::is_ascii_digit).collect();
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..4).unwrap_or("0").parse().ok()?;
    let sign = if text[at..].starts_with('-') { -1 } else { 1 };
    Some((text[..at].trim_end(), Some(sign * (hours * 3600 + minutes * 60))))
}

fn nanoseconds(fraction: &str) -> Option<u32> {
    if fraction.is_empty() {
        return Some(0);
    }
    format!("{fraction:0<9}").get(..9)?.parse().ok()
}

/// Reads `touch -t`'s `[[CC]YY]MMDDhhmm[.ss]`.
pub fn parse_stamp(text: &str) -> Option<Instant> {
    let (body, seconds) = text.split_once('.').unwrap_or((text, "00"));
    let body = match body.len() {
        8 => format!("{}{body}", Instant::now().format("%Y", false)),
        10 => format!("{}{body}", if body.get(..2)? < "69" { "20" } else { "19" }),
        12 => body.to_owned(),
        _ => return None,
    };
    let at = |from: usize, to: usize| body.get(from..to);
    parse(&format!("{}-{}-{} {}:{}:{seconds}", at(0, 4)?, at(4, 6)?, at(6, 8)?, at(8, 10)?, at(10, 12)?), false)
}

/// Reads `sleep`'s sum of numbers with suffixes s, m, h, d.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, factor) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (
            number,
            [("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)]
                .iter()
                .find(|(suffix, _)| text.ends_with(suffix))
                .map_or(1.0, |(_, factor)| *factor),
        ),
        None => (text, 1.0),
    };
    if number == "infinity" || number == "inf" {
        return Some(Duration::from_secs(u64::from(u32::MAX)));
    }
    let seconds: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(seconds * factor).ok()
}
