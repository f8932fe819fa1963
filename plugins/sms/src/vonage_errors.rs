//! What Vonage's errors mean for a delivery: one table, by the part of a problem's `type` behind `#`. Source: "API Errors" of
//! Vonage's documentation, its generic errors and those of the Messages API.

use aftercommit_plugin::{
    Failure,
    FailureClass::{self, Misconfigured, Permanent, Transient},
};

/// Vonage's code, class, and the failure's code.
const TABLE: &[(&str, FailureClass, &str)] = &[
    // The account, its credentials, its limits.
    ("unauthorized", Misconfigured, "unauthorized"),
    ("forbidden", Misconfigured, "unauthorized"),
    ("invalid-api-key", Misconfigured, "unauthorized"),
    ("unprovisioned", Misconfigured, "unauthorized"),
    ("1080", Misconfigured, "unauthorized"),
    ("1140", Misconfigured, "unauthorized"),
    ("account-suspended", Misconfigured, "account_suspended"),
    ("1060", Misconfigured, "account_suspended"),
    ("low-balance", Misconfigured, "low_balance"),
    ("1070", Misconfigured, "low_balance"),
    ("1000", Transient, "too_many_requests"),
    // The number that it goes to.
    ("1040", Permanent, "unroutable"),
    ("1050", Permanent, "blocked"),
    ("1160", Misconfigured, "trial_account"),
    // The sender.
    ("1120", Misconfigured, "invalid_sender"),
    // The request.
    ("invalid-params", Permanent, "invalid_parameters"),
    ("1010", Permanent, "invalid_parameters"),
    ("1020", Permanent, "invalid_parameters"),
    ("1090", Permanent, "message_too_long"),
    // Vonage's own trouble.
    ("1030", Transient, "provider_trouble"),
    ("1100", Transient, "provider_trouble"),
];

/// The failure that a code means, or nothing for one that is not in the table.
pub(crate) fn failure(code: &str, message: &str) -> Option<Failure> {
    let (_, class, ours) = TABLE.iter().find(|(known, ..)| *known == code)?;
    Some(class.failure(ours, message, None))
}

#[cfg(test)]
mod tests {
    use super::TABLE;

    #[test]
    fn codes_stand_once_and_are_documented() {
        for (position, (code, _, ours)) in TABLE.iter().enumerate() {
            assert!(TABLE[position + 1..].iter().all(|(other, ..)| other != code), "{code} stands twice");
            assert!(include_str!("../README.md").contains(&format!("`{ours}`")), "the README has no {ours}");
        }
    }
}
