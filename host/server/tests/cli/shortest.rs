//! `examples/shortest`: the seven actions in their shortest form, and what they leave to the host's configuration.

use crate::place::Place;

const HOST: &str = include_str!("../../../../examples/shortest/aftercommit.toml");
const OBSERVERS: &str = include_str!("../../../../examples/shortest/observers.json");

#[test]
fn every_action_loads_as_it_stands() {
    let place = Place::new();
    place.write("aftercommit.toml", HOST).write("observers.json", OBSERVERS);
    let mut command = place.command(&["observers", "validate", "observers.json"]);
    for secret in ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "APNS_KEY", "SEARCH_API_KEY"] {
        command.env(secret, "AC00000000000000000000000000000000");
    }
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*told), (Some(0), ""));
}

#[test]
fn what_the_host_does_not_say_is_asked_for() {
    let place = Place::new();
    place.write("observers.json", OBSERVERS);
    insta::assert_snapshot!(place.run(&["observers", "validate", "observers.json"]));
}
