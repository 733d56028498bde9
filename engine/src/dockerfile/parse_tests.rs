//! Dockerfiles as text against what dockerd 20.10 makes of them.

use super::*;

#[test]
fn a_long_dockerfile_takes_no_more_time_than_it_has_lines() {
    let lines = 100_000;
    let began = std::time::Instant::now();
    let parsed = parse(&format!("FROM scratch\n{}ENV", "ENV a=b\n".repeat(lines))).unwrap_err();
    assert_eq!(parsed, format!("dockerfile parse error line {}: ENV requires at least one argument", lines + 2));
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn a_dockerfile_becomes_its_instructions_as_written() {
    let parsed = parse(
        "# escape=\\\n# a comment\nFROM oraclelinux:$V AS A\n\nRUN echo a \\\n  # said\n\n  && b\nCOPY --chown=1:2 x y ./\nADD [\"a b\", \"/c/\"]\nCMD httpd -X",
    )
    .unwrap();
    let originals: Vec<&str> = parsed.steps.iter().map(|step| step.original.as_str()).collect();
    assert_eq!(
        originals,
        [
            "FROM oraclelinux:$V AS A",
            "RUN echo a   && b",
            "COPY --chown=1:2 x y ./",
            "ADD [\"a b\", \"/c/\"]",
            "CMD httpd -X"
        ]
    );
    let from = Instruction::From { image: "oraclelinux:$V".to_owned(), stage: Some("a".to_owned()), platform: None };
    assert_eq!(parsed.steps[0].instruction, from);
    assert_eq!(parsed.steps[1].instruction, Instruction::Run(Command::Shell("echo a   && b".to_owned()), None));
    let Instruction::Transfer(copy) = &parsed.steps[2].instruction else { panic!() };
    assert_eq!((copy.sources.len(), copy.destination.as_str(), copy.owner.as_deref()), (2, "./", Some("1:2")));
    let Instruction::Transfer(add) = &parsed.steps[3].instruction else { panic!() };
    assert_eq!((add.sources[0].as_str(), add.destination.as_str()), ("a b", "/c/"));
}

#[test]
fn another_escape_character_can_be_chosen() {
    let parsed = parse("# escape=`\nFROM x\nRUN a `\n b\n").unwrap();
    assert_eq!((parsed.escape, parsed.steps[1].original.as_str()), ('`', "RUN a  b"));
}

/// What dockerd 20.10.24 said to each of these.
#[test]
fn mistakes_are_told_in_dockers_words() {
    let destination =
        "COPY requires at least two arguments, but only one was provided. Destination could not be determined";
    for (body, said) in [
        ("COPY x", destination),
        ("USER", "USER requires exactly one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("SHELL", "SHELL requires at least one argument"),
        ("SHELL bash", "SHELL requires the arguments to be in JSON form"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("ARG", "ARG requires at least one argument"),
        ("LABEL", "LABEL requires at least one argument"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV =1", "ENV names can not be blank"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ("VOLUME []", "VOLUME requires at least one argument"),
        ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK FOO", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK --interval=1x CMD a", "time: unknown unit \"x\" in duration \"1x\""),
        ("HEALTHCHECK --retries=-1 CMD a", "--retries must be at least 1 (not -1)"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("MAINTAINER", "MAINTAINER requires exactly one argument"),
        ("FOO bar", "unknown instruction: FOO"),
        ("RUN --foo ls", "Unknown flag: foo"),
        ("COPY --foo=1 a b", "Unknown flag: foo"),
        ("COPY --chown a b", "Missing a value on flag: chown"),
    ] {
        let refused = parse(&format!("FROM centos\n{body}\n")).unwrap_err();
        assert_eq!(refused, format!("dockerfile parse error line 2: {said}"), "{body}");
    }
    for (text, said) in [
        ("FROM", "dockerfile parse error line 1: FROM requires either one or three arguments"),
        ("FROM a b", "dockerfile parse error line 1: FROM requires either one or three arguments"),
        ("FROM a AS b c", "dockerfile parse error line 1: FROM requires either one or three arguments"),
        (
            "FROM a AS 1x",
            "dockerfile parse error line 1: invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
        ),
        ("RUN x", "no build stage in current context"),
        ("# only", "failed to parse Dockerfile: file with no instructions"),
        ("FROM a\nENV a", "failed to parse Dockerfile: ENV must have two arguments"),
        ("FROM a\nLABEL a", "failed to parse Dockerfile: LABEL must have two arguments"),
        (
            "FROM a\nENV a=1 b",
            "failed to parse Dockerfile: Syntax error - can't find = in \"b\". Must be of the form: name=value",
        ),
        ("# escape=x\nFROM a", "failed to parse Dockerfile: invalid escape token 'x' does not match ` or \\"),
    ] {
        assert_eq!(parse(text).unwrap_err(), said, "{text}");
    }
}

#[test]
fn here_documents_are_refused_by_name() {
    for body in ["RUN <<EOF\necho hi\nEOF", "COPY <<EOF /x\nhi\nEOF"] {
        let refused = parse(&format!("FROM a\n{body}\n")).unwrap_err();
        assert!(refused.contains("here-documents (<<EOF) are BuildKit's"), "{refused}");
    }
}

#[test]
fn a_single_instruction_is_read_without_a_line() {
    assert_eq!(parse_one("WORKDIR").unwrap_err(), "WORKDIR requires exactly one argument");
    assert_eq!(parse_one("ENV A").unwrap_err(), "ENV must have two arguments");
    assert_eq!(
        parse_one("ENTRYPOINT").unwrap().instruction,
        Instruction::Setting(Setting::Entrypoint(Command::Shell(String::new())))
    );
    assert_eq!(
        parse_one("CMD").unwrap().instruction,
        Instruction::Setting(Setting::Cmd(Command::Shell(String::new())))
    );
}
