//! `--format`: Go templates with the functions that Docker adds, and with Docker's words for their errors.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use gtmpl_ng::{Context, ExecError, Func, FuncError, NumberKind, ParseError, StructuredError, Value};
use serde_json::Value as Json;

use crate::image::go_json;

/// Parentheses inside one another: deeper than anybody writes, and than the stack is.
const DEPTH_MAX: usize = 100;
/// What one template, or one function in it, may write.
const OUTPUT_BYTES_MAX: usize = 64 << 20;
/// Under this key a line of a listing holds the labels that `.Label "name"` shows; no field is called so.
pub const LABELS: &str = " labels";
/// What `.Label` is to the template engine, which knows no methods.
const LABEL: &str = "label";
/// How many blanks `pad` puts on one side.
const BLANKS_MAX: usize = 64 << 10;

impl TemplateError {
    /// Go's own words, without what the command line puts before them.
    pub fn reason(&self) -> &str {
        match self {
            TemplateError::Parse(reason) | TemplateError::Execute(reason) => reason,
        }
    }
}

/// A template that could not be read or carried out; the text is the one Go gives.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("template parsing error: {0}")]
    Parse(String),
    #[error("template parsing error: {0}")]
    Execute(String),
}

/// What a template is carried out on, which decides how a missing field and `{{json .}}` read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A JSON document, as of inspect.
    Document,
    /// A line of a listing; the name is that of Docker's own type.
    Line(&'static str),
    /// One value of Docker's own type of this name.
    Struct(&'static str),
}

/// A template, read and ready.
pub struct Template {
    template: gtmpl_ng::Template,
    text: String,
}

thread_local! {
    /// What is being rendered. The template engine forgets the order of an object's keys; `json` finds it again here.
    static RENDERED: RefCell<Option<(Json, Subject)>> = const { RefCell::new(None) };
}

impl Template {
    /// Reads `text`.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        Template::parse_with(text, &[])
    }

    /// Reads the `text` of a table's line for its heading, which the functions that change a field leave alone.
    pub fn parse_heading(text: &str) -> Result<Template, TemplateError> {
        Template::parse_with(text, &HEADING_FUNCTIONS)
    }

    fn parse_with(text: &str, overriding: &[(&str, Func)]) -> Result<Template, TemplateError> {
        refuse_depth(text)?;
        let limits = gtmpl_ng::Limits::unlimited();
        let limits = limits.with_output_bytes(OUTPUT_BYTES_MAX).with_function_output(OUTPUT_BYTES_MAX);
        let mut template = gtmpl_ng::Template::with_limits(limits);
        template.add_funcs(&FUNCTIONS);
        template.add_funcs(overriding);
        template.parse(text).map_err(|error| TemplateError::Parse(parse_error_text(&error)))?;
        Ok(Template { template, text: text.to_owned() })
    }

    /// Carries the template out on `document`.
    pub fn render(&self, document: &Json, subject: Subject) -> Result<String, TemplateError> {
        RENDERED.set(Some((document.clone(), subject)));
        let rendered = self.template.render(&Context::from(to_template_value(document)));
        RENDERED.set(None);
        rendered.map_err(|error| TemplateError::Execute(self.execute_error_text(&error, subject)))
    }

    fn execute_error_text(&self, error: &ExecError, subject: Subject) -> String {
        let Some(error) = error.as_structured() else { return error.to_string() };
        let line = self.text.lines().nth(error.context.line.saturating_sub(1)).unwrap_or_default();
        let start = error.context.col.saturating_sub(1);
        let construct = line.get(start..start + error.context.len).unwrap_or_default();
        let reason = missing_field(error, construct, subject).unwrap_or_else(|| error.message.clone());
        let column = start + first_field_length(construct);
        format!("template: :{}:{column}: executing \"\" at <{construct}>: {reason}", error.context.line)
    }
}

