//! Signals by the names and numbers that dockerd knows (its `SignalMap` for Linux).

use std::str::FromStr;

use nix::sys::signal::Signal;

use super::EngineError;

/// The real-time signals that the C library leaves to programs.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;
/// `RTMIN` counts up to this, `RTMAX` down to one less.
const RTMIN_STEPS_MAX: i32 = 15;

/// The number of a signal given as `SIGTERM`, `term`, `RTMIN+3` or `15`. Any number but 0 may be said; whether there is such a
/// signal is [`is_known`]'s question.
pub(super) fn number(signal: &str) -> Result<i32, EngineError> {
    let invalid = || EngineError::InvalidSignal(signal.to_owned());
    if let Ok(number) = signal.parse::<i32>() {
        return if number == 0 { Err(invalid()) } else { Ok(number) };
    }
    let upper = signal.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = match name {
        "CLD" => Some(libc::SIGCHLD),
        "POLL" => Some(libc::SIGIO),
        "IOT" => Some(libc::SIGABRT),
        _ => real_time(name).or_else(|| Signal::from_str(&format!("SIG{name}")).ok().map(|signal| signal as i32)),
    };
    known.ok_or_else(invalid)
}

fn real_time(name: &str) -> Option<i32> {
    let steps = |text: &str, sign: char, most: i32| match text {
        "" => Some(0),
        _ => text.strip_prefix(sign)?.parse::<i32>().ok().filter(|steps| (1..=most).contains(steps)),
    };
    match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => Some(REAL_TIME.start() + steps(rest, '+', RTMIN_STEPS_MAX)?),
        (_, Some(rest)) => Some(REAL_TIME.end() - steps(rest, '-', RTMIN_STEPS_MAX - 1)?),
        _ => None,
    }
}

/// Whether this system has the signal.
pub(super) fn is_known(number: i32) -> bool {
    REAL_TIME.contains(&number) || Signal::try_from(number).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (text, expected) in [
            ("SIGWINCH", libc::SIGWINCH),
            ("winch", libc::SIGWINCH),
            ("28", libc::SIGWINCH),
            ("CLD", libc::SIGCHLD),
            ("iot", libc::SIGABRT),
            ("SIGPOLL", libc::SIGIO),
            ("SIGRTMIN", 34),
            ("rtmin+3", 37),
            ("RTMAX-14", 50),
            ("RTMAX", 64),
            ("99", 99),
        ] {
            assert_eq!(number(text).unwrap(), expected, "{text}");
        }
        for text in ["NOPE", "0", "RTMIN+16", "RTMAX-15", "RTMIN-1", "RTMIN3", "RTMIN+", ""] {
            assert_eq!(number(text).unwrap_err().to_string(), format!("Invalid signal: {text}"));
        }
    }

    #[test]
    fn what_no_system_has_is_not_known() {
        for (number, expected) in [(1, true), (16, true), (31, true), (32, false), (34, true), (64, true), (65, false)]
        {
            assert_eq!(is_known(number), expected, "{number}");
        }
        assert!(!is_known(-1));
    }
}
