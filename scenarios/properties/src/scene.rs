//! What is to be seen where a case broke a law: what should be there, what is, and how it was mounted.

use std::fmt;

use crate::case::{Case, View};
use crate::listing::compared;
use crate::tree::{self, Clock};

/// The end of a case.
#[derive(Debug, Clone)]
pub struct Scene {
    expected: View,
    actual: View,
    clock: Clock,
    mount_line: String,
}

impl Scene {
    /// Of the case as it is. `clock` holds what the model's readings of the clock turned out to be. The merged tree is not to be used
    /// afterwards.
    pub fn of(case: &Case, clock: Clock) -> Scene {
        let union = case.model().union();
        let actual = case.view().clone();
        let upper = actual.upper.as_ref().map(|_| tree::of_upper(union));
        let expected = View { merged: tree::of_union(union), upper };
        let mount_line = case.mount_line().unwrap_or_else(|error| format!("cannot be told: {error}"));
        Scene { expected, actual, clock, mount_line }
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "merged tree, - as it should be, + as it is:")?;
        write!(f, "{}", compared(&self.expected.merged, &self.actual.merged, &self.clock))?;
        match (&self.expected.upper, &self.actual.upper) {
            (Some(expected), Some(actual)) => {
                writeln!(f, "upper layer, - as it should be, + as it is:")?;
                write!(f, "{}", compared(expected, actual, &self.clock))?;
            }
            _ => writeln!(f, "upper layer: this subject keeps none that can be looked at")?,
        }
        writeln!(f, "mount: {}", self.mount_line)
    }
}
