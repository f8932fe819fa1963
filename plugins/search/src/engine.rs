//! What the engines share: the request's beginning, and what success is called.

use aftercommit_plugin::{Failure, JsonObject, Outcome, excerpt, http::Request};

use crate::{config::Config, operation::Operation};

/// A request to a path of the engine, with credentials.
pub(crate) fn request(config: &Config, method: &str, path: &str) -> Result<Request, Failure> {
    let Some(url) = &config.url else {
        return Err(Failure::misconfigured("config", "neither url nor url_env is given"));
    };
    Ok(Request::new(method, format!("{}{path}", url.trim_end_matches('/'))))
}

/// What became of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Done {
    Indexed,
    Deleted,
    /// It was to be deleted and is not there.
    Absent,
    /// The index has a newer version.
    Superseded,
    /// The engine will do it.
    Enqueued,
}

impl Done {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Indexed => "indexed",
            Self::Deleted => "deleted",
            Self::Absent => "absent",
            Self::Superseded => "superseded",
            Self::Enqueued => "enqueued",
        }
    }

    /// The outcome; `more` is one further detail, already JSON.
    pub(crate) fn outcome(self, operation: &Operation, status: u16, more: Option<(&str, String)>) -> Outcome {
        let Operation { index, id, .. } = operation;
        let mut details = JsonObject::new();
        details.text("index", index).text("id", id).text("result", self.as_str());
        if let Some((name, json)) = more {
            details.raw(name, &json);
        }
        let summary = match self {
            Self::Indexed => format!("{index}/{id} indexed"),
            Self::Deleted => format!("{index}/{id} deleted"),
            Self::Absent => format!("{index}/{id} was not there to be deleted"),
            Self::Superseded => format!("{index}/{id} is newer already"),
            Self::Enqueued => format!("{index}/{id} enqueued"),
        };
        Outcome::new(summary).with_status(status).with_details(details.finish())
    }
}

/// The failure of a class that all engines name alike. `said` is the engine's own message.
pub(crate) fn refused(config: &Config, status: u16, code: &str, said: &str) -> Failure {
    let message = format!("{} answered {status}: {}", config.engine.title(), excerpt(said, 300));
    let failure = match code {
        "unauthorized" | "index_not_found" | "invalid_index" => Failure::misconfigured(code, message),
        "cluster_blocked" => Failure::transient(code, message),
        _ => Failure::permanent(code, message),
    };
    failure.with_status(status)
}
