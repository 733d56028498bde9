//! What a `lab` block can ask of the machine: every directive there is, and the words a page writes for it.

use std::fmt;
use std::net::Ipv4Addr;

/// One wish of a page to the machine it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// `install docker`: the command is in PATH and the data root is empty.
    InstallDocker,
    /// `start docker`: the engine answers.
    StartDocker,
    /// `host ADDRESS`: from here on steps are typed on this host, and directives are for it.
    Host(Host),
    /// `registry 127.0.0.1:5001 …`: a second registry with the same images, which asks who its clients are (jane, whose
    /// password is secret), begins.
    Guarded(Guard),
    /// `registry …`: the registry ends and starts again in this mood.
    Registry(Mood),
}

/// A host of the lab: a machine with its own files, network, host name and engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// 192.168.56.101, on which a page begins.
    #[default]
    First,
    /// 192.168.56.226, which a lab has only for a page that goes there.
    Second,
}

impl Host {
    /// Its address in the network that joins both.
    pub fn address(self) -> Ipv4Addr {
        match self {
            Host::First => Ipv4Addr::new(192, 168, 56, 101),
            Host::Second => Ipv4Addr::new(192, 168, 56, 226),
        }
    }

    /// What it calls itself.
    pub fn name(self) -> &'static str {
        match self {
            Host::First => "lab",
            Host::Second => "other",
        }
    }
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

/// How the second registry asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// `asks for basic`: for the password with every request.
    Password,
    /// `asks for a token`: for a token, which is given for the password.
    Token,
}

impl Arrangement {
    /// Every directive.
    pub const ALL: [Arrangement; 9] = [
        Arrangement::InstallDocker,
        Arrangement::StartDocker,
        Arrangement::Host(Host::First),
        Arrangement::Host(Host::Second),
        Arrangement::Registry(Mood::Honest),
        Arrangement::Registry(Mood::WrongBlobs),
        Arrangement::Registry(Mood::BrokenBlobs),
        Arrangement::Guarded(Guard::Password),
        Arrangement::Guarded(Guard::Token),
    ];

    /// What a page writes.
    pub fn words(self) -> &'static str {
        match self {
            Arrangement::InstallDocker => "install docker",
            Arrangement::StartDocker => "start docker",
            Arrangement::Host(Host::First) => "host 192.168.56.101",
            Arrangement::Host(Host::Second) => "host 192.168.56.226",
            Arrangement::Registry(Mood::Honest) => "registry is honest",
            Arrangement::Registry(Mood::WrongBlobs) => "registry sends wrong blobs",
            Arrangement::Registry(Mood::BrokenBlobs) => "registry breaks blobs off",
            Arrangement::Guarded(Guard::Password) => "registry 127.0.0.1:5001 asks for basic",
            Arrangement::Guarded(Guard::Token) => "registry 127.0.0.1:5001 asks for a token",
        }
    }

    /// The directive of a line; the error names all there are.
    pub fn parse(line: &str) -> Result<Arrangement, String> {
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
