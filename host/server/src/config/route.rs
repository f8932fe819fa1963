//! `ca_file` and `proxy` of `[destinations."NAME"]`: the way to one origin.

use std::path::PathBuf;

use aftercommit_runtime::{Origin, ProxySettings, RouteSettings};
use url::Url;

use crate::document::Section;

/// Reads the keys of a destination that say more of the way to it than its name; none of them is [`RouteSettings::default`].
pub(super) fn read(section: &mut Section<'_>, name: &str) -> RouteSettings {
    let route = RouteSettings { ca_file: section.text("ca_file").map(PathBuf::from), proxy: proxy(section) };
    // Certificates are those of TLS, and in a tunnel without it a proxy would read what is sent.
    let is_https = name.starts_with("https://") && name.parse::<Origin>().is_ok();
    let written = [("ca_file", route.ca_file.is_some()), ("proxy", route.proxy.is_some())];
    for (key, _) in written.into_iter().filter(|(_, is_written)| *is_written && !is_https) {
        section.problem(key, "is for origins of https only; the host's own servers have keys of their own");
    }
    route
}

fn proxy(section: &mut Section<'_>) -> Option<ProxySettings> {
    let url: Option<Url> = section.parsed("proxy");
    let username = section.text("proxy_username");
    let password = section.text("proxy_password_env");
    if username.is_some() && password.is_none() {
        section.missing(
            "proxy_password_env",
            "the environment variable that holds the password of `proxy_username`",
        );
    }
    if username.is_none() && password.is_some() {
        section.missing("proxy_username", "who logs in with the password of `proxy_password_env`");
    }
    if url.is_none() && (username.is_some() || password.is_some()) {
        section.missing("proxy", "the proxy that wants the login");
    }
    let url = url?;
    if !url.username().is_empty() || url.password().is_some() {
        section.secret_problem("proxy", "has a login in it: write `proxy_username` and `proxy_password_env`");
    } else if Origin::of(&url).is_none() || url.path() != "/" || url.query().is_some() {
        section.problem("proxy", "is not a proxy such as http://proxy.example.com:3128");
    }
    Some(ProxySettings { url, login: username.zip(password) })
}