/// Newer Go has a limit too, and these words; the template engine's parser has none.
fn refuse_depth(text: &str) -> Result<(), TemplateError> {
    for (start, _) in text.match_indices("{{") {
        let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
        let action = &text[start + 2..];
        for (place, character) in action.char_indices() {
            match quote {
                Some(_) if escaped => escaped = false,
                Some('`') if character != '`' => {}
                Some(_) if character == '\\' => escaped = true,
                Some(open) if character == open => quote = None,
                Some(_) => {}
                None if matches!(character, '"' | '\'' | '`') => quote = Some(character),
                None if character == '(' => depth += 1,
                None if character == ')' => depth = depth.saturating_sub(1),
                None if action[place..].starts_with("}}") => break,
                None => {}
            }
            if depth > DEPTH_MAX {
                let line = text[..start + place].matches('\n').count() + 1;
                return Err(TemplateError::Parse(format!("template: :{line}: max expression depth exceeded")));
            }
        }
    }
    Ok(())
}

/// Go reports a chain of fields at its second link.
fn first_field_length(construct: &str) -> usize {
    let is_chain = construct.starts_with('.') && construct.matches('.').count() > 1;
    if is_chain { construct[1..].find('.').map_or(0, |at| at + 1) } else { 0 }
}

fn missing_field(error: &StructuredError, construct: &str, subject: Subject) -> Option<String> {
    if let Some(rest) = error.message.strip_prefix("no field `") {
        let field = rest.split('`').next().unwrap_or_default();
        return Some(match subject {
            Subject::Document => format!("map has no entry for key {field:?}"),
            Subject::Line(kind) | Subject::Struct(kind) => format!("can't evaluate field {field} in type {kind}"),
        });
    }
    if let Some(rest) = error.message.strip_prefix("unable to get ").filter(|_| construct.starts_with("index ")) {
        let place = rest.split(' ').next().unwrap_or_default();
        return Some(format!("error calling index: index out of range: {place}"));
    }
    let field = construct.rsplit('.').next().unwrap_or_default();
    let is_scalar = error.message == ExecError::OnlyMapsAndObjectsHaveFields.to_string();
    is_scalar.then(|| format!("can't evaluate field {field} in type interface {{}}"))
}

fn parse_error_text(error: &ParseError) -> String {
    let ParseError::WithContext(place, reason) = error else { return format!("template: :1: {error}") };
    let function = reason.strip_prefix("function ").and_then(|rest| rest.strip_suffix(" not defined"));
    let reason = match (function, reason.as_str()) {
        (Some(name), _) => format!("function {name:?} not defined"),
        (None, "unexpected unclosed action in command") => "unclosed action".to_owned(),
        (None, reason) => reason.to_owned(),
    };
    format!("template: :{}: {reason}", place.line)
}

/// Fields that are maps in Docker's types, where a key that is not there is no error.
const MAPS: [&str; 6] = ["Labels", "Ports", "PortBindings", "Networks", "Volumes", "ExposedPorts"];

fn to_template_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(bool) => Value::from(*bool),
        Json::String(text) => Value::from(text.as_str()),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(signed), _) => Value::from(signed),
            (None, Some(unsigned)) => Value::from(unsigned),
            (None, None) => Value::from(number.as_f64().unwrap_or_default()),
        },
        Json::Array(items) => Value::Array(items.iter().map(to_template_value).collect()),
        Json::Object(fields) => {
            let field =
                |(name, value): (&String, &Json)| match (MAPS.contains(&name.as_str()), to_template_value(value)) {
                    (true, Value::Object(entries)) => (name.clone(), Value::Map(entries)),
                    (_, value) => (name.clone(), value),
                };
            Value::Object(fields.iter().map(field).collect::<HashMap<_, _>>())
        }
    }
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Bool(bool) => Json::from(*bool),
        Value::String(text) => Json::from(text.as_str()),
        Value::Number(number) => match number.kind() {
            NumberKind::Signed(number) => Json::from(number),
            NumberKind::Unsigned(number) => Json::from(number),
            NumberKind::Float(number) => Json::from(number),
        },
        Value::Array(items) => items.iter().map(to_json).collect(),
        Value::Object(fields) | Value::Map(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            sorted.into_iter().map(|(name, value)| (name.clone(), to_json(value))).collect()
        }
        Value::NoValue | Value::Nil | Value::Function(_) => Json::Null,
    }
}

/// The functions of Docker's `templates` package beside those of Go itself.
const FUNCTIONS: [(&str, Func); 10] = [
    (LABEL, label),
    ("index", index),
    ("json", json),
    ("split", split),
    ("join", join),
    ("title", title),
    ("lower", lower),
    ("upper", upper),
    ("pad", pad),
    ("truncate", truncate),
];

