//! The retry policy of an observer or an action.

use aftercommit_core::{BackoffStrategy, RetryConfig};

use crate::document::Section;

const STRATEGIES: [(&str, BackoffStrategy); 3] = [
    ("exponential", BackoffStrategy::Exponential),
    ("linear", BackoffStrategy::Linear),
    ("fixed", BackoffStrategy::Fixed),
];

pub(super) fn read(mut section: Section<'_>) -> RetryConfig {
    let default = RetryConfig::default();
    let retry = RetryConfig {
        max_attempts: section.whole("max_attempts", default.max_attempts, 1..=u64::from(u32::MAX)),
        initial_delay_ms: section.whole("initial_delay_ms", default.initial_delay_ms, 0..=u64::MAX),
        max_delay_ms: section.whole("max_delay_ms", default.max_delay_ms, 0..=u64::MAX),
        backoff_strategy: section.choice("backoff_strategy", &STRATEGIES).unwrap_or_default(),
        jitter: section.fraction("jitter", default.jitter, 0.0..1.0),
    };
    if retry.initial_delay_ms > retry.max_delay_ms {
        let RetryConfig { initial_delay_ms, max_delay_ms, .. } = retry;
        section.problem(
            "initial_delay_ms",
            format!(
                "the first pause, {initial_delay_ms} ms, is longer than `max_delay_ms`, {max_delay_ms} ms"
            ),
        );
    }
    section.finish();
    retry
}
