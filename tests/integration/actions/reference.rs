//! `docs/actions.md` says of each built-in action what its component says of itself, and its failures as its README has them.

use std::{fmt::Write as _, fs, path::PathBuf, sync::Arc};

use aftercommit_core::SystemClock;
use aftercommit_runtime::{ComponentSource, EnvSecrets, Plugin, Runtime, RuntimeSettings};
use serde_json::Value;

use super::component::{built, compiled};

/// In the order of the page.
const TYPES: [&str; 8] = ["webhook", "slack", "email", "sms", "push", "search", "cache", "log"];

#[tokio::test]
async fn the_page_of_actions_says_what_the_plugins_say() {
    let settings = RuntimeSettings { cache_dir: Some(compiled()), ..RuntimeSettings::default() };
    let runtime = Runtime::new(settings, Arc::new(EnvSecrets), Arc::new(SystemClock)).unwrap();
    let page = repository().join("docs/actions.md");
    let text = fs::read_to_string(&page).unwrap();
    let mut expected = text.clone();
    for name in TYPES {
        let bytes = fs::read(built(name)).unwrap();
        let plugin = runtime.load(name, ComponentSource::Bytes(bytes.into()), None).await.unwrap();
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let from = expected.find(&begin).unwrap_or_else(|| panic!("{begin} is missing")) + begin.len();
        let to = expected.find(&end).unwrap_or_else(|| panic!("{end} is missing"));
        expected.replace_range(from..to, &described(&plugin));
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&page, &expected).unwrap();
    } else {
        assert!(
            text == expected,
            "docs/actions.md is not what the plugins say; UPDATE_DOCS=1 with this test writes it:\n{expected}"
        );
    }
}

/// What stands between the marks of an action.
fn described(plugin: &Plugin) -> String {
    let descriptor = plugin.descriptor();
    let mut text = format!("{}. ", descriptor.summary);
    let needs: Vec<_> = descriptor.needs.iter().map(|need| format!("`{}`", need.as_str())).collect();
    let needs = if needs.is_empty() { "nothing".to_owned() } else { needs.join(", ") };
    let _ = write!(text, "Needs {needs}.");
    if plugin.exports_batch() {
        text.push_str(" Takes batches.");
    }
    text.push_str("\n\n| field | type | default | |\n|---|---|---|---|\n");
    let schema = &descriptor.config_schema;
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in schema["properties"].as_object().unwrap() {
        let default = match &field["default"] {
            Value::Null if required.iter().any(|required| required == name) => "required".to_owned(),
            Value::Null => String::new(),
            Value::Array(items) if items.is_empty() => String::new(),
            Value::String(text) => format!("`{text}`"),
            default => format!("`{default}`"),
        };
        let about = field["description"].as_str().unwrap().replace('|', "\\|").replace('\n', " ");
        let _ = writeln!(text, "| `{name}` | {} | {default} | {about} |", kind(field));
    }
    text + "\n" + &failures(plugin.name())
}

/// What a field holds: a template by what it makes, or its JSON type.
fn kind(field: &Value) -> String {
    if let Some(values) = choices(field) {
        return values;
    }
    let types = match &field["type"] {
        Value::Array(types) => {
            types.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect()
        }
        Value::String(name) => vec![name.as_str()],
        _ => Vec::new(),
    };
    match field["x-template"].as_str() {
        Some(escaping) => format!("template ({escaping})"),
        None => types.join(" or "),
    }
}

/// The values of a field that takes only some.
fn choices(field: &Value) -> Option<String> {
    let of = |field: &Value| -> Vec<String> {
        let words = field["enum"].as_array().into_iter().flatten().chain(field.get("const"));
        words.filter_map(Value::as_str).map(|word| format!("`{word}`")).collect()
    };
    let branches = ["oneOf", "anyOf"].iter().filter_map(|key| field[key].as_array()).flatten();
    let mut all = of(field);
    all.extend(branches.flat_map(|branch| {
        let nested = branch["oneOf"].as_array().into_iter().flatten();
        of(branch).into_iter().chain(nested.flat_map(of)).collect::<Vec<_>>()
    }));
    (!all.is_empty()).then(|| all.join(", "))
}

/// The codes of the README's table, by what the host does then.
fn failures(plugin: &str) -> String {
    let readme = fs::read_to_string(repository().join(format!("plugins/{plugin}/README.md"))).unwrap();
    let Some((_, section)) = readme.split_once("## Failures\n") else {
        return "It does not fail.\n".to_owned();
    };
    let section = section.split("\n## ").next().unwrap();
    let mut groups: [(&str, Vec<&str>); 3] = [
        ("Retried", Vec::new()),
        ("Retried, not before the time that the destination asks for", Vec::new()),
        ("Not retried", Vec::new()),
    ];
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let retried = *cells.last().unwrap();
        let group = match retried {
            "no" => 2,
            _ if retried.contains("not before") => 1,
            _ => 0,
        };
        for code in cells[0].split(", ").filter(|code| *code != "..") {
            if !groups[group].1.contains(&code) {
                groups[group].1.push(code);
            }
        }
    }
    let mut text = String::new();
    for (what, codes) in groups.iter().filter(|(_, codes)| !codes.is_empty()) {
        let _ = writeln!(text, "- {what}: {}.", codes.join(", "));
    }
    text
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
