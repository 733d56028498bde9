//! What `--volume` and `--mount` ask for, checked as dockerd does and with its words.

use std::path::Path;

use super::EngineError;
use super::config::{BIND, BindOptions, LOCAL, MountPoint, MountSpec, VOLUME, VolumeOptions};

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];
/// What is said of a bind when nobody says anything.
const RPRIVATE: &str = "rprivate";

/// Reads `SOURCE:TARGET[:MODE]`. A source that is an absolute path is the host's; any other is the name of a volume.
pub(super) fn bind(raw: &str) -> Result<MountPoint, EngineError> {
    let invalid = || EngineError::Mount(format!("invalid volume specification: '{raw}'"));
    let parts: Vec<&str> = raw.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [source, target] if !source.is_empty() && (target.is_empty() || !is_mode(target)) => (source, target, ""),
        [source, target, mode] if !source.is_empty() => (source, target, mode),
        _ => return Err(invalid()),
    };
    if !is_mode(mode) {
        return Err(EngineError::Mount(format!("invalid mode: {mode}")));
    }
    let words: Vec<&str> = mode.split(',').collect();
    let propagation = words.iter().find(|word| PROPAGATIONS.contains(word)).map(|word| (*word).to_owned());
    let spec = MountSpec {
        kind: if source.starts_with('/') { BIND } else { VOLUME }.to_owned(),
        source: source.to_owned(),
        target: target.to_owned(),
        read_only: words.contains(&"ro"),
        bind_options: propagation.map(|propagation| BindOptions { propagation, ..BindOptions::default() }),
        volume_options: words.contains(&"nocopy").then(|| VolumeOptions { no_copy: true, ..VolumeOptions::default() }),
        ..MountSpec::default()
    };
    check(&spec, false).map_err(|error| match error {
        EngineError::Mount(reason) => EngineError::Mount(format!("invalid volume specification: '{raw}': {reason}")),
        other => other,
    })?;
    Ok(MountPoint { mode: mode.to_owned(), ..point(spec) })
}

/// Checks what `--mount` asks for.
pub(super) fn mount(spec: &MountSpec) -> Result<MountPoint, EngineError> {
    check(spec, true)?;
    Ok(MountPoint { skip_mountpoint_creation: spec.kind == BIND, ..point(spec.clone()) })
}

/// The mount point of an anonymous volume at `path`.
pub(super) fn anonymous(path: &str) -> MountPoint {
    MountPoint {
        destination: clean(path),
        writable: true,
        driver: LOCAL.to_owned(),
        kind: VOLUME.to_owned(),
        ..MountPoint::default()
    }
}

fn point(spec: MountSpec) -> MountPoint {
    let is_volume = spec.kind == VOLUME;
    let propagation = spec.bind_options.as_ref().map(|options| options.propagation.as_str()).unwrap_or_default();
    MountPoint {
        source: if is_volume { String::new() } else { clean(&spec.source) },
        destination: clean(&spec.target),
        writable: !spec.read_only,
        name: if is_volume { spec.source.clone() } else { String::new() },
        driver: if is_volume { LOCAL.to_owned() } else { String::new() },
        kind: spec.kind.clone(),
        propagation: match (is_volume, propagation) {
            (true, _) => String::new(),
            (false, "") => RPRIVATE.to_owned(),
            (false, said) => said.to_owned(),
        },
        spec,
        ..MountPoint::default()
    }
}

/// dockerd's checks, in its order; and what this engine does not have is refused by name.
fn check(spec: &MountSpec, source_must_exist: bool) -> Result<(), EngineError> {
    let kind = &spec.kind;
    let wrong = |reason: String| Err(EngineError::Mount(format!("invalid mount config for type {kind:?}: {reason}")));
    let relative = |path: &str| format!("invalid mount path: '{path}' mount path must be absolute");
    if spec.target.is_empty() {
        return wrong("field Target must not be empty".to_owned());
    }
    if clean(&spec.target) == "/" {
        return wrong("invalid specification: destination can't be '/'".to_owned());
    }
    if !spec.target.starts_with('/') {
        return wrong(relative(&spec.target));
    }
    match kind.as_str() {
        BIND => {
            if spec.source.is_empty() {
                return wrong("field Source must not be empty".to_owned());
            }
            let propagation =
                spec.bind_options.as_ref().map(|options| options.propagation.as_str()).unwrap_or_default();
            if !propagation.is_empty() && !PROPAGATIONS.contains(&propagation) {
                return wrong(format!("invalid propagation mode: {propagation}"));
            }
            if spec.volume_options.is_some() {
                return wrong("field VolumeOptions must not be specified".to_owned());
            }
            if !spec.source.starts_with('/') {
                return wrong(relative(&spec.source));
            }
            if source_must_exist && !Path::new(&spec.source).exists() {
                return wrong(format!("bind source path does not exist: {}", spec.source));
            }
            if !["", RPRIVATE, "private"].contains(&propagation) {
                return wrong(format!(
                    "propagation {propagation:?} is not here: this engine's mounts are {RPRIVATE}, leave it out"
                ));
            }
            Ok(())
        }
        VOLUME if spec.bind_options.is_some() => wrong("field BindOptions must not be specified".to_owned()),
        VOLUME if spec.source.is_empty() && spec.read_only => {
            wrong("must not set ReadOnly mode when using anonymous volumes".to_owned())
        }
        VOLUME => Ok(()),
        "tmpfs" => wrong("this engine mounts volumes and binds only".to_owned()),
        _ => wrong("mount type unknown".to_owned()),
    }
}

