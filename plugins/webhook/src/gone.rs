//! A receiver that is gone for good.

use aftercommit_plugin::{Failure, Problem};

/// 410 (RFC 9110, 15.5.11; Standard Webhooks 1.0.0, "Status code guidance"): nothing will ever work at this URL again. The code
/// tells the host to send no more of this action's deliveries there.
pub(crate) fn recognized(failure: Failure) -> Failure {
    match failure {
        Failure::Permanent(problem) if problem.status == Some(410) => {
            Failure::Permanent(Problem { code: "endpoint_gone".to_owned(), ..problem })
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use aftercommit_plugin::http::status_failure;

    use super::*;

    #[test]
    fn only_410_is_gone() {
        for (status, code) in [(410, "endpoint_gone"), (404, "http_status"), (503, "http_status")] {
            assert_eq!(recognized(status_failure(status, None, "")).problem().code, code, "{status}");
        }
    }
}
