//! Listings: lines of named fields, as an aligned table or through a template (`--format`).

use serde_json::{Map, Value};

use super::messages::Failure;
use super::table;
use super::template::{Subject, Template, TemplateError, is_read_otherwise, with_label_calls};

const TABLE: &str = "table";

/// What is listed: the name Docker's own code has for a line, and the heading of each field.
pub struct Listing {
    pub kind: &'static str,
    pub headings: &'static [(&'static str, &'static str)],
}

impl Listing {
    /// `lines` in the form of `format`, which is a template, or `table` and a template.
    pub fn render(&self, format: &str, lines: &[Map<String, Value>]) -> Result<String, Failure> {
        match format.strip_prefix(TABLE) {
            Some(row) => self.table(row, lines).map_err(failed).map(|text| table::align(&text)),
            None => self.lines(&unescaped(format), lines).map_err(failed),
        }
    }

    /// What Docker does with the containers' templates before it asks for any: tries them on one that has nothing.
    pub fn check(&self, format: &str) -> Result<(), Failure> {
        let template = self.parse(&unescaped(format.strip_prefix(TABLE).unwrap_or(format)));
        let template =
            template.map_err(|error| Failure::new(format!("failed to parse template: {}", error.reason())))?;
        let nothing: Map<String, Value> =
            self.headings.iter().map(|(field, _)| ((*field).to_owned(), "".into())).collect();
        match template.render(&Value::from(nothing), Subject::Line(self.kind)) {
            Err(error) if error.reason().contains("can't evaluate field") => {
                Err(Failure::new(format!("failed to execute template: {}", error.reason())))
            }
            // Others may well go with a container that has something.
            _ => Ok(()),
        }
    }

    fn parse(&self, text: &str) -> Result<Template, TemplateError> {
        Template::parse(&self.readable(text))
    }

    /// Lines with labels have a method for one of them.
    fn readable(&self, text: &str) -> String {
        let has_labels = self.headings.iter().any(|(field, _)| *field == "Labels");
        if has_labels { with_label_calls(text) } else { text.to_owned() }
    }

    fn table(&self, row: &str, lines: &[Map<String, Value>]) -> Result<String, TemplateError> {
        let row = unescaped(row);
        let headings = self.headings.iter().map(|(field, heading)| ((*field).to_owned(), Value::from(*heading)));
        let headings: Map<String, Value> = headings.collect();
        let template = self.parse(&row)?;
        let body = self.lines_by(&template, lines)?;
        let row = self.readable(&row);
        let of_heading = is_read_otherwise(&row).then(|| Template::parse_heading(&row)).transpose()?;
        let head = of_heading.as_ref().unwrap_or(&template).render(&Value::from(headings), Subject::Line(self.kind))?;
        Ok(format!("{head}\n{body}"))
    }

    fn lines(&self, row: &str, lines: &[Map<String, Value>]) -> Result<String, TemplateError> {
        self.lines_by(&self.parse(row)?, lines)
    }

    fn lines_by(&self, template: &Template, lines: &[Map<String, Value>]) -> Result<String, TemplateError> {
        let render = |line: &Map<String, Value>| template.render(&Value::from(line.clone()), Subject::Line(self.kind));
        lines.iter().map(|line| Ok(render(line)? + "\n")).collect()
    }
}

/// Whether `format` shows `field`, which may be dear to find out.
pub fn shows(format: &str, field: &str) -> bool {
    format.contains(&format!(".{field}")) || format.contains("json .}") || format.contains("json . ")
}

fn unescaped(format: &str) -> String {
    format.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n")
}

fn failed(error: TemplateError) -> Failure {
    Failure::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::template::LABELS;
    use serde_json::json;

    const IMAGES: Listing =
        Listing { kind: "*formatter.imageContext", headings: &[("ID", "IMAGE ID"), ("Repository", "REPOSITORY")] };

    fn lines() -> Vec<Map<String, Value>> {
        let line = |id: &str, name: &str| json!({"ID": id, "Repository": name}).as_object().unwrap().clone();
        vec![line("90b2df92dea5", "derived"), line("d6a446a305a9", "127.0.0.1:5000/library/bash")]
    }

    #[test]
    fn a_table_has_headings_and_a_template_has_none() {
        let table = IMAGES.render(r"table {{.ID}}\t{{.Repository}}", &lines()).unwrap();
        let expected = "\
IMAGE ID       REPOSITORY
90b2df92dea5   derived
d6a446a305a9   127.0.0.1:5000/library/bash
";
        assert_eq!(table, expected);
        assert_eq!(IMAGES.render("{{.ID}}:{{lower .ID}}", &lines()[..1]).unwrap(), "90b2df92dea5:90b2df92dea5\n");
        assert_eq!(IMAGES.render("{{.ID}}", &[]).unwrap(), "");
        assert_eq!(IMAGES.render("table {{lower .ID}}", &[]).unwrap(), "IMAGE ID\n");
    }

    #[test]
    fn a_field_that_is_none_is_named() {
        let failure = IMAGES.render("{{.Nope}}", &lines()).unwrap_err();
        assert!(failure.text.ends_with("can't evaluate field Nope in type *formatter.imageContext"), "{failure:?}");
        assert_eq!(failure.exit_code, 1);
        assert_eq!(IMAGES.render("{{nope}}", &lines()).unwrap_err().exit_code, 1);
    }

    #[test]
    fn a_label_is_shown_by_its_name() {
        let listing = Listing { kind: "*formatter.ContainerContext", headings: &[("ID", "ID"), ("Labels", "LABELS")] };
        let line = json!({"ID": "ab", "Labels": "a=b", LABELS: {"a": "b", "x.y-z": "c"}}).as_object().unwrap().clone();
        for (format, expected) in [
            (r#"{{.Label "a"}}|{{.Label "no"}}|"#, "b||\n"),
            (r#"{{if eq (.Label "a") "b"}}yes{{end}} {{.Labels}}"#, "yes a=b\n"),
            (r#"table {{.Label "x.y-z"}}\t{{.ID}}"#, "y z       ID\nc         ab\n"),
            ("{{json .}}", "{\"ID\":\"ab\",\"Labels\":\"a=b\"}\n"),
        ] {
            assert_eq!(listing.render(format, std::slice::from_ref(&line)).unwrap(), expected, "{format}");
        }
        let failure = listing.render("{{.Label}}", &[line]).unwrap_err();
        assert!(failure.text.ends_with("wrong number of args for Label: want 1 got 0"), "{failure:?}");
    }
}
