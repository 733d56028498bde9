//! What came of the mutants, as Markdown: the score, who is left, file by file, and who sees how many.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::explained::Explained;
use super::survey::{Came, Mutant, Survey};
use super::{CASES, EXPLAINED};

/// How many of some came out how.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    killed: usize,
    timed_out: usize,
    survived: usize,
    unviable: usize,
}

impl Counts {
    fn of<'a>(mutants: impl Iterator<Item = &'a Mutant>) -> Counts {
        let mut counts = Counts::default();
        for mutant in mutants {
            *match mutant.came {
                Came::Killed(_) => &mut counts.killed,
                Came::TimedOut => &mut counts.timed_out,
                Came::Survived => &mut counts.survived,
                Came::Unviable => &mut counts.unviable,
            } += 1;
        }
        counts
    }

    /// Of a hundred that compile, so many are noticed.
    fn score(self) -> String {
        let noticed = self.killed + self.timed_out;
        match noticed + self.survived {
            0 => "–".to_owned(),
            asked => format!("{} %", 100 * noticed / asked),
        }
    }

    fn cells(self) -> String {
        let Counts { killed, timed_out, survived, unviable } = self;
        format!("{killed} | {timed_out} | {survived} | {unviable} | {}", self.score())
    }
}

/// The whole page.
pub fn page(survey: &Survey, explained: &Explained) -> String {
    let counts = Counts::of(survey.mutants.iter());
    let parts = match &survey.parts[..] {
        [whole] if whole == "0/1" => "all of them".to_owned(),
        parts => format!("parts {}", parts.join(", ")),
    };
    let mut text = format!(
        "# Changes to the engine that nobody chose\n\n\
         Written by `cargo xtask mutants`: {} changes one place of `engine/src/layer`, `driver` and `store` at a time, and laws, laws of stores, laws\n\
         of received layers and promises of drivers ({CASES} cases on `overlay2`, and a part on others) are asked whether they see it; the engine's own\n\
         tests are not. Why one is not seen stands in `{EXPLAINED}`.\n\n\
         {} of {} mutants were asked ({parts}): {} seen, {} without an end, {} not seen, {} do not compile. Score: {}.\n\n",
        survey.tool,
        survey.mutants.len(),
        survey.all.len(),
        counts.killed,
        counts.timed_out,
        counts.survived,
        counts.unviable,
        counts.score(),
    );
    let (told, untold): (Vec<_>, Vec<_>) = survey.survivors().partition(|mutant| explained.why(mutant).is_some());
    if !untold.is_empty() {
        text += "## Not seen, and not explained\n\n";
        for mutant in untold {
            let _ = writeln!(text, "- {}", place(mutant));
        }
        text.push('\n');
    }
    if !told.is_empty() {
        text += "## Not seen, and why\n\n";
        for mutant in told {
            let _ = writeln!(text, "- {}: {}", place(mutant), explained.why(mutant).unwrap_or_default());
        }
        text.push('\n');
    }
    let mut endless = survey.mutants.iter().filter(|mutant| mutant.came == Came::TimedOut).peekable();
    if endless.peek().is_some() {
        text += "## Without an end in time\n\n";
        for mutant in endless {
            let _ = writeln!(text, "- without an end: {}", place(mutant));
        }
        text.push('\n');
    }
    text += "## File by file\n\n| file | seen | without an end | not seen | do not compile | score |\n|---|---|---|---|---|---|\n";
    let mut files: BTreeMap<&str, Vec<&Mutant>> = BTreeMap::new();
    for mutant in &survey.mutants {
        files.entry(&mutant.file).or_default().push(mutant);
    }
    for (file, mutants) in files {
        let _ = writeln!(text, "| `{file}` | {} |", Counts::of(mutants.into_iter()).cells());
    }
    let _ = writeln!(text, "| all | {} |", counts.cells());
    text += "\n## Who sees first, how many\n\n";
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for mutant in &survey.mutants {
        if let Came::Killed(detector) = &mutant.came {
            *first.entry(detector.as_deref().unwrap_or("nobody: the test broke off")).or_default() += 1;
        }
    }
    let mut first: Vec<_> = first.into_iter().collect();
    first.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    for (detector, times) in first {
        let _ = writeln!(text, "- {detector}: {times}");
    }
    if !survey.skips.is_empty() {
        text += "\nNot asked here:\n\n";
        for why in &survey.skips {
            let _ = writeln!(text, "- {why}");
        }
    }
    text
}

fn place(mutant: &Mutant) -> String {
    format!("`{}:{}` {}", mutant.file, mutant.line, code(&mutant.change))
}

/// What is changed, so that Markdown shows it as it is.
fn code(change: &str) -> String {
    format!("`` {change} ``")
}