/// Whether `mode` is what may stand behind the second colon: one word of each kind at most.
fn is_mode(mode: &str) -> bool {
    const KINDS: [&[&str]; 5] =
        [&["rw", "ro"], &["z", "Z"], &PROPAGATIONS, &["nocopy"], &["consistent", "cached", "delegated"]];
    if mode.is_empty() {
        return true;
    }
    let words: Vec<&str> = mode.split(',').collect();
    words.iter().all(|word| KINDS.iter().any(|kind| kind.contains(word)))
        && KINDS.iter().all(|kind| words.iter().filter(|word| kind.contains(word)).count() <= 1)
}

/// `path` without `.`, `..` and slashes too many, as Go's `path.Clean`.
pub(super) fn clean(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if is_absolute => {}
            other => parts.push(other),
        }
    }
    match (is_absolute, parts.join("/")) {
        (true, rest) => format!("/{rest}"),
        (false, rest) if rest.is_empty() => ".".to_owned(),
        (false, rest) => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_bound_is_read_as_dockerd_reads_it() {
        let named = bind("v1:/a/../x/:ro,nocopy").unwrap();
        assert_eq!((named.name.as_str(), named.destination.as_str(), named.mode.as_str()), ("v1", "/x", "ro,nocopy"));
        assert!(named.is_volume() && !named.writable && !named.copies() && !named.is_anonymous());
        let path = bind("/etc/../etc/:/x").unwrap();
        assert_eq!((path.source.as_str(), path.propagation.as_str()), ("/etc", "rprivate"));
        assert_eq!(path.spec.source, "/etc/../etc/");
    }

    #[test]
    fn what_dockerd_refuses_is_refused_in_its_words() {
        let volume = "invalid mount config for type \"volume\"";
        for (raw, text) in [
            ("v1:x", format!("invalid volume specification: 'v1:x': {volume}: invalid mount path: 'x' mount path must be absolute")),
            ("v1:/", format!("invalid volume specification: 'v1:/': {volume}: invalid specification: destination can't be '/'")),
            ("v1:/x:bad", "invalid mode: bad".to_owned()),
            ("v1:/x:ro,rw", "invalid mode: ro,rw".to_owned()),
            ("v1:/x:ro:z", "invalid volume specification: 'v1:/x:ro:z'".to_owned()),
            ("/anon:ro", "invalid volume specification: '/anon:ro'".to_owned()),
            ("v1:/x:rslave", format!("invalid volume specification: 'v1:/x:rslave': {volume}: field BindOptions must not be specified")),
            ("/e:/x:nocopy", "invalid volume specification: '/e:/x:nocopy': invalid mount config for type \"bind\": field VolumeOptions must not be specified".to_owned()),
        ] {
            assert_eq!(bind(raw).unwrap_err().to_string(), text);
        }
        let spec = |kind: &str, source: &str| MountSpec {
            kind: kind.to_owned(),
            source: source.to_owned(),
            target: "/x".to_owned(),
            ..MountSpec::default()
        };
        for (kind, source, reason) in [
            ("bind", "", "field Source must not be empty"),
            ("bind", "/no/such", "bind source path does not exist: /no/such"),
            ("bind", "rel", "invalid mount path: 'rel' mount path must be absolute"),
            ("npipe", "a", "mount type unknown"),
        ] {
            let text = format!("invalid mount config for type {kind:?}: {reason}");
            assert_eq!(mount(&spec(kind, source)).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, cleaned) in [("", "."), ("/", "/"), ("/a//b/./c/..", "/a/b"), ("/..", "/"), ("../x", "../x")] {
            assert_eq!(clean(path), cleaned);
        }
    }
}
