//! The world of actions: what the host provides, what it calls, and how a component can fail to fit.

use std::fmt;

/// How a component does not fit the world of actions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Misfit {
    /// Interfaces that it imports and the host does not provide.
    pub needs: Vec<String>,
    /// Interfaces that the host calls and it does not export.
    pub lacks: Vec<String>,
    /// Interfaces that both know, in a different form.
    pub differs: Vec<String>,
}

/// Names that are told of each kind; a component may have any number of any length.
const MAX_NAMES: usize = 20;
const MAX_NAME_CHARS: usize = 200;

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the component is not an action of this host (world aftercommit:action/action@1)")?;
        let mut block = |title: &str, names: &[String]| {
            for (position, name) in names.iter().take(MAX_NAMES).enumerate() {
                let name: String = name.chars().take(MAX_NAME_CHARS).collect();
                write!(f, "\n  {:<17}{name}", if position == 0 { title } else { "" })?;
            }
            match names.len().saturating_sub(MAX_NAMES) {
                0 => Ok(()),
                more => write!(f, "\n  {:<17}and {more} more", ""),
            }
        };
        block("needs:", &self.needs)?;
        if !self.needs.is_empty() {
            block(
                "host provides:",
                &PROVIDED.map(|(package, _, interfaces)| describe_package(package, interfaces)),
            )?;
        }
        block("does not export:", &self.lacks)?;
        block("differs in:", &self.differs)?;
        if self.differs.is_empty() {
            return Ok(());
        }
        f.write_str("\n  (it was built for another version of these interfaces)")
    }
}

fn describe_package(package: &str, interfaces: &[&str]) -> String {
    let version = if package.starts_with("wasi:") { "0.2" } else { "1" };
    format!("{package}/{{{}}}@{version}", interfaces.join(", "))
}

/// What a component must export.
pub(crate) const PLUGIN: &str = "aftercommit:action/plugin";

/// Package, version prefix, interfaces.
const PROVIDED: [(&str, &str, &[&str]); 8] = [
    (
        "aftercommit:action",
        "1.",
        &["model", "log", "clock", "http", "secrets", "mail", "redis", "memcached", "template"],
    ),
    ("wasi:http", "0.2.", &["types", "outgoing-handler"]),
    ("wasi:io", "0.2.", &["error", "poll", "streams"]),
    ("wasi:clocks", "0.2.", &["monotonic-clock", "wall-clock"]),
    ("wasi:random", "0.2.", &["random", "insecure", "insecure-seed"]),
    (
        "wasi:cli",
        "0.2.",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("wasi:filesystem", "0.2.", &["types", "preopens"]),
    (
        "wasi:sockets",
        "0.2.",
        &[
            "network",
            "instance-network",
            "ip-name-lookup",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
        ],
    ),
];

pub(crate) fn provided(import: &str) -> bool {
    let (path, version) = import.split_once('@').unwrap_or((import, ""));
    let Some((package, interface)) = path.split_once('/') else { return false };
    PROVIDED.iter().any(|(known, start, interfaces)| {
        *known == package && version.starts_with(start) && interfaces.contains(&interface)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misfit_is_told_in_bounds() {
        let needs = (0..1000).map(|number| format!("a{number}:{}/x", "b".repeat(1000))).collect();
        let told = Misfit { needs, ..Misfit::default() }.to_string();
        assert!(told.contains("and 980 more") && told.len() < 10_000, "{told}");
    }

    #[test]
    fn interfaces_are_known_by_package_and_version() {
        assert!(provided("aftercommit:action/http@1.3.0"));
        assert!(!provided("aftercommit:action/http@2.0.0"));
        assert!(provided("wasi:cli/stdout@0.2.6"));
        assert!(!provided("wasi:cli/stdout@0.3.0"));
        assert!(!provided("acme:cloud/store@1.0.0"));
    }
}