/// Docker's `HeaderFunctions`.
const HEADING_FUNCTIONS: [(&str, Func); 6] = [
    (LABEL, label_heading),
    ("json", unchanged),
    ("title", unchanged),
    ("lower", unchanged),
    ("upper", unchanged),
    ("truncate", unchanged),
];

/// Whether [`Template::parse_heading`] may make something else of `text` than [`Template::parse`] does.
pub fn is_read_otherwise(text: &str) -> bool {
    HEADING_FUNCTIONS.iter().any(|(name, _)| text.contains(name))
}

fn unchanged(arguments: &[Value]) -> Result<Value, FuncError> {
    argument("heading", arguments, 0).cloned()
}

fn json(arguments: &[Value]) -> Result<Value, FuncError> {
    let value = to_json(argument("json", arguments, 0)?);
    let text = RENDERED.with_borrow(|rendered| match rendered {
        Some((line, Subject::Line(_))) if *line == value => {
            let mut line = line.clone();
            line.as_object_mut().map(|fields| fields.shift_remove(LABELS));
            go_json::to_vec(&line).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        }
        Some((document, _)) => serde_json::to_string(find(document, &value).unwrap_or(&value)),
        None => serde_json::to_string(&value),
    });
    text.map(Value::from).map_err(|error| failure(format!("json: {error}")))
}

/// The part of `document` that equals `value`, with its keys in their order.
fn find<'a>(document: &'a Json, value: &Json) -> Option<&'a Json> {
    if document == value {
        return Some(document);
    }
    match document {
        Json::Array(items) => items.iter().find_map(|item| find(item, value)),
        Json::Object(fields) => fields.values().find_map(|field| find(field, value)),
        _ => None,
    }
}

/// Go's `index`, which gives what is empty for a key that a map has not.
fn index(arguments: &[Value]) -> Result<Value, FuncError> {
    match gtmpl_ng::funcs::index(arguments)? {
        Value::NoValue => Ok(Value::from("")),
        found => Ok(found),
    }
}

/// `.Label "name"` of the lines that have labels, as a call of a function. Plain text and quoted text stay as they are.
pub fn with_label_calls(text: &str) -> String {
    const FIELD: &str = ".Label";
    let mut called = String::with_capacity(text.len());
    let mut is_action = false;
    let mut quote = None;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let before = called.chars().next_back();
        let mut taken = next.len_utf8();
        match quote {
            Some('"') if next == '\\' => taken += rest[taken..].chars().next().map_or(0, char::len_utf8),
            Some(open) if next == open => quote = None,
            Some(_) => {}
            None if !is_action => is_action = rest.starts_with("{{"),
            None if rest.starts_with("}}") => is_action = false,
            None if matches!(next, '"' | '`') => quote = Some(next),
            None => {
                let starts = before.is_none_or(|before| " ({|-\t".contains(before));
                let after = rest.strip_prefix(FIELD).filter(|after| after.starts_with([' ', ')', '}', '|', '\t']));
                if let Some(after) = after.filter(|_| starts) {
                    called.push_str("label .");
                    rest = after;
                    continue;
                }
            }
        }
        called.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    called
}

fn label(arguments: &[Value]) -> Result<Value, FuncError> {
    let name = label_name(arguments)?;
    let found = match argument(LABEL, arguments, 0)? {
        Value::Object(fields) => fields.get(LABELS).and_then(|labels| match labels {
            Value::Object(labels) | Value::Map(labels) => labels.get(name).cloned(),
            _ => None,
        }),
        _ => None,
    };
    Ok(found.unwrap_or_else(|| Value::from("")))
}

/// The last part of the label's name, with blanks for its dashes.
fn label_heading(arguments: &[Value]) -> Result<Value, FuncError> {
    let name = label_name(arguments)?;
    Ok(Value::from(name.rsplit('.').next().unwrap_or_default().replace(['-', '_'], " ")))
}

fn label_name(arguments: &[Value]) -> Result<&str, FuncError> {
    match arguments {
        [_, _] => text_argument(LABEL, arguments, 1),
        _ => Err(failure(format!("wrong number of args for Label: want 1 got {}", arguments.len().saturating_sub(1)))),
    }
}

