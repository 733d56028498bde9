//! What a campaign came to: how each kind of step came out and how often, what each law had to judge, and what never came.

use std::collections::{BTreeMap, BTreeSet};

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};

use crate::laws::Judged;

/// The outcome of a step that was done.
const DONE: &str = "ok";

/// How often each kind of step came out how, and what laws made of it.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    outcomes: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// Steps that were drawn and left out, since nothing is promised of them.
    unpromised: BTreeMap<&'static str, u64>,
    laws: BTreeMap<&'static str, Judgements>,
}

/// What a law had to judge.
#[derive(Debug, Clone, Default)]
struct Judgements {
    held: u64,
    /// What the subject has not and the law would ask about.
    lacking: Option<&'static str>,
    /// The promise by which it says so.
    unpromised: Option<&'static str>,
}

impl Counts {
    /// Counts one step.
    pub fn add(&mut self, step: &Step, result: &Result<Answer, Errno>) {
        let outcome = match result {
            Ok(_) => DONE.to_owned(),
            Err(errno) => errno.to_string(),
        };
        self.count(step.operation.word(), &outcome);
    }

    /// Counts one of what `word` stands for, with its outcome.
    pub fn count(&mut self, word: &'static str, outcome: &str) {
        *self.outcomes.entry(word).or_default().entry(outcome.to_owned()).or_default() += 1;
    }

    /// Counts a step that was left out because nothing is promised of it.
    pub fn leave_out(&mut self, step: &Step) {
        *self.unpromised.entry(step.operation.word()).or_default() += 1;
    }

    /// Counts what a law made of one step.
    pub fn judge(&mut self, law: &'static str, judged: Judged) {
        let judgements = self.laws.entry(law).or_default();
        match judged {
            Judged::Held => judgements.held += 1,
            Judged::NotAsked => {}
            Judged::Lacking(what) => judgements.lacking = Some(what),
            Judged::Unpromised(what, promise) => {
                (judgements.lacking, judgements.unpromised) = (Some(what), Some(promise));
            }
        }
    }

    /// Takes in those of another shard.
    pub fn merge(&mut self, other: Counts) {
        for (word, outcomes) in other.outcomes {
            for (outcome, count) in outcomes {
                *self.outcomes.entry(word).or_default().entry(outcome).or_default() += count;
            }
        }
        for (word, count) in other.unpromised {
            *self.unpromised.entry(word).or_default() += count;
        }
        for (law, Judgements { held, lacking, unpromised }) in other.laws {
            let judgements = self.laws.entry(law).or_default();
            judgements.held += held;
            judgements.lacking = judgements.lacking.or(lacking);
            judgements.unpromised = judgements.unpromised.or(unpromised);
        }
    }

