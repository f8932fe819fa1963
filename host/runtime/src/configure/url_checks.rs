//! URLs of a configuration that no request could ever go to, told when the action is loaded.

use std::net::IpAddr;

use url::Host;

use crate::{
    capability::{Effective, Origin},
    configure::{
        marked::{MarkedConfig, MarkedText},
        origins::literal_origin,
        problem::{ConfigProblem, Findings},
    },
};

/// Reports what is wrong with the fields marked `x-egress`: an address in a special range that is not granted, and a host that only a
/// template knows where no origin is granted. `origins` are those that are, if they are known.
pub(crate) fn check_reachable(
    config: &MarkedConfig,
    effective: &Effective,
    origins: Option<&[Origin]>,
    findings: &Findings,
) {
    let are_ranges_known = findings.are_none_at("/grants/private_network");
    for MarkedText { pointer, text, .. } in
        config.sound_texts(findings).into_iter().filter(|text| text.marks.egress)
    {
        match literal_origin(text, &config.secrets) {
            Ok(Some(origin)) if are_ranges_known => {
                findings.extend(special(&origin, effective).map(|problem| problem.at(pointer)));
            }
            Ok(None) if origins.is_some_and(<[_]>::is_empty) => findings.add(
                ConfigProblem::new(
                    pointer,
                    "its host comes from a template or a secret, and no origin is granted",
                )
                .help("write grants = { http = [\"https://..\"] } with the origins that it may be"),
            ),
            Ok(_) | Err(_) => {}
        }
    }
}

fn special(origin: &Origin, effective: &Effective) -> Option<ConfigProblem> {
    let address = match origin.host() {
        Host::Ipv4(address) => IpAddr::V4(*address),
        Host::Ipv6(address) => IpAddr::V6(*address),
        // Names are resolved when a request is sent. This one is always loopback (RFC 6761, 6.3).
        Host::Domain(name) if name == "localhost" => IpAddr::from([127, 0, 0, 1]),
        Host::Domain(_) => return None,
    };
    let range = effective.private_network.permits(address).err()?;
    let message = format!("its address is in a special range ({range}), which is not granted");
    Some(ConfigProblem::new("", message).help("write grants = { private_network = true }"))
}
