//! Whether a request may go to its destination, decided for each hop before anything is resolved or connected.

use std::net::IpAddr;

use url::{Host, Url};

use super::{EgressError, Permit};
use crate::capability::{Need, Origin};

impl Permit {
    /// The origin of `url`, if this action may send to it. `shown` is what an error may tell of the URL.
    pub(super) fn decide(&self, url: &Url, shown: &str) -> Result<Origin, EgressError> {
        if !self.effective.needs.has(Need::Http) {
            return Err(self.denied(shown, "the plugin does not declare that it needs `http`"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressError::InvalidRequest(
                "a URL holds no user information; use `auth`".to_owned(),
            ));
        }
        let Some(origin) = Origin::of(url) else {
            return Err(EgressError::InvalidRequest(format!("{shown} is not an http or https URL")));
        };
        if !self.effective.origins.contains(&origin) {
            return Err(self.denied(
                shown,
                &format!(
                    "its origin is not granted; write it into the action's `grants.http`: {}",
                    self.granted_origins()
                ),
            ));
        }
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) | None => None,
        };
        if let Some(address) = literal
            && let Err(range) = self.effective.private_network.permits(address)
        {
            return Err(self.denied(shown, &private_reason(range)));
        }
        Ok(origin)
    }

    /// A denial, told to the guest and to the audit.
    pub(super) fn denied(&self, shown: &str, why: &str) -> EgressError {
        if self.audit.admits((shown, why)) {
            tracing::warn!(
                target: "aftercommit::audit",
                plugin = self.who.plugin,
                observer = self.who.observer,
                action = self.who.action,
                destination = shown,
                reason = why,
                "a request was denied"
            );
        }
        EgressError::Denied(format!("{shown}: {why}"))
    }

    fn granted_origins(&self) -> String {
        let origins = &self.effective.origins;
        if origins.is_empty() {
            return "none is granted".to_owned();
        }
        let names: Vec<String> = origins.iter().take(5).map(Origin::to_string).collect();
        let more = if origins.len() > 5 { ", .." } else { "" };
        format!("granted are {}{more}", names.join(", "))
    }
}

pub(super) fn private_reason(range: &str) -> String {
    format!("its address is in a special range ({range}); `grants.private_network` permits such ranges")
}
