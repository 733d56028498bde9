//! What a `lab` block can ask of the machine: every directive there is, and the words a page writes for it.

use std::fmt;

/// One wish of a page to the machine it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// `install docker`: the command is in PATH and the data root is empty.
    InstallDocker,
    /// `start docker`: the engine answers.
    StartDocker,
    /// `registry …`: the registry ends and starts again in this mood.
    Registry(Mood),
}

/// How the lab's registry behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// `is honest`: it does what it should.
    Honest,
    /// `sends wrong blobs`: other bytes than the digest of a layer says.
    WrongBlobs,
    /// `breaks blobs off`: the connection ends in the middle of a layer.
    BrokenBlobs,
}

impl Arrangement {
    /// Every directive.
    pub const ALL: [Arrangement; 5] = [
        Arrangement::InstallDocker,
        Arrangement::StartDocker,
        Arrangement::Registry(Mood::Honest),
        Arrangement::Registry(Mood::WrongBlobs),
        Arrangement::Registry(Mood::BrokenBlobs),
    ];

    /// What a page writes.
    pub fn words(self) -> &'static str {
        match self {
            Arrangement::InstallDocker => "install docker",
            Arrangement::StartDocker => "start docker",
            Arrangement::Registry(Mood::Honest) => "registry is honest",
            Arrangement::Registry(Mood::WrongBlobs) => "registry sends wrong blobs",
            Arrangement::Registry(Mood::BrokenBlobs) => "registry breaks blobs off",
        }
    }

    /// The directive of a line; the error names all there are.
    pub(super) fn parse(line: &str) -> Result<Arrangement, String> {
        let known = || Self::ALL.map(Self::words).join("`, `");
        Self::ALL
            .into_iter()
            .find(|arrangement| arrangement.words() == line)
            .ok_or_else(|| format!("no machine can '{line}'; the directives are `{}`", known()))
    }
}

impl fmt::Display for Arrangement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}
