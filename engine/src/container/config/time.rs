//! An instant as Go writes it: RFC 3339 with as many of nine fractional digits as are needed, year 1 meaning "never".

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant with nanoseconds in UTC; [`Time::ZERO`] stands for something that has not happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Timestamp);

impl Time {
    /// Go's zero time, `0001-01-01T00:00:00Z`.
    pub const ZERO: Time = Time(Timestamp::constant(-62_135_596_800, 0));

    /// Whether this is "never".
    pub fn is_zero(self) -> bool {
        self == Time::ZERO
    }

    /// The instant itself.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl Default for Time {
    fn default() -> Time {
        Time::ZERO
    }
}

impl From<Timestamp> for Time {
    fn from(timestamp: Timestamp) -> Time {
        Time(timestamp)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Time).map_err(|error| serde::de::Error::custom(format!("invalid time {text:?}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_the_digits_go_would_write() {
        for text in [
            "0001-01-01T00:00:00Z",
            "2026-11-21T01:51:04Z",
            "2026-11-21T01:51:04.40784958Z",
            "2026-11-21T01:51:04.403887902Z",
            "2026-11-21T01:51:04.5Z",
        ] {
            let json = format!("{text:?}");
            let time: Time = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&time).unwrap(), json);
        }
        assert!(serde_json::from_str::<Time>("\"0001-01-01T00:00:00Z\"").unwrap().is_zero());
    }

    #[test]
    fn a_time_that_is_none_is_named_in_the_error() {
        let error = serde_json::from_str::<Time>("\"yesterday\"").unwrap_err().to_string();
        assert!(error.contains("yesterday"), "{error}");
    }
}
