//! What was measured, as it is kept: one JSON document for a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::counts::Counts;

/// A run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    pub machine: Machine,
    /// Of each peer that was here, what it says it is.
    pub versions: BTreeMap<String, String>,
    /// What was not run, and why.
    pub skipped: Vec<String>,
    /// What did not do what it should have done, and how.
    pub failed: Vec<String>,
    pub figures: Vec<Figure>,
}

/// Where it was run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub kernel: String,
    pub processor: String,
    pub cores: usize,
    pub memory_bytes: u64,
    pub storage: String,
    /// `full` or `tiny`
    pub scale: String,
}

/// What one peer took for one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub workload: String,
    /// How much of it there was to do, in the workload's unit.
    pub amount: u64,
    pub peer: String,
    /// In the order in which they were taken.
    pub seconds: Vec<f64>,
    /// None for what is no process.
    pub counts: Option<Counts>,
    /// The median of what the file system had less of afterwards; none where that was not asked.
    #[serde(default)]
    pub space: Option<Space>,
}

/// What a file system has used: blocks and inodes, its own for directories among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    pub bytes: i64,
    pub inodes: i64,
}

impl Figure {
    /// The middle one.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// How far half of them lie from the median, at most (median absolute deviation).
    pub fn spread(&self) -> f64 {
        let median = self.median();
        quantile(self.seconds.iter().map(|seconds| (seconds - median).abs()).collect(), 0.5)
    }

    /// How far the median may be from what many more times would give: three standard errors of a median, in parts of it.
    pub fn noise(&self) -> f64 {
        /// Of a normal distribution: its standard deviation in median absolute deviations, and a median's error in a mean's.
        const ERROR: f64 = 1.4826 * 1.2533;
        3.0 * ERROR * self.spread() / (self.seconds.len() as f64).sqrt() / self.median()
    }

    /// What so many of them do not exceed.
    pub fn quantile(&self, part: f64) -> f64 {
        quantile(self.seconds.clone(), part)
    }
}

/// What so large a part of the values does not exceed, by interpolation between neighbours.
pub fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    let at = part * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    values[low] + (values[high] - values[low]) * (at - low as f64)
}

impl Results {
    /// Of a file that [`Results::write`] wrote.
    pub fn read(path: &Path) -> anyhow::Result<Results> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} holds no results", path.display()))
    }

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Notes a failure, and tells of it at once.
    pub fn fail(&mut self, what: String) {
        eprintln!("failed: {what}");
        self.failed.push(what);
    }

    /// What `peer` took for so much of a workload.
    pub fn figure(&self, workload: &str, amount: u64, peer: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.workload == workload && figure.amount == amount && figure.peer == peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lies_between_its_neighbours_and_a_spread_forgets_what_lies_far_out() {
        let seconds = vec![4.0, 1.0, 2.0, 3.0, 100.0, 2.0];
        let figure = Figure { workload: "w".into(), amount: 1, peer: "p".into(), seconds, counts: None, space: None };
        assert_eq!((figure.median(), figure.spread(), figure.quantile(1.0)), (2.5, 1.0, 100.0));
    }
}
