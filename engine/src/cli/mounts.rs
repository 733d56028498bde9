//! What follows `--volume` and `--mount`, as far as the command line looks into it; the engine checks the rest.

use std::collections::BTreeMap;

use crate::container::config::{BIND, BindOptions, MountSpec, VOLUME, VolumeDriver, VolumeOptions};

/// Whether a `--volume` has no source: then it is the place of an anonymous volume, colon or not.
pub fn is_anonymous(text: &str) -> bool {
    // A letter and a colon are taken for the drive of a Windows path.
    let is_drive = |source: &str| source.len() == 1 && source.starts_with(char::is_alphabetic);
    match text.split_once(':') {
        Some((source, rest)) if is_drive(source) => !rest.contains(':'),
        Some((source, _)) => source.is_empty(),
        None => true,
    }
}

/// Reads `type=volume,source=NAME,target=PATH,readonly`: comma-separated values as in a CSV file.
pub fn mount(text: &str) -> Result<MountSpec, String> {
    if text.is_empty() {
        return Err("EOF".to_owned());
    }
    let mut spec = MountSpec { kind: VOLUME.to_owned(), ..MountSpec::default() };
    let (mut bind, mut volume) = (None::<BindOptions>, None::<VolumeOptions>);
    for field in fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), value),
            None => match field.to_lowercase().as_str() {
                key @ ("readonly" | "ro" | "volume-nocopy" | "bind-nonrecursive") => (key.to_owned(), "true"),
                _ => return Err(format!("invalid field '{field}' must be a key=value pair")),
            },
        };
        let switch = || switch(value).ok_or_else(|| format!("invalid value for {key}: {value}"));
        match key.as_str() {
            "type" => spec.kind = value.to_lowercase(),
            "source" | "src" => spec.source = value.to_owned(),
            "target" | "dst" | "destination" => spec.target = value.to_owned(),
            "readonly" | "ro" => spec.read_only = switch()?,
            "consistency" => spec.consistency = value.to_lowercase(),
            "bind-propagation" => bind.get_or_insert_default().propagation = value.to_lowercase(),
            "bind-nonrecursive" => bind.get_or_insert_default().non_recursive = switch()?,
            "volume-nocopy" => volume_options(&mut volume).no_copy = switch()?,
            "volume-label" => put(&mut volume_options(&mut volume).labels, value),
            "volume-driver" => driver(&mut volume).name = value.to_owned(),
            "volume-opt" => put(&mut driver(&mut volume).options, value),
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    let kind = &spec.kind;
    if kind.is_empty() {
        return Err("type is required".to_owned());
    }
    if spec.target.is_empty() {
        return Err("target is required".to_owned());
    }
    for (prefix, own, is_said) in [("volume", VOLUME, volume.is_some()), ("bind", BIND, bind.is_some())] {
        if is_said && kind != own {
            return Err(format!("cannot mix '{prefix}-*' options with mount type '{kind}'"));
        }
    }
    Ok(MountSpec { bind_options: bind, volume_options: volume, ..spec })
}

/// Docker's client writes a driver down, with or without a name, as soon as it writes options down.
fn volume_options(options: &mut Option<VolumeOptions>) -> &mut VolumeOptions {
    options.get_or_insert_with(|| VolumeOptions {
        driver_config: Some(VolumeDriver::default()),
        ..VolumeOptions::default()
    })
}

fn driver(options: &mut Option<VolumeOptions>) -> &mut VolumeDriver {
    volume_options(options).driver_config.get_or_insert_default()
}

fn put(pairs: &mut Option<BTreeMap<String, String>>, text: &str) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    pairs.get_or_insert_default().insert(name.to_owned(), value.to_owned());
}

/// Go's `strconv.ParseBool`.
fn switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The fields of one line of a CSV file: between commas, or in double quotes, which are written twice inside.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    let mut rest = line;
    loop {
        let (field, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => match rest.find(',') {
                Some(end) => (rest[..end].to_owned(), &rest[end..]),
                None => (rest.to_owned(), ""),
            },
        };
        all.push(field);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(all),
        }
    }
}

fn quoted_field(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let wrong = || "parse error: extraneous or missing \" in quoted-field".to_owned();
        let (part, behind) = rest.split_once('"').ok_or_else(wrong)?;
        field.push_str(part);
        match behind.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None if behind.is_empty() || behind.starts_with(',') => return Ok((field, behind)),
            None => return Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_without_a_source_is_anonymous() {
        for text in ["", "/data", "x", ":", ":/x", "a:/x"] {
            assert!(is_anonymous(text), "{text}");
        }
        assert!(!["v1:/x", "/etc:/x", "v1:/x:ro", "a:/x:ro"].into_iter().any(is_anonymous));
    }

    #[test]
    fn what_a_mount_says_is_recorded_as_docker_records_it() {
        let json = |text: &str| serde_json::to_string(&mount(text).unwrap()).unwrap();
        assert_eq!(json("src=v1,dst=/x"), r#"{"Type":"volume","Source":"v1","Target":"/x"}"#);
        assert_eq!(
            json("type=bind,\"source=/a,b\",target=/x,readonly"),
            r#"{"Type":"bind","Source":"/a,b","Target":"/x","ReadOnly":true}"#
        );
        let options = r#""VolumeOptions":{"NoCopy":true,"Labels":{"a":"b"},"DriverConfig":{}}"#;
        assert_eq!(
            json("type=volume,dst=/x,volume-nocopy,volume-label=a=b"),
            format!(r#"{{"Type":"volume","Target":"/x",{options}}}"#)
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_in_dockers_words() {
        for (text, reason) in [
            ("", "EOF"),
            ("x", "invalid field 'x' must be a key=value pair"),
            ("type=volume", "target is required"),
            ("type=,dst=/x", "type is required"),
            ("foo=1,dst=/x", "unexpected key 'foo' in 'foo=1'"),
            ("dst=/x,readonly=maybe", "invalid value for readonly: maybe"),
            ("type=bind,dst=/x,volume-nocopy=true", "cannot mix 'volume-*' options with mount type 'bind'"),
            ("dst=/x,bind-propagation=shared", "cannot mix 'bind-*' options with mount type 'volume'"),
        ] {
            assert_eq!(mount(text).unwrap_err(), reason, "{text}");
        }
    }
}
