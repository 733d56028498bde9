//! What is said of a case that broke a law: everything that somebody needs to see it without asking further.

use std::fmt;

use crate::backing::Backing;
use crate::campaign::{Campaign, Failure};
use crate::case::prepare_thread;
use crate::known;
use crate::scene::Scene;

/// A failure and what it was found with.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// The failure.
    pub failure: &'a Failure,
    /// The subject's name.
    pub subject: &'a str,
    /// What its layers lay on.
    pub backing: &'a str,
    /// The kernel's release.
    pub kernel: &'a str,
    /// What is to be seen at the end; none when the case could not be begun once more.
    pub scene: Option<&'a Scene>,
}

/// What is said of a failure of `campaign`. It is run once more, in a thread of its own, to be looked at.
pub fn of(failure: &Failure, campaign: &Campaign<'_>, backing: &Backing) -> anyhow::Result<String> {
    let (subject, kernel) = (campaign.subject.name(), &campaign.host.kernel);
    let scene = std::thread::scope(|scope| {
        let look = || prepare_thread().map(|()| campaign.scene(&failure.steps));
        scope.spawn(look).join().map_err(|_| anyhow::anyhow!("what the case left cannot be looked at"))
    })??;
    let verdict = Verdict { failure, subject: &subject, backing: &backing.to_string(), kernel, scene: scene.as_ref() };
    Ok(verdict.to_string())
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, length, steps, broken } = self.failure;
        let law = broken.law.unwrap_or("a case that cannot go on");
        writeln!(f, "{law}: broken by {} on {}, kernel {}", self.subject, self.backing, self.kernel)?;
        writeln!(f, "seed {seed}, {length} steps, of which {} show it:", steps.len())?;
        steps.iter().try_for_each(|step| writeln!(f, "  {step}"))?;
        broken.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
        for deviation in known::matching(broken.law, self.backing, steps, &broken.findings) {
            writeln!(f, "known deviation: {} ({})", deviation.what, deviation.source)?;
        }
        self.scene.map_or(Ok(()), |scene| write!(f, "{scene}"))
    }
}
