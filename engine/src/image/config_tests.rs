//! Tests of the image configuration against what dockerd 20.10 wrote.

use super::*;

/// What `docker commit` wrote for a stopped httpd container (dockerd 20.10.24).
const COMMITTED: &[u8] = include_bytes!("fixtures/committed-httpd.json");
const COMMITTED_ID: &str = "sha256:fa1dfe3ef22fc5d8e3a0fd7a1fc45b32eea3238cb4f34f2df7b145b789ca3e0f";

fn rewritten(raw: &[u8]) -> String {
    let read = ImageConfig::from_raw(raw.to_vec()).unwrap();
    String::from_utf8(ImageConfig::from_view(read.view().clone()).unwrap().raw().to_vec()).unwrap()
}

fn run_config(json: &str) -> RunConfig {
    serde_json::from_str(json).unwrap()
}

fn written(config: &RunConfig) -> String {
    String::from_utf8(go_json::to_vec(config).unwrap()).unwrap()
}

/// Checklist: ID-05
#[test]
fn a_committed_image_is_written_byte_for_byte_as_dockerd_writes_it() {
    assert_eq!(rewritten(COMMITTED), String::from_utf8_lossy(COMMITTED));
}

#[test]
fn the_id_is_the_digest_of_the_bytes_as_they_came() {
    let config = ImageConfig::from_raw(COMMITTED.to_vec()).unwrap();
    assert_eq!(config.id().to_string(), COMMITTED_ID);
    let spaced = [COMMITTED, b"\n"].concat();
    assert_ne!(ImageConfig::from_raw(spaced).unwrap().id(), config.id());
}

#[test]
fn the_view_tells_what_to_run_and_which_layers() {
    let config = ImageConfig::from_raw(COMMITTED.to_vec()).unwrap();
    let view = config.view();
    let run = view.config.as_ref().unwrap();
    assert_eq!(run.cmd.as_deref(), Some(&["httpd-foreground".to_owned()][..]));
    assert_eq!(run.stop_signal, "SIGWINCH");
    assert!(run.exposed_ports.contains_key("80/tcp"));
    assert_eq!(view.rootfs.diff_ids.len(), 6);
    assert_eq!(view.history.iter().filter(|step| !step.empty_layer).count(), 6);
}

#[test]
fn unknown_fields_survive_in_alphabetical_order() {
    let raw = concat!(
        r#"{"Size":5,"architecture":"amd64","config":{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"#,
        r#""AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"#,
        r#""Cmd":null,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null,"#,
        r#""New":[1]},"created":"2026-11-21T01:23:45Z","moby.buildkit.buildinfo.v1":"e30=","os":"linux","#,
        r#""os.version":"1","rootfs":{"type":"layers"},"variant":"v8"}"#
    );
    assert_eq!(rewritten(raw.as_bytes()), raw);
}

#[test]
fn nil_and_empty_are_told_apart_as_go_tells_them() {
    let expected = concat!(
        r#"{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"#,
        r#""Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":[],"Cmd":null,"Image":"","Volumes":{"/vv":{}},"#,
        r#""WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{}}"#
    );
    let config = run_config(r#"{"Env":[],"Cmd":null,"Volumes":{"/vv":{}},"Labels":{},"ExposedPorts":{},"Shell":[]}"#);
    assert_eq!(written(&config), expected);
}

#[test]
fn the_rarer_fields_stand_where_dockerd_puts_them() {
    let json = concat!(
        r#"{"Hostname":"h","Domainname":"d","User":"u","AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"#,
        r#""ExposedPorts":{"53/udp":{},"80/tcp":{}},"Tty":true,"OpenStdin":true,"StdinOnce":true,"Env":["A=b"],"#,
        r#""Cmd":["c"],"Healthcheck":{"Test":["CMD","x"],"Interval":5000000000,"Retries":3},"ArgsEscaped":true,"#,
        r#""Image":"i","Volumes":{},"WorkingDir":"/w","Entrypoint":["e"],"NetworkDisabled":true,"#,
        r#""MacAddress":"02:42:ac:11:00:02","OnBuild":["RUN true"],"Labels":{"x":"y"},"StopSignal":"SIGINT","#,
        r#""StopTimeout":3,"Shell":["/bin/bash","-c"]}"#
    );
    assert_eq!(written(&run_config(json)), json);
}

#[test]
fn an_old_image_may_have_one_word_as_its_command() {
    assert_eq!(run_config(r#"{"Cmd":"/bin/sh"}"#).cmd.unwrap(), ["/bin/sh"]);
}

#[test]
fn a_sets_member_may_be_null() {
    assert_eq!(run_config(r#"{"Volumes":{"/v":null}}"#), run_config(r#"{"Volumes":{"/v":{}}}"#));
}

#[test]
fn a_configuration_without_layers_is_refused_by_its_id() {
    let raw = br#"{"architecture":"amd64","os":"linux"}"#;
    let message = ImageConfig::from_raw(raw.to_vec()).unwrap_err().to_string();
    assert!(message.contains("invalid rootfs"), "{message}");
    assert!(message.contains(&Digest::of(raw).to_string()), "{message}");
}
