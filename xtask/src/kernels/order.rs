//! What is asked for, by the words of the command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

const BACKINGS: [&str; 4] = ["ext4", "xfs", "btrfs", "tmpfs"];
/// Whoever is held against the laws when nobody is named.
const SUBJECTS: &str = "overlay,layerlab-overlay2";
const CASES: u64 = 6;
/// A played machine is some ten times as slow as a real one.
const LIMIT: Duration = Duration::from_secs(900);

/// What is asked for.
#[derive(Debug)]
pub struct Order {
    /// By their names in the list; all when empty.
    pub kernels: Vec<String>,
    pub backings: Vec<String>,
    /// As `layerlab-laws --subject` has them.
    pub subjects: String,
    /// As `layerlab-laws` has them; all when empty.
    pub laws: Vec<String>,
    pub cases: u64,
    pub seed: Option<u64>,
    /// A user's own kernel, and the directory of its modules.
    pub own: Option<(PathBuf, PathBuf)>,
    /// How long a machine may run.
    pub limit: Duration,
    /// Only say what there is.
    pub list: bool,
    /// Write the report.
    pub write: bool,
    /// What must have been run: kernels, file systems, and subjects.
    pub required: Vec<String>,
    /// Gets what came of each law, a line of JSON each.
    pub results: Option<PathBuf>,
}

impl Order {
    /// What these words mean.
    pub fn of(words: &[String]) -> anyhow::Result<Order> {
        let mut order = Order {
            kernels: Vec::new(),
            backings: BACKINGS.map(str::to_owned).to_vec(),
            subjects: SUBJECTS.to_owned(),
            laws: Vec::new(),
            cases: CASES,
            seed: None,
            own: None,
            limit: LIMIT,
            list: false,
            write: false,
            required: Vec::new(),
            results: None,
        };
        let (mut image, mut modules) = (None, None);
        let mut is_part = false;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().map(String::as_str).with_context(|| format!("{word} wants a value"));
            let number = |value: &str| value.parse().with_context(|| format!("{word} wants a number, not {value}"));
            is_part |= !["--write", "--cases", "--seed", "--limit", "--require", "--results"].contains(&word.as_str());
            match word.as_str() {
                "--kernel" => order.kernels = split(value()?),
                "--backing" => order.backings = split(value()?),
                "--subject" => value()?.clone_into(&mut order.subjects),
                "--cases" => order.cases = number(value()?)?,
                "--seed" => order.seed = Some(number(value()?)?),
                "--limit" => order.limit = Duration::from_secs(number(value()?)?),
                "--vmlinuz" => image = Some(PathBuf::from(value()?)),
                "--modules" => modules = Some(PathBuf::from(value()?)),
                "--require" => order.required = split(value()?),
                "--results" => order.results = Some(std::path::absolute(value()?)?),
                "--list" => order.list = true,
                "--write" => order.write = true,
                law if !law.starts_with('-') => order.laws.push(law.to_owned()),
                _ => bail!("what is meant by {word}? `cargo xtask` lists what kernels takes"),
            }
        }
        if let Some(unknown) = order.backings.iter().find(|backing| !BACKINGS.contains(&backing.as_str())) {
            bail!("there is no backing {unknown}; there are {}", BACKINGS.join(", "));
        }
        order.own = match (image, modules) {
            (Some(image), Some(modules)) => Some((image, modules)),
            (None, None) => None,
            _ => bail!("a kernel of your own takes both --vmlinuz FILE and --modules DIR (/lib/modules/RELEASE of it)"),
        };
        ensure!(
            order.own.is_none() || order.kernels.is_empty(),
            "--kernel is about the list, --vmlinuz about your own"
        );
        ensure!(
            !(order.write && is_part),
            "--write is about all kernels, file systems and laws: nothing else may be chosen"
        );
        Ok(order)
    }

    /// The words that run one of these kernels on one file system again.
    pub fn again(&self, kernel: &str, backing: &str, seed: u64) -> String {
        let kernel = match &self.own {
            Some((image, modules)) => format!("--vmlinuz {} --modules {}", image.display(), modules.display()),
            None => format!("--kernel {kernel}"),
        };
        let laws: String = self.laws.iter().map(|law| format!(" {law}")).collect();
        let (subjects, cases) = (&self.subjects, self.cases);
        format!(
            "cargo xtask kernels{laws} {kernel} --backing {backing} --subject {subjects} --cases {cases} --seed {seed}"
        )
    }
}

fn split(words: &str) -> Vec<String> {
    words.split(',').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(words: &str) -> anyhow::Result<Order> {
        Order::of(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_part_is_not_written_as_the_whole() {
        assert!(order("--write --cases 9 --seed 3").is_ok_and(|order| order.write && order.cases == 9));
        for words in ["--write --kernel 6.12", "--backing ext4 --write", "--write a-law", "--write --subject overlay"] {
            assert!(order(words).is_err(), "{words}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for words in
            ["--backing ext3", "--cases many", "--kernel", "--vmlinuz /k", "--vmlinuz /k --modules /m --kernel 6.1"]
        {
            assert!(order(words).is_err(), "{words}");
        }
    }

    #[test]
    fn what_broke_is_run_again_by_the_words_that_are_told() {
        let first = order("a-law --kernel 6.1,6.12 --subject overlay --cases 3").expect("an order");
        let again = order(first.again("6.12", "xfs", 5).strip_prefix("cargo xtask kernels").expect("a verb"))
            .expect("an order");
        assert_eq!(
            (again.kernels, again.backings, again.laws),
            (vec!["6.12".to_owned()], vec!["xfs".to_owned()], first.laws)
        );
        assert_eq!((&*again.subjects, again.cases, again.seed), ("overlay", 3, Some(5)));
    }
}
