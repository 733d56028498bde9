//! Sizes, spans of time and cut-off text in the form Docker prints for people.

use std::time::Duration;

use jiff::Timestamp;

const DECIMAL_UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY_UNITS: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/// Go's `time.Duration` ends after 292 years; Docker prints that for everything older.
const LONGEST_SECONDS: i64 = i64::MAX / 1_000_000_000;

/// `4.33MB`: three significant digits in powers of 1000, as listings have it.
pub fn size(bytes: u64) -> String {
    scaled(bytes, 1000.0, &DECIMAL_UNITS, 3)
}

/// `4.329MB`: four significant digits.
pub fn precise_size(bytes: u64) -> String {
    scaled(bytes, 1000.0, &DECIMAL_UNITS, 4)
}

/// `23.54GiB`: four significant digits in powers of 1024, as `docker info` tells the memory.
pub fn binary_size(bytes: u64) -> String {
    scaled(bytes, 1024.0, &BINARY_UNITS, 4)
}

fn scaled(bytes: u64, base: f64, units: &[&str; 9], digits: usize) -> String {
    let mut number = bytes as f64;
    let mut unit = 0;
    while number >= base && unit + 1 < units.len() {
        number /= base;
        unit += 1;
    }
    format!("{}{}", significant(number, digits), units[unit])
}

/// C's `%.{digits}g` for numbers of 0 and more: no trailing zeros, an exponent when the number has more whole digits.
fn significant(number: f64, digits: usize) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{number:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent >= digits as i32 {
        return format!("{}e+{exponent:02}", without_trailing_zeros(mantissa));
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    without_trailing_zeros(&format!("{number:.decimals$}")).to_owned()
}

fn without_trailing_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// `About a minute`, `2 weeks`: a span of time, as long as people care to know it.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    let hours = (seconds + 30 * 60) / (60 * 60);
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, ..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".to_owned(),
        (_, _, ..48) => format!("{hours} hours"),
        (_, _, ..336) => format!("{} days", hours / 24),
        (_, _, ..1440) => format!("{} weeks", hours / 24 / 7),
        (_, _, ..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// [`span`] from `then` to `now`; nothing when `then` is still to come.
pub fn span_since(then: Timestamp, now: Timestamp) -> String {
    let nanoseconds = (now.as_nanosecond() - then.as_nanosecond()).max(0);
    let longest = i128::from(LONGEST_SECONDS) * 1_000_000_000;
    span(Duration::from_nanos(u64::try_from(nanoseconds.min(longest)).unwrap_or(0)))
}

/// [`span_since`] the full second of `then`, as listings count the age of images and containers.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    let second = Timestamp::from_second(then.as_second()).unwrap_or(then);
    format!("{} ago", span_since(second, now))
}

/// Go's default form of a time in UTC: `2026-11-21 01:50:53 +0000 UTC`.
pub fn calendar(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

/// `text` in at most `length` characters, the last of which then is `…`.
pub fn ellipsis(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length.saturating_sub(1)).chain(['…']).collect()
}

/// The 12 characters of an ID that people read; the algorithm before it is dropped.
pub fn short_id(id: &str) -> &str {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.get(..12).unwrap_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_what_docker_printed() {
        let rows = [(0, "0B"), (16, "16B"), (999, "999B"), (1000, "1kB"), (4_329_802, "4.33MB"), (12_990_000, "13MB")];
        for (bytes, text) in
            rows.into_iter().chain([(1_982_256, "1.98MB"), (999_900, "1e+03kB"), (117_000_000, "117MB")])
        {
            assert_eq!(size(bytes), text);
        }
        let rows = [(4_329_491, "4.329MB"), (4_330_025, "4.33MB"), (36_450, "36.45kB"), (2048, "2.048kB")];
        for (bytes, text) in rows {
            assert_eq!(precise_size(bytes), text);
        }
        assert_eq!(binary_size(25_274_793_984), "23.54GiB");
    }

    #[test]
    fn spans_are_dockers_words() {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        let rows = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (2 * MINUTE, "2 minutes"),
            (59 * MINUTE + 59, "59 minutes"),
            (HOUR, "About an hour"),
            (89 * MINUTE, "About an hour"),
            (90 * MINUTE, "2 hours"),
            (47 * HOUR, "47 hours"),
            (2 * DAY, "2 days"),
            (13 * DAY, "13 days"),
            (14 * DAY, "2 weeks"),
            (59 * DAY, "8 weeks"),
            (60 * DAY, "2 months"),
            (729 * DAY, "24 months"),
            (730 * DAY, "2 years"),
        ];
        for (seconds, text) in rows {
            assert_eq!(span(Duration::from_secs(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn ages_count_from_the_full_second_and_end_at_292_years() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = time("2026-11-21T01:25:53.1Z");
        assert_eq!(age(time("2026-11-21T01:25:52.9Z"), now), "1 second ago");
        assert_eq!(span_since(time("2026-11-21T01:25:52.9Z"), now), "Less than a second");
        assert_eq!(age(time("0001-01-01T00:00:00Z"), now), "292 years ago");
        assert_eq!(calendar(time("2026-11-21T01:50:53.4Z")), "2026-11-21 01:50:53 +0000 UTC");
    }

    #[test]
    fn long_text_is_cut_with_an_ellipsis() {
        assert_eq!(ellipsis("sh -c 'echo out; echo err >&2'", 20), "sh -c 'echo out; ec…");
        assert_eq!(ellipsis("httpd-foreground", 20), "httpd-foreground");
        assert_eq!(short_id("sha256:90b2df92dea531905294138566d0a6d2"), "90b2df92dea5");
        assert_eq!(short_id("abc"), "abc");
    }
}
