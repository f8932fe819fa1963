//! Whom a call has reached, and what it was denied. A call that met nobody but servers whose certificates are not trusted has had no effect
//! anywhere.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use aftercommit_core::{AttemptResult, Failure, FailureClass, HostFailure};

use crate::calling::denials::Denials;

/// What came of one exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Contact {
    /// A server whose certificate is not trusted: nothing was sent to it.
    Untrusted,
    /// Anything else: something may have been taken.
    Other,
}

/// All exchanges of one call.
#[derive(Default, Debug)]
pub(crate) struct Contacts {
    untrusted: AtomicBool,
    other: AtomicBool,
    pub(crate) denials: Denials,
}

impl Contacts {
    pub(crate) fn note(&self, contact: Contact) {
        match contact {
            Contact::Untrusted => self.untrusted.store(true, Relaxed),
            Contact::Other => self.other.store(true, Relaxed),
        }
    }

    /// Whether the call failed by certificates alone.
    pub(crate) fn are_untrusted(&self) -> bool {
        self.untrusted.load(Relaxed) && !self.other.load(Relaxed)
    }
}

/// The same result, with the code of a certificate if that is what it failed by.
pub(crate) fn by_certificate(mut result: AttemptResult, are_untrusted: bool) -> AttemptResult {
    if let Err(Failure { class: FailureClass::Transient | FailureClass::Throttled, problem, retry_after }) =
        &mut result
        && are_untrusted
    {
        problem.code = HostFailure::Certificate.into();
        *retry_after = None;
    }
    result
}

#[cfg(test)]
mod tests {
    use aftercommit_core::{Outcome, Problem};

    use super::*;

    #[test]
    fn a_certificate_is_what_a_call_failed_by_only_if_nobody_else_was_reached() {
        let contacts = Contacts::default();
        assert!(!contacts.are_untrusted());
        contacts.note(Contact::Untrusted);
        assert!(contacts.are_untrusted());
        contacts.note(Contact::Other);
        assert!(!contacts.are_untrusted());
    }

    #[test]
    fn only_what_is_tried_again_has_the_code() {
        let failed = |class| Err(Failure::new(class, Problem::of_plugin("tls", "why")));
        let code =
            |result: AttemptResult| by_certificate(result, true).map_err(|failure| failure.problem.code);
        assert_eq!(code(failed(FailureClass::Transient)).unwrap_err().host(), Some(HostFailure::Certificate));
        assert_eq!(code(failed(FailureClass::Permanent)).unwrap_err().plugin(), Some("tls"));
        assert!(code(Ok(Outcome::default())).is_ok());
    }
}
