//! Two runs compared: what has become slower, by more than noise can explain.
//!
//! *Holds*: machines differ from one hour to the next, so that what is compared is how many times as long as the others we take: a
//! time alone says nothing. Where nobody else did the same work the floor stands for them, and without a floor our own time.

use anyhow::ensure;
use serde::Serialize;

use crate::peers::{FLOOR, OURS};
use crate::results::{Figure, Results, quantile};

/// What became of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The workload, and how much of it.
    pub what: String,
    pub before: String,
    pub now: String,
    /// `+12 %`: so much slower.
    pub percent: String,
    /// How much may be noise.
    pub noise: String,
    pub is_regression: bool,
    /// `slower`, `faster`, or `as before`.
    pub word: &'static str,
}

/// What may be noise, however still a machine seems to be.
const NOISE_MIN: f64 = 0.10;

/// Each workload that both have.
///
/// # Errors
/// They have nothing in common, or were made of work of another size.
pub fn changes(before: &Results, now: &Results) -> anyhow::Result<Vec<Change>> {
    let (then, today) = (&before.machine, &now.machine);
    ensure!(then.scale == today.scale, "the baseline is of {} work and this run of {}", then.scale, today.scale);
    let ours = now.figures.iter().filter(|figure| figure.peer == OURS);
    let changes: Vec<Change> = ours
        .filter_map(|figure| {
            let earlier = before.figure(&figure.workload, figure.amount, OURS)?;
            Some(change(figure, earlier, before, now))
        })
        .collect();
    ensure!(!changes.is_empty(), "the baseline has none of the workloads of this run");
    Ok(changes)
}

fn change(figure: &Figure, earlier: &Figure, before: &Results, now: &Results) -> Change {
    // Each that did the same work in both runs says how much slower the machine has become; the middle one is believed.
    let factor_of = |other: &Figure| {
        let is_same = before.versions.get(&other.peer) == now.versions.get(&other.peer);
        let earlier = before.figure(&other.workload, other.amount, &other.peer).filter(|_| is_same)?;
        Some((other.median() / earlier.median(), other.noise() + earlier.noise()))
    };
    let others = now.figures.iter().filter(|other| other.workload == figure.workload && other.amount == figure.amount);
    let (floor, peers): (Vec<&Figure>, Vec<&Figure>) =
        others.filter(|other| other.peer != OURS).partition(|other| other.peer == FLOOR);
    let mut machine: Vec<(f64, f64)> = peers.into_iter().filter_map(factor_of).collect();
    if machine.is_empty() {
        machine = floor.into_iter().filter_map(factor_of).collect();
    }
    let slower =
        if machine.is_empty() { 1.0 } else { quantile(machine.iter().map(|(factor, _)| *factor).collect(), 0.5) };
    let of_machine = machine.iter().map(|(_, noise)| *noise).fold(0.0, f64::max);
    let factor = figure.median() / earlier.median() / slower;
    let noise = NOISE_MIN.max(figure.noise() + earlier.noise() + of_machine);
    let word = match factor {
        factor if factor > 1.0 + noise => "slower",
        factor if factor < 1.0 - noise => "faster",
        _ => "as before",
    };
    Change {
        what: format!("{} {}", figure.workload, figure.amount),
        before: format!("{:.2} ms", earlier.median() * 1e3),
        now: format!("{:.2} ms", figure.median() * 1e3),
        percent: format!("{:+.0} %", (factor - 1.0) * 100.0),
        noise: format!("{:.0} %", noise * 100.0),
        is_regression: word == "slower",
        word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(ours: f64, docker: f64) -> Results {
        let figure = |peer: &str, seconds: f64| Figure {
            workload: "pull".into(),
            amount: 1,
            peer: peer.into(),
            seconds: [0.99, 1.0, 1.01].map(|part| part * seconds).to_vec(),
            counts: None,
            space: None,
        };
        Results { figures: vec![figure("layerlab", ours), figure("docker", docker)], ..Results::default() }
    }

    #[test]
    fn what_became_slower_by_more_than_noise_is_told_and_a_slow_hour_is_not() {
        let words = |ours, docker| changes(&results(1.0, 5.0), &results(ours, docker)).unwrap()[0].word;
        assert_eq!(words(1.3, 5.0), "slower");
        assert_eq!(words(1.05, 5.0), "as before");
        assert_eq!(words(1.3, 6.5), "as before", "everybody takes longer");
        assert_eq!(words(0.7, 5.0), "faster");
        assert_eq!(words(1.0, 2.5), "slower", "everybody else has become faster");
    }

    #[test]
    fn another_version_of_a_peer_says_nothing_of_the_machine_and_nothing_in_common_is_no_success() {
        let mut now = results(1.0, 2.5);
        now.versions.insert("docker".into(), "27".into());
        assert_eq!(changes(&results(1.0, 5.0), &now).unwrap()[0].word, "as before");
        assert!(changes(&Results::default(), &now).is_err());
    }
}
