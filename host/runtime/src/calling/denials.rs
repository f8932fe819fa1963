//! What a call was denied: a destination, a command, a secret. A guest may go on as if nothing had happened, and succeed: so the attempt
//! says it, beside the line of the audit.

use parking_lot::Mutex;

use crate::{
    bindings::aftercommit::action::{
        http::HttpError, mail::MailError, memcached::MemcachedError, redis::RedisError, secrets::SecretError,
    },
    egress::EgressError,
};

/// What the host denied in one call, in the words that the guest was given: the destination, without secrets, and the reason.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Denied {
    /// The first few that differ.
    pub first: Vec<String>,
    /// How often something was denied beside these.
    pub more: u64,
}

impl Denied {
    /// So many are kept. An honest plugin that is not configured well has one or two.
    const KEPT: usize = 4;

    /// A guest chooses a part of each text.
    const MAX_CHARS: usize = 500;

    fn add(&mut self, why: &str) {
        let why: String = why.chars().take(Self::MAX_CHARS).collect();
        if self.first.len() < Self::KEPT && !self.first.contains(&why) {
            self.first.push(why);
        } else {
            self.more += 1;
        }
    }

    /// Whether nothing was denied.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

/// What is denied in a call, while it runs.
#[derive(Default, Debug)]
pub(crate) struct Denials(Mutex<Denied>);

impl Denials {
    /// Notes an answer to the guest, if it is a denial.
    pub(crate) fn note<T, E: MaybeDenied>(&self, answer: &Result<T, E>) {
        if let Some(why) = answer.as_ref().err().and_then(MaybeDenied::denied) {
            self.add(why);
        }
    }

    /// Notes a denial that the guest is given in another form.
    pub(crate) fn add(&self, why: &str) {
        self.0.lock().add(why);
    }

    /// All that was denied.
    pub(crate) fn take(&self) -> Denied {
        std::mem::take(&mut *self.0.lock())
    }
}

/// An error that may be a denial.
pub(crate) trait MaybeDenied {
    fn denied(&self) -> Option<&str>;
}

macro_rules! maybe_denied {
    ($($error:ty),+) => {
        $(impl MaybeDenied for $error {
            fn denied(&self) -> Option<&str> {
                match self {
                    Self::Denied(why) => Some(why),
                    _ => None,
                }
            }
        })+
    };
}

maybe_denied!(EgressError, HttpError, MailError, MemcachedError, RedisError, SecretError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_that_differ_are_kept_and_the_rest_is_counted() {
        let denials = Denials::default();
        denials.note(&Ok::<(), EgressError>(()));
        denials.note(&Err::<(), _>(EgressError::Timeout));
        assert!(denials.take().is_empty());
        for n in [0, 0, 1, 2, 3, 4, 5, 3] {
            denials.note(&Err::<(), _>(EgressError::Denied(n.to_string())));
        }
        let first = ["0", "1", "2", "3"].map(str::to_owned).to_vec();
        assert_eq!(denials.take(), Denied { first, more: 4 });
        denials.add(&"é".repeat(10_000));
        assert_eq!(denials.take().first[0].chars().count(), Denied::MAX_CHARS);
        assert!(denials.take().is_empty());
    }
}