fn split(arguments: &[Value]) -> Result<Value, FuncError> {
    let (text, separator) = (text_argument("split", arguments, 0)?, text_argument("split", arguments, 1)?);
    Ok(Value::Array(text.split(separator).map(Value::from).collect()))
}

fn join(arguments: &[Value]) -> Result<Value, FuncError> {
    let separator = text_argument("join", arguments, 1)?;
    let words = match argument("join", arguments, 0)? {
        Value::Array(items) => items.iter().map(ToString::to_string).collect::<Vec<_>>(),
        Value::Nil | Value::NoValue => Vec::new(),
        other => return Err(failure(format!("join: expected a list, got {other}"))),
    };
    Ok(Value::from(words.join(separator)))
}

fn title(arguments: &[Value]) -> Result<Value, FuncError> {
    let mut at_start = true;
    let titled = text_argument("title", arguments, 0)?.chars().flat_map(|character| {
        let starts = std::mem::replace(&mut at_start, !character.is_alphanumeric());
        if starts { character.to_uppercase().collect::<Vec<_>>() } else { vec![character] }
    });
    Ok(Value::from(titled.collect::<String>()))
}

fn lower(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(text_argument("lower", arguments, 0)?.to_lowercase()))
}

fn upper(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(text_argument("upper", arguments, 0)?.to_uppercase()))
}

fn pad(arguments: &[Value]) -> Result<Value, FuncError> {
    let text = text_argument("pad", arguments, 0)?;
    if text.is_empty() {
        return Ok(Value::from(""));
    }
    let blanks = |index| match length_argument("pad", arguments, index)? {
        count @ ..=BLANKS_MAX => Ok(" ".repeat(count)),
        count => Err(failure(format!("error calling pad: {count} blanks are more than {BLANKS_MAX}"))),
    };
    Ok(Value::from(format!("{}{text}{}", blanks(1)?, blanks(2)?)))
}

fn truncate(arguments: &[Value]) -> Result<Value, FuncError> {
    let text = text_argument("truncate", arguments, 0)?;
    let length = length_argument("truncate", arguments, 1)?;
    Ok(Value::from(text.chars().take(length).collect::<String>()))
}

fn argument<'a>(function: &str, arguments: &'a [Value], index: usize) -> Result<&'a Value, FuncError> {
    arguments.get(index).ok_or_else(|| failure(format!("wrong number of args for {function}: got {}", arguments.len())))
}

fn text_argument<'a>(function: &str, arguments: &'a [Value], index: usize) -> Result<&'a str, FuncError> {
    match argument(function, arguments, index)? {
        Value::String(text) => Ok(text),
        other => Err(failure(format!("error calling {function}: expected string, got {other}"))),
    }
}

fn length_argument(function: &str, arguments: &[Value], index: usize) -> Result<usize, FuncError> {
    let number = match argument(function, arguments, index)? {
        Value::Number(number) => number.as_u64(),
        _ => None,
    };
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| failure(format!("error calling {function}: expected a number of characters")))
}

