//! The templates of the HTML pages, with style and script written into each page.

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use serde::Serialize;

use super::HtmlError;

const TEMPLATES: [(&str, &str); 7] = [
    ("base.html", include_str!("templates/base.html")),
    ("page.html", include_str!("templates/page.html")),
    ("step.html", include_str!("templates/step.html")),
    ("directive.html", include_str!("templates/directive.html")),
    ("change.html", include_str!("templates/change.html")),
    ("delta.html", include_str!("templates/delta.html")),
    ("index.html", include_str!("templates/index.html")),
];

/// Fills the template called `name`; everything but what is marked `safe` in it is escaped.
pub(super) fn fill(name: &str, values: &impl Serialize) -> Result<String, HtmlError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    for (name, text) in TEMPLATES {
        environment.add_template(name, text)?;
    }
    environment.add_global("style", include_str!("templates/style.css"));
    environment.add_global("script", include_str!("templates/script.js"));
    Ok(environment.get_template(name)?.render(Value::from(Serde(values)))?)
}
