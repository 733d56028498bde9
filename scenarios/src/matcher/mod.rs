//! Holds what came against what a page expects, and remembers what each name stands for.
//!
//! *Why*: ids, times and sizes differ from run to run, but the same id must stay the same id all along a page.
//! *Holds*: text without placeholders matches itself and nothing else (blanks at line ends apart); a failed match binds nothing.
//! *Never*: two names stand for one id, or one name for two.
//! *Proved by*: `scenarios/tests/matcher.rs`.

mod binding;
mod kind;
mod line;
mod lines;
mod report;

pub use binding::{Binding, Bindings, Clash, Origin};
pub use kind::candidate_lengths;
pub use line::{LineRules, match_line};
pub use lines::{Mismatch, match_output};
pub use report::unified_diff;
