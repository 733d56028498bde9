//! A part of a campaign, so that several machines can share one: `2/3` is the second of three, `index/3` the one whose number the machine was given.

use std::fmt;
use std::str::FromStr;

/// Which of how many parts; every case of the whole is in exactly one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    number: u64,
    count: u64,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Shard = Shard { number: 1, count: 1 };

    /// Whether it does what is done once.
    pub fn is_first(self) -> bool {
        self.number == 1
    }

    /// The cases of one thread of `threads`, counted from 0, without an end. All threads together have the shard's cases, each
    /// of them once.
    pub fn cases(self, thread: u64, threads: u64) -> impl Iterator<Item = u64> {
        let step = usize::try_from(self.count * threads).unwrap_or(usize::MAX);
        (self.number - 1 + self.count * thread..).step_by(step)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let given = match text.strip_prefix("index/") {
            Some(count) => Some(format!("{}/{count}", given_number(|name| std::env::var(name).ok())?)),
            None => None,
        };
        let text = given.as_deref().unwrap_or(text);
        let parts = text.split_once('/').and_then(|(number, count)| Some((number.parse().ok()?, count.parse().ok()?)));
        match parts {
            // The bound keeps a thread's steps far from what a number holds.
            Some((number, count)) if number >= 1 && number <= count && count <= u64::from(u16::MAX) => {
                Ok(Shard { number, count })
            }
            _ => Err(format!("'{text}' is no part: the second of three is 2/3")),
        }
    }
}

/// Variables with a machine's number, and what the first one's is: of Kubernetes' indexed jobs, and of CI matrices (GitLab, CircleCI).
const INDEXES: [(&str, u64); 3] = [("JOB_COMPLETION_INDEX", 0), ("CI_NODE_INDEX", 1), ("CIRCLE_NODE_INDEX", 0)];

/// The number that this machine was given, from 1.
fn given_number(variable: impl Fn(&str) -> Option<String>) -> Result<u64, String> {
    let given = INDEXES.iter().find_map(|(name, first)| variable(name).map(|value| (name, first, value)));
    let Some((name, first, value)) = given else {
        let names: Vec<&str> = INDEXES.iter().map(|(name, _)| *name).collect();
        return Err(format!("'index' is the number that a machine was given, and none of {} is set", names.join(", ")));
    };
    let number = value.parse::<u64>().ok().and_then(|index| (index + 1).checked_sub(*first));
    number.ok_or_else(|| format!("{name} is '{value}', which is no number"))
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shards_together_have_every_case_once() {
        for (count, threads) in [(1, 1), (1, 3), (3, 2), (7, 1)] {
            let mut all: Vec<u64> = (1..=count)
                .map(|number| format!("{number}/{count}").parse::<Shard>().unwrap())
                .flat_map(|shard| (0..threads).map(move |thread| shard.cases(thread, threads)))
                .flat_map(|cases| cases.take_while(|case| *case < 100))
                .collect();
            all.sort_unstable();
            assert_eq!(all, (0..100).collect::<Vec<_>>(), "{count} shards of {threads} threads");
        }
    }

    #[test]
    fn a_machine_is_given_its_number() {
        let given =
            |name: &'static str, value: &'static str| given_number(|asked| (asked == name).then(|| value.to_owned()));
        assert_eq!(given("JOB_COMPLETION_INDEX", "0"), Ok(1));
        assert_eq!(given("CI_NODE_INDEX", "3"), Ok(3));
        assert_eq!(given("CIRCLE_NODE_INDEX", "2"), Ok(3));
        assert!(given("CI_NODE_INDEX", "x").unwrap_err().contains("which is no number"));
        assert!(given("OTHER", "1").unwrap_err().contains("none of JOB_COMPLETION_INDEX"));
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for text in ["0/3", "4/3", "1/0", "1", "a/b", "-1/3", "1/3/5"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert_eq!("2/3".parse::<Shard>().unwrap().to_string(), "2/3");
    }
}