fn failure(text: String) -> FuncError {
    FuncError::Generic(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rendered(template: &str, document: &Json) -> String {
        Template::parse(template).unwrap().render(document, Subject::Document).unwrap()
    }

    #[test]
    fn a_label_is_asked_for_in_actions_only() {
        let asked =
            with_label_calls(r#"A .Label is {{.Label "a"}} {{ printf "%s \" .Label ok" (.Label "b") }} {{.Labels}}"#);
        assert_eq!(asked, r#"A .Label is {{label . "a"}} {{ printf "%s \" .Label ok" (label . "b") }} {{.Labels}}"#);
    }

    #[test]
    fn templates_of_the_recordings_give_what_docker_gave() {
        let document = json!({
            "Image": "sha256:0f68", "LogPath": "/x.log",
            "RepoTags": [], "RepoDigests": ["ubuntu@sha256:14f8"],
            "State": {"Status": "exited", "ExitCode": 0},
            "Config": {"Cmd": ["/bin/sh", "-c", "a > b"], "Image": "ubuntu", "Labels": {"a": "b"}},
            "GraphDriver": {"Data": {"MergedDir": "/m"}},
        });
        let rows = [
            ("{{index .RepoDigests 0}}", "ubuntu@sha256:14f8"),
            ("{{json .RepoTags}} {{json .RepoDigests}}", r#"[] ["ubuntu@sha256:14f8"]"#),
            ("{{.Image}} {{.Config.Image}}", "sha256:0f68 ubuntu"),
            ("{{.State.Status}} {{.State.ExitCode}}", "exited 0"),
            ("{{json .Config.Cmd}}", r#"["/bin/sh","-c","a > b"]"#),
            ("{{.GraphDriver.Data.MergedDir}}", "/m"),
            ("{{json .State}}", r#"{"Status":"exited","ExitCode":0}"#),
            ("{{range .Config.Cmd}}{{println .}}{{end}}", "/bin/sh\n-c\na > b\n"),
            ("{{join .Config.Cmd \" \"}}", "/bin/sh -c a > b"),
            ("{{upper .State.Status}} {{title .State.Status}} {{truncate .State.Status 2}}", "EXITED Exited ex"),
            ("{{pad .State.Status 1 2}}|{{index (split .LogPath \".\") 1}}", " exited  |log"),
            ("{{.RepoDigests}}", "[ubuntu@sha256:14f8]"),
            (
                r#"{{index .Config.Labels "no"}}|{{if .Config.Labels.no}}x{{else}}unset{{end}}|{{.Config.Labels.no}}"#,
                "|unset|<no value>",
            ),
        ];
        for (template, expected) in rows {
            assert_eq!(rendered(template, &document), expected, "{template}");
        }
    }

    #[test]
    fn a_line_as_json_is_escaped_as_go_escapes_it() {
        let line = json!({"Digest": "<none>", "Tag": "latest"});
        let template = Template::parse("{{json .}} {{json .Digest}}").unwrap();
        let expected = r#"{"Digest":"\u003cnone\u003e","Tag":"latest"} "<none>""#;
        assert_eq!(template.render(&line, Subject::Line("*x")).unwrap(), expected);
    }

    #[test]
    fn no_template_takes_all_of_the_stack_or_the_memory() {
        let nested = |depth: usize| format!("{{{{{}.Id{}}}}}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(rendered(&nested(100), &json!({"Id": "x"})), "x");
        let apart = "{{(.Id)}}".repeat(500) + "((((" + "{{\"((\\\"((\"}}{{`((`}}";
        assert!(rendered(&apart, &json!({"Id": "x"})).ends_with("x((((((\"(((("));
        for depth in [101, 100_000] {
            let error = Template::parse(&nested(depth)).err().unwrap().to_string();
            assert_eq!(error, "template parsing error: template: :1: max expression depth exceeded");
        }
        for template in ["{{pad .Id 99999999999 1}}", "{{pad .Id 1 99999999999}}", "{{printf \"%99999999999s\" .Id}}"] {
            let rendered = Template::parse(template).unwrap().render(&json!({"Id": "x"}), Subject::Document);
            assert!(rendered.is_err() || rendered.unwrap().len() < 100, "{template}");
        }
    }

    #[test]
    fn errors_are_in_gos_words() {
        let error = Template::parse("{{").err().unwrap().to_string();
        assert_eq!(error, "template parsing error: template: :1: unclosed action");
        let error = Template::parse("{{bad").err().unwrap().to_string();
        assert_eq!(error, "template parsing error: template: :1: function \"bad\" not defined");
        let fails = |text: &str, subject| {
            Template::parse(text)
                .unwrap()
                .render(&json!({"State": {"Pid": 1}, "Tags": ["a"]}), subject)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            fails("{{.NoSuch}}", Subject::Document),
            "template parsing error: template: :1:2: executing \"\" at <.NoSuch>: map has no entry for key \"NoSuch\""
        );
        assert_eq!(
            fails("{{index .Tags 9}}", Subject::Document),
            "template parsing error: template: :1:2: executing \"\" at <index .Tags 9>: error calling index: index out of \
             range: 9"
        );
        assert_eq!(
            fails("{{.State.Foo}}", Subject::Document),
            "template parsing error: template: :1:8: executing \"\" at <.State.Foo>: map has no entry for key \"Foo\""
        );
        assert_eq!(
            fails("{{.NoSuch}}", Subject::Line("*formatter.imageContext")),
            "template parsing error: template: :1:2: executing \"\" at <.NoSuch>: can't evaluate field NoSuch in type \
             *formatter.imageContext"
        );
    }
}
