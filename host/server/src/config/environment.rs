//! Environment variables over the file: `DATABASE_URL`, `AFTERCOMMIT_<SECTION>_<KEY>`, `AFTERCOMMIT_REDIS_<NAME>_URL` and
//! `AFTERCOMMIT_MEMCACHED_<NAME>_URL`.

use std::collections::BTreeMap;

use aftercommit_core::nearest;

use super::Config;
use crate::document::{Content, Document, Entry, Node, Place};

const PREFIX: &str = "AFTERCOMMIT_";

/// Read elsewhere: the log level.
const LOG_LEVEL: &str = "AFTERCOMMIT_LOG";

/// Environment variables, as they were when the program started.
#[derive(Clone, Default, Debug)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Those of this process. What is not Unicode is none of ours.
    #[must_use]
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        )
    }

    /// Lays the variables over the document. Empty ones count as not set. Returns the names that start as ours do and
    /// mean nothing.
    #[must_use]
    pub(super) fn lay_over(&self, document: &mut Document) -> Vec<String> {
        let known: BTreeMap<String, String> = Config::known_keys(&Document::empty(""))
            .into_iter()
            .map(|path| (variable_of(&path), path))
            .collect();
        let mut strangers = Vec::new();
        if let Some(url) = self.0.get("DATABASE_URL").filter(|url| !url.is_empty()) {
            put(&mut document.root, "database.url", url, "DATABASE_URL");
        }
        for (name, value) in self.0.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            let path = known.get(name).cloned().or_else(|| connection_path(name));
            match path {
                Some(path) if !value.is_empty() => put(&mut document.root, &path, value, name),
                None if name != LOG_LEVEL => strangers.push(name.clone()),
                Some(_) | None => {}
            }
        }
        strangers
    }

    /// What to say of variables that mean nothing; those that the configuration itself names hold secrets and mean
    /// something.
    pub(super) fn warnings(strangers: Vec<String>, config: &Config) -> Vec<String> {
        let proxies = config.destinations.values().filter_map(|destination| destination.route.proxy.as_ref());
        let named: Vec<&str> = proxies
            .filter_map(|proxy| proxy.login.as_ref().map(|(_, password)| password.as_str()))
            .chain([config.admin.token_env.as_str()])
            .chain(config.smtp.as_ref().and_then(|smtp| smtp.password_env.as_deref()))
            .collect();
        let known: Vec<String> =
            Config::known_keys(&Document::empty("")).iter().map(|path| variable_of(path)).collect();
        strangers
            .into_iter()
            .filter(|name| !named.contains(&name.as_str()))
            .map(|name| {
                let hint = nearest(&name, known.iter().map(String::as_str))
                    .map(|near| format!("; did you mean `{near}`?"))
                    .unwrap_or_default();
                format!("the environment variable {name} means nothing to aftercommit{hint}")
            })
            .collect()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(variables: T) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// `intake.batch_size` is `AFTERCOMMIT_INTAKE_BATCH_SIZE`.
fn variable_of(path: &str) -> String {
    format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "_"))
}

/// `AFTERCOMMIT_REDIS_CACHE_URL` is `redis.cache.url`.
fn connection_path(variable: &str) -> Option<String> {
    ["redis", "memcached"].into_iter().find_map(|kind| {
        let name = variable.strip_prefix(&format!("{}_", variable_of(kind)))?.strip_suffix("_URL")?;
        (!name.is_empty()).then(|| format!("{kind}.{}.url", name.to_ascii_lowercase()))
    })
}

fn put(root: &mut Node, path: &str, value: &str, variable: &str) {
    let place = Place::Environment(variable.to_owned());
    let mut node = root;
    for key in path.split('.') {
        // A section that is no table is reported when it is read.
        let Content::Table(entries) = &mut node.content else { return };
        let position = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
            let value = Node { content: Content::Table(Vec::new()), place: place.clone() };
            entries.push(Entry { key: key.to_owned(), place: place.clone(), value });
            entries.len() - 1
        });
        node = &mut entries[position].value;
    }
    *node = Node { content: Content::Text(value.to_owned()), place };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Format;

    fn resolve(text: &str, variables: &[(&str, &str)]) -> Result<(Config, Vec<String>), String> {
        let mut document = Document::parse("aftercommit.toml", text, Format::Toml).unwrap();
        let environment: Environment = variables.iter().copied().collect();
        let strangers = environment.lay_over(&mut document);
        let config = Config::resolve(&document).map_err(|report| report.to_string())?;
        let warnings = Environment::warnings(strangers, &config);
        Ok((config, warnings))
    }

    #[test]
    fn variables_win_over_the_file() {
        let (config, warnings) = resolve(
            "[database]\nurl = \"sqlite:a.db\"\n[dispatch]\nmax_concurrency = 1",
            &[
                ("DATABASE_URL", "sqlite:b.db"),
                ("AFTERCOMMIT_DISPATCH_MAX_CONCURRENCY", "7"),
                ("AFTERCOMMIT_SMTP_HOST", "mail.example.com"),
                ("AFTERCOMMIT_REDIS_CACHE_URL", "redis://localhost"),
                ("AFTERCOMMIT_ADMIN_TOKEN", "token"),
                ("AFTERCOMMIT_LOG", "debug"),
                ("AFTERCOMMIT_INTAKE_BATCH_SIZE", ""),
            ],
        )
        .unwrap();
        assert_eq!(config.database.url, "sqlite:b.db");
        assert_eq!(config.dispatch.max_concurrency, 7);
        assert_eq!(config.smtp.unwrap().host, "mail.example.com");
        assert_eq!(config.redis["cache"].url, "redis://localhost");
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn a_wrong_value_names_its_variable() {
        insta::assert_snapshot!(
            resolve("", &[("AFTERCOMMIT_DISPATCH_MAX_CONCURRENCY", "many")]).unwrap_err()
        );
    }

    #[test]
    fn an_unknown_variable_is_a_warning() {
        let (_, warnings) = resolve("", &[("AFTERCOMMIT_INTAKE_BATCHSIZE", "7")]).unwrap();
        assert_eq!(
            warnings,
            [
                "the environment variable AFTERCOMMIT_INTAKE_BATCHSIZE means nothing to aftercommit; did you mean \
              `AFTERCOMMIT_INTAKE_BATCH_SIZE`?"
            ]
        );
    }
}
