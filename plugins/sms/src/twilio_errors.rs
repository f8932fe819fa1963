//! What Twilio's error codes mean for a delivery: one table. Source: Twilio's "Error and Warning Dictionary"
//! (`twilio-error-codes.json`). Twilio adds codes and advises not to rely on them (changelog of 2024-07-10), so one that is not
//! here goes by its status.

use aftercommit_plugin::{
    Failure,
    FailureClass::{self, Misconfigured, Permanent, Transient},
    excerpt,
    http::Response,
};

/// Twilio's code, class, and the failure's code.
const TABLE: &[(u32, FailureClass, &str)] = &[
    // Requests: the account, its credentials, its limits.
    (20003, Misconfigured, "unauthorized"),
    (20005, Misconfigured, "account_suspended"),
    (20006, Misconfigured, "unauthorized"),
    (20404, Misconfigured, "account_not_found"),
    (20429, Transient, "too_many_requests"),
    (20500, Transient, "provider_trouble"),
    (20503, Transient, "provider_trouble"),
    (14107, Transient, "too_many_requests"),
    (63038, Transient, "too_many_requests"),
    // The number that it goes to.
    (21211, Permanent, "invalid_phone_number"),
    (21217, Permanent, "invalid_phone_number"),
    (21265, Permanent, "invalid_phone_number"),
    (21266, Permanent, "invalid_phone_number"),
    (21614, Permanent, "not_a_mobile_number"),
    (21635, Permanent, "not_a_mobile_number"),
    (21610, Permanent, "opted_out"),
    (21612, Permanent, "unroutable"),
    (21268, Permanent, "unroutable"),
    // The sender, and what it may do.
    (21212, Misconfigured, "invalid_sender"),
    (21601, Misconfigured, "invalid_sender"),
    (21657, Misconfigured, "invalid_sender"),
    (30042, Misconfigured, "invalid_sender"),
    (21603, Misconfigured, "invalid_sender"),
    (21606, Misconfigured, "invalid_sender"),
    (21659, Misconfigured, "invalid_sender"),
    (21660, Misconfigured, "invalid_sender"),
    (21661, Misconfigured, "invalid_sender"),
    (21701, Misconfigured, "invalid_sender"),
    (21703, Misconfigured, "invalid_sender"),
    (21704, Misconfigured, "invalid_sender"),
    (21705, Misconfigured, "invalid_sender"),
    (21408, Misconfigured, "region_not_permitted"),
    (21607, Misconfigured, "trial_account"),
    (21608, Misconfigured, "trial_account"),
    (21267, Misconfigured, "trial_account"),
    (21609, Misconfigured, "invalid_status_callback"),
    (21611, Transient, "queue_full"),
    // The text.
    (21602, Permanent, "empty_message"),
    (21619, Permanent, "empty_message"),
    (21617, Permanent, "message_too_long"),
    // The delivery.
    (30001, Transient, "queue_full"),
    (30002, Misconfigured, "account_suspended"),
    (30003, Transient, "unreachable"),
    (30004, Permanent, "blocked"),
    (30005, Permanent, "invalid_phone_number"),
    (30006, Permanent, "not_a_mobile_number"),
    (30007, Permanent, "filtered"),
    (30008, Transient, "provider_trouble"),
    (30009, Transient, "provider_trouble"),
    (30010, Permanent, "too_expensive"),
    (30022, Transient, "too_many_requests"),
    (30032, Misconfigured, "sender_not_registered"),
    (30034, Misconfigured, "sender_not_registered"),
    (30410, Transient, "provider_trouble"),
    (30500, Transient, "provider_trouble"),
];

/// The failure that a code means, or nothing for one that is not in the table.
pub(crate) fn failure(code: u32, text: &str, response: &Response) -> Option<Failure> {
    let (_, class, ours) = TABLE.iter().find(|(known, ..)| *known == code)?;
    let message = format!("Twilio answered {code}: {}", excerpt(text, 200));
    Some(class.failure(ours, message, response.retry_after_ms).with_status(response.status))
}

#[cfg(test)]
mod tests {
    use super::TABLE;

    #[test]
    fn codes_stand_once() {
        for (position, (code, _, ours)) in TABLE.iter().enumerate() {
            assert!(TABLE[position + 1..].iter().all(|(other, ..)| other != code), "{code} stands twice");
            assert!(include_str!("../README.md").contains(&format!("`{ours}`")), "the README has no {ours}");
            assert!(ours.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{ours}");
        }
    }
}
