//! `--filter KIND=VALUE`: reading it, and what several verbs filter by: labels, and a moment in time.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::messages::Failure;
use crate::dockerfile::duration;

/// One `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub kind: String,
    pub value: String,
}

/// Reads `name=web` and the like.
pub fn filter(text: &str) -> Result<Filter, String> {
    let (kind, value) = text.split_once('=').ok_or("bad format of filter (expected name=value)")?;
    Ok(Filter { kind: kind.trim().to_lowercase(), value: value.trim().to_owned() })
}

/// A kind or a value that there is not.
pub fn invalid(what: &str) -> Failure {
    refused(&format!("Invalid filter '{what}'"))
}

/// What dockerd says to a filter that makes no sense.
pub fn refused(reason: &str) -> Failure {
    Failure::new(format!("Error response from daemon: {reason}"))
}

/// Whether there is the label `wanted`: `key`, or `key=value`.
pub fn has_label(labels: Option<&BTreeMap<String, String>>, wanted: &str) -> bool {
    let (key, value) = wanted.split_once('=').map_or((wanted, None), |(key, value)| (key, Some(value)));
    let found = labels.and_then(|labels| labels.get(key));
    found.is_some_and(|found| value.is_none_or(|value| value == found))
}

/// What is pruned: everything of the verb's kind, unless somebody says less.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneFilters {
    until: Option<Timestamp>,
    labels: Vec<String>,
    other_labels: Vec<String>,
    /// The values of `dangling`.
    pub dangling: Vec<String>,
}

impl PruneFilters {
    /// Sorts `filters`; `has_dangling`: the verb knows that kind too.
    pub fn new(filters: &[Filter], has_dangling: bool, now: Timestamp) -> Result<PruneFilters, Failure> {
        let mut sorted = PruneFilters::default();
        for Filter { kind, value } in filters {
            match kind.as_str() {
                "until" if sorted.until.is_some() => return Err(refused("more than one until filter specified")),
                "until" => sorted.until = Some(moment(value, now).map_err(|reason| refused(&reason))?),
                "label" => sorted.labels.push(value.clone()),
                "label!" => sorted.other_labels.push(value.clone()),
                "dangling" if has_dangling => sorted.dangling.push(value.clone()),
                other => return Err(invalid(other)),
            }
        }
        Ok(sorted)
    }

    /// Whether something made then, with these labels, is to go.
    pub fn fit(&self, created: Timestamp, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.until.is_none_or(|until| created <= until)
            && self.labels.iter().all(|label| has_label(labels, label))
            && (self.other_labels.is_empty() || !self.other_labels.iter().all(|label| has_label(labels, label)))
    }
}

/// `1h30m` before now, a date with or without a time (in UTC where it names no zone), or seconds since 1970.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let in_utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let ago = duration::parse(text).ok();
    let ago = ago.and_then(|nanoseconds| now.checked_sub(SignedDuration::from_nanos(nanoseconds)).ok());
    let found = ago
        .or_else(|| text.parse::<Timestamp>().ok())
        .or_else(|| text.parse::<DateTime>().ok().and_then(in_utc))
        .or_else(|| text.parse::<Date>().ok().and_then(|date| in_utc(date.to_datetime(jiff::civil::Time::midnight()))))
        .or_else(|| text.parse::<i64>().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()));
    found.ok_or_else(|| format!("failed to parse value as time or duration: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    fn sorted(texts: &[&str]) -> Result<PruneFilters, Failure> {
        let filters: Vec<Filter> = texts.iter().map(|text| filter(text).unwrap()).collect();
        PruneFilters::new(&filters, false, now())
    }

    #[test]
    fn a_moment_is_a_span_before_now_a_date_or_a_number_of_seconds() {
        let rows = [
            ("1h30m", "2026-11-21T10:30:00Z"),
            ("2026-11-20", "2026-11-20T00:00:00Z"),
            ("2026-11-20T01:02:03", "2026-11-20T01:02:03Z"),
            ("2026-11-20T01:02:03+01:00", "2026-11-20T00:02:03Z"),
            ("86400", "1970-01-02T00:00:00Z"),
        ];
        for (text, expected) in rows {
            assert_eq!(moment(text, now()).unwrap().to_string(), expected, "{text}");
        }
        let refused = "failed to parse value as time or duration: \"nope\"";
        assert_eq!(moment("nope", now()).unwrap_err(), refused);
    }

    #[test]
    fn labels_and_age_narrow_what_goes() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let old = "2026-11-21T10:00:00Z".parse().unwrap();
        let rows = [
            (vec![], true),
            (vec!["label=a"], true),
            (vec!["label=a=1", "label=b"], false),
            (vec!["label!=a"], false),
            (vec!["label!=b"], true),
            (vec!["until=1h"], true),
            (vec!["until=3h"], false),
        ];
        for (texts, expected) in rows {
            assert_eq!(sorted(&texts).unwrap().fit(old, Some(&labels)), expected, "{texts:?}");
        }
    }

    #[test]
    fn what_is_no_filter_is_named() {
        assert_eq!(filter("nope").unwrap_err(), "bad format of filter (expected name=value)");
        assert_eq!(sorted(&["x=1"]).unwrap_err().text, "Error response from daemon: Invalid filter 'x'");
        assert_eq!(
            sorted(&["dangling=true"]).unwrap_err().text,
            "Error response from daemon: Invalid filter 'dangling'"
        );
        assert!(sorted(&["until=1h", "until=2h"]).unwrap_err().text.contains("more than one until"));
    }
}
