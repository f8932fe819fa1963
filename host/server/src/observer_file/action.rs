//! One action: the host's keys are read, the rest is the plugin's and is kept as it is written.

use aftercommit_core::ActionConfig;
use serde_json::Value;

use super::{Reader, batch, retry};
use crate::document::{Content, Node, Section};

impl<'a> Reader<'a> {
    pub(super) fn action(&self, path: &str, node: &'a Node) -> ActionConfig {
        let mut section = Section::new(path, node, self.findings);
        if section.node("type").is_none() && matches!(node.content, Content::Table(_)) {
            section.missing("type", "the name of a plugin, such as \"webhook\"");
        }
        let plugin = section.text("type").unwrap_or_default();
        let retry = section.section("retry");
        let batch = section.section("batch");
        ActionConfig {
            name: section.text("name"),
            timeout_ms: section.whole_or_none("timeout_ms", 1..=ActionConfig::MAX_TIMEOUT_MS),
            retry: retry.is_present().then(|| retry::read(retry)),
            batch: batch.is_present().then(|| batch::read(batch)),
            grants: table(&mut section, "grants"),
            limits: table(&mut section, "limits"),
            config: section
                .rest()
                .into_iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect(),
            ..ActionConfig::new(plugin)
        }
    }
}

fn table(section: &mut Section<'_>, key: &str) -> Option<Value> {
    let node = section.node(key)?;
    if !matches!(node.content, Content::Table(_)) {
        section.problem(key, format!("expected a table, found {}", node.kind()));
    }
    Some(node.to_json())
}