    /// Those of `words` that were never counted.
    pub fn missing(&self, words: &[&'static str]) -> Vec<&'static str> {
        words.iter().copied().filter(|word| !self.outcomes.contains_key(word)).collect()
    }

    /// All steps that were done.
    pub fn total(&self) -> u64 {
        self.outcomes.values().flat_map(BTreeMap::values).sum()
    }

    /// The steps that were left out.
    pub fn left_out(&self) -> u64 {
        self.unpromised.values().sum()
    }

    /// The judgements of all laws.
    pub fn judgements(&self) -> u64 {
        self.laws.values().map(|law| law.held).sum()
    }

    /// How often `law` had something to judge.
    pub fn judgements_of(&self, law: &str) -> u64 {
        self.laws.get(law).map_or(0, |law| law.held)
    }

    /// The promise that the subject does not make, where `law` had nothing to judge for that.
    pub fn unpromised_to(&self, law: &str) -> Option<&'static str> {
        self.laws.get(law).filter(|law| law.held == 0)?.unpromised
    }

    /// Those of `laws` that had nothing to judge, by the reason.
    pub fn idle<'a>(&self, laws: impl Iterator<Item = &'a str>, subject: &str) -> BTreeMap<String, Vec<&'a str>> {
        let mut idle: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for law in laws.filter(|law| self.judgements_of(law) == 0) {
            let reason = match self.laws.get(law).and_then(|law| law.lacking) {
                Some(what) => format!("{subject} has no {what}"),
                None => "no step brought what it judges".to_owned(),
            };
            idle.entry(reason).or_default().push(law);
        }
        idle
    }

    /// A line for each kind of step, its outcomes behind it; then what was left out, and how often each law had something to judge.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let outcomes = self.outcomes.iter().map(|(word, outcomes)| {
            let all: Vec<String> = outcomes.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
            format!("{word:<13} {:>8}  {}", outcomes.values().sum::<u64>(), all.join(", "))
        });
        let unpromised = self.unpromised.iter().map(|(word, count)| format!("{word} {count}"));
        let judged = self.laws.iter().map(|(law, judgements)| format!("{law} {}", judgements.held));
        outcomes.chain(list("left out, as nothing is promised", unpromised)).chain(list("judged", judged))
    }

    /// What of all that steps can be and come to never came: a line each.
    pub fn never(&self) -> impl Iterator<Item = String> {
        let undrawn = self.missing(&Operation::WORDS).into_iter();
        let undone = self.outcomes.iter().filter(|(_, outcomes)| !outcomes.contains_key(DONE)).map(|(word, _)| word);
        let met: BTreeSet<&str> = self.outcomes.values().flat_map(BTreeMap::keys).map(String::as_str).collect();
        let unmet = Errno::GIVEN.iter().map(ToString::to_string).filter(|errno| !met.contains(errno.as_str()));
        list("never drawn", undrawn.map(ToString::to_string))
            .chain(list("drawn, but never done", undone.map(ToString::to_string)))
            .chain(list("refusals that never came", unmet))
    }
}

/// One line of all `items`; none without any.
fn list(title: &str, items: impl Iterator<Item = String>) -> std::option::IntoIter<String> {
    let items: Vec<String> = items.collect();
    (!items.is_empty()).then(|| format!("{title}: {}", items.join(", "))).into_iter()
}

#[cfg(test)]
mod tests {
    use layerlab_model::operation::User;
    use layerlab_model::text::Text;

    use super::*;

    #[test]
    fn what_never_came_is_named() {
        let mut counts = Counts::default();
        let mkdir = Step { user: User::Root, operation: Operation::Mkdir { path: Text::from("/a"), mode: 0o755 } };
        let rmdir = Step { user: User::Root, operation: Operation::Rmdir { path: Text::from("/a") } };
        counts.add(&mkdir, &Ok(Answer::Done));
        counts.add(&rmdir, &Err(Errno::NOTEMPTY));
        counts.leave_out(&rmdir);
        let never: Vec<String> = counts.never().collect();
        assert!(never[0].starts_with("never drawn: ") && never[0].contains("chmod"), "{never:?}");
        assert!(!never[0].contains("mkdir") && !never[0].contains("rmdir"), "{never:?}");
        assert_eq!(never[1], "drawn, but never done: rmdir");
        assert!(never[2].contains("ENOENT") && !never[2].contains("ENOTEMPTY"), "{never:?}");
        assert!(counts.lines().any(|line| line == "left out, as nothing is promised: rmdir 1"));
        assert_eq!((counts.total(), counts.left_out()), (2, 1));
    }

    #[test]
    fn a_law_that_had_nothing_to_judge_says_why() {
        let (mut counts, mut other) = (Counts::default(), Counts::default());
        counts.judge("a", Judged::NotAsked);
        counts.judge("b", Judged::Held);
        other.judge("a", Judged::Lacking("tail"));
        counts.merge(other);
        let idle = counts.idle(["a", "b", "c"].into_iter(), "a guinea pig");
        let expected = [("a guinea pig has no tail", "a"), ("no step brought what it judges", "c")];
        assert_eq!(idle, expected.map(|(why, law)| (why.to_owned(), vec![law])).into());
        assert_eq!(counts.judgements(), 1);
    }
}
