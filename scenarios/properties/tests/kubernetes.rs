//! `kubernetes.yaml` is a job whose command our program takes, with as many parts as there are pods, each of which leaves a file of its own.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::process::{Command, Output};

use serde_json::Value;

const VARIABLE: &str = "JOB_COMPLETION_INDEX";

/// The job, and what its container is told, where this pod has that number.
fn job(number: &str) -> (Value, Vec<String>) {
    let job: Value = serde_saphyr::from_str(include_str!("../kubernetes.yaml")).unwrap();
    let arguments = job["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
    let expanded = arguments.iter().map(|word| word.as_str().unwrap().replace(&format!("$({VARIABLE})"), number));
    let expanded = expanded.collect();
    (job, expanded)
}

/// Only the words are looked at: nothing is held against anything.
fn listed(arguments: &[String], number: Option<&str>) -> Output {
    let mut laws = Command::new(env!("CARGO_BIN_EXE_layerlab-laws"));
    laws.args(arguments).arg("--list").env_remove(VARIABLE);
    laws.envs(number.map(|number| (VARIABLE, number))).output().unwrap()
}

#[test]
fn the_job_has_a_pod_for_each_part() {
    let (job, arguments) = job("3");
    let spec = &job["spec"];
    assert_eq!((job["kind"].as_str(), spec["completionMode"].as_str()), (Some("Job"), Some("Indexed")));
    let shard = arguments.iter().find_map(|word| word.strip_prefix("--shard=index/")).unwrap();
    assert_eq!(spec["completions"].as_u64().unwrap().to_string(), shard);
    let pod = &spec["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["command"], serde_json::json!(["layerlab-laws"]));
    let results = arguments.iter().find_map(|word| word.strip_prefix("--results=")).unwrap();
    let mounts: Vec<&str> = container["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["mountPath"].as_str().unwrap())
        .collect();
    assert!(results.ends_with("-3.jsonl") && mounts.iter().any(|mount| results.starts_with(&format!("{mount}/"))));
    let named = |list: &Value| -> Vec<String> {
        let mut names: Vec<_> = list.as_array().unwrap().iter().map(|one| one["name"].to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(named(&container["volumeMounts"]), named(&pod["volumes"]));
}

#[test]
fn our_program_takes_what_the_job_tells_it() {
    let (_, arguments) = job("0");
    let output = listed(&arguments, Some("0"));
    assert!(output.status.success(), "{output:?}");
    let said = |number| String::from_utf8(listed(&arguments, number).stderr).unwrap();
    assert!(said(None).contains(&format!("none of {VARIABLE}")), "it is the pod's number that counts");
    assert!(said(Some("8")).contains("'9/8' is no part"), "there are eight pods: {}", said(Some("8")));
}
