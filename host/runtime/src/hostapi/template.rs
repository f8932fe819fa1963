//! `template`: the host's template language for text that only the guest can complete.

use std::sync::Arc;

use handlebars::Context;

use crate::{
    bindings::aftercommit::action::template::{self, Host},
    calling::{
        cpu::Until,
        guest::{Guest, Phase},
    },
    templates::{Escaping, Template},
};

impl Host for Guest {
    async fn render(
        &mut self,
        text: String,
        escaping: template::Escaping,
        data: String,
    ) -> wasmtime::Result<Result<String, String>> {
        self.call.host_call()?;
        if self.call.phase == Phase::Describe {
            return Ok(Err("templates are not rendered during `describe`".to_owned()));
        }
        let max_bytes = self.call.limits.rendered_bytes;
        // It is the guest's work, wherever it is done.
        let cpu = Arc::clone(&self.call.cpu);
        let (deadline, left) = (self.call.deadline, cpu.left());
        // Each value in a template may write all of it.
        if data.len() as u64 > max_bytes {
            let why = format!(
                "the data has {} bytes; at most {max_bytes} are taken (`limits.rendered_bytes`)",
                data.len()
            );
            return Ok(Err(why));
        }
        // On a thread of its own: a guest's template may take long, and the template parser refuses to work on a
        // guest's stack, because it can not see where that ends.
        let rendered = cpu
            .work(move || {
                let until = Until::on_this_thread(deadline, left);
                render(&text, escaping.into(), &data, max_bytes, until)
            })
            .await;
        Ok(rendered.unwrap_or_else(|| Err("the template could not be rendered".to_owned())))
    }
}

fn render(
    text: &str,
    escaping: Escaping,
    data: &str,
    max_bytes: u64,
    until: Until,
) -> Result<String, String> {
    let data: serde_json::Value =
        serde_json::from_str(data).map_err(|error| format!("the data is not JSON: {error}"))?;
    let template = Template::compile(text, escaping).map_err(|error| error.to_string())?;
    template.render(until, &Context::from(data), max_bytes).map_err(|problem| problem.to_string())
}

impl From<template::Escaping> for Escaping {
    fn from(escaping: template::Escaping) -> Self {
        match escaping {
            template::Escaping::Json => Self::Json,
            template::Escaping::Html => Self::Html,
            template::Escaping::Text => Self::Text,
            template::Escaping::Url => Self::Url,
            template::Escaping::Slack => Self::Slack,
            template::Escaping::SlackJson => Self::SlackJson,
            template::Escaping::Glob => Self::Glob,
        }
    }
}
