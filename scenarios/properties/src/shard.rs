//! A part of a campaign, so that several machines can share one: `2/3` is the second of three.

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
    fn what_is_no_part_is_refused() {
        for text in ["0/3", "4/3", "1/0", "1", "a/b", "-1/3", "1/3/5"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert_eq!("2/3".parse::<Shard>().unwrap().to_string(), "2/3");
    }
}
