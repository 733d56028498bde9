//! Why this host lets an ordinary user make no lab, and the way out.

use std::fs;

/// A switch of the host that stands in the way, as `sysctl` names it, and the value that would let a lab through.
const SWITCHES: [(&str, &str, Verdict); 3] = [
    ("kernel.unprivileged_userns_clone", "1", Verdict::ForbidsWhenZero),
    ("user.max_user_namespaces", "15000", Verdict::ForbidsWhenZero),
    ("kernel.apparmor_restrict_unprivileged_userns", "0", Verdict::ForbidsWhenOne),
];

#[derive(Clone, Copy)]
enum Verdict {
    ForbidsWhenZero,
    ForbidsWhenOne,
}

impl Verdict {
    fn forbids(self, value: &str) -> bool {
        match self {
            Verdict::ForbidsWhenZero => value.trim() == "0",
            Verdict::ForbidsWhenOne => value.trim() == "1",
        }
    }
}

/// One or more sentences: which switch forbids user namespaces and what to type, as read from this host.
pub fn advice() -> String {
    advise(|name| fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok())
}

fn advise(read: impl Fn(&str) -> Option<String>) -> String {
    let closed = SWITCHES.iter().filter_map(|(name, open, verdict)| {
        let value = read(name)?;
        let value = value.trim();
        verdict.forbids(value).then(|| {
            format!("{name} is {value}: run `sudo sysctl -w {name}={open}` and try again, or start the lab as root.")
        })
    });
    let sentences: Vec<String> = closed.collect();
    if sentences.is_empty() {
        "No sysctl of this host forbids it; inside a container, start that container with user namespaces allowed \
         (for Docker: --privileged, or --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
         --security-opt systempaths=unconfined), or start the lab as root."
            .into()
    } else {
        sentences.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_switch_and_the_command_that_opens_it_are_named() {
        let ubuntu = |name: &str| match name {
            "kernel.apparmor_restrict_unprivileged_userns" => Some("1\n".to_owned()),
            "user.max_user_namespaces" => Some("95000\n".to_owned()),
            _ => None,
        };
        let advice = advise(ubuntu);
        assert!(advice.contains("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"), "{advice}");
        assert!(!advice.contains("max_user_namespaces"), "{advice}");
    }

    #[test]
    fn without_a_closed_switch_the_container_around_us_is_suspected() {
        assert!(advise(|_| None).contains("--privileged"));
    }
}
