//! What every backend must do: one suite for all of them. For tests only (feature `conformance`).
//!
//! A backend gives a [`Harness`]; [`run`] runs every case of [`CASES`] on a fresh database and reports those that failed
//! by name. Time is an argument everywhere: nothing here sleeps.

mod bulk;
mod captures;
mod claims;
mod concurrency;
mod dead_letters;
mod definitions;
mod deliveries;
mod events;
mod fixture;
mod holds;
mod hosts;
mod intake;
mod model;
mod ordering;
mod retention;
mod runs;
mod schema;
mod suspects;
mod waits;

use std::{pin::Pin, sync::Arc};

use aftercommit_core::EntityEvent;
use async_trait::async_trait;
use serde_json::Value;

use self::fixture::{Fixture, at};
use crate::{Backend, Capture, CaptureRequest, EventFilter};

/// Makes databases of one backend.
#[async_trait]
pub trait Harness: Send + Sync {
    /// A new database, migrated and empty.
    async fn fresh(&self) -> Arc<dyn TestDatabase>;
}

/// One database.
#[async_trait]
pub trait TestDatabase: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn Backend>;

    /// Another store of the same database, with connections of its own, as another host has.
    async fn second_store(&self) -> Arc<dyn Backend>;

    /// Runs statements as the application does, always on the same connection.
    async fn sql(&self, statements: &str);

    /// Runs a query as the application does; the first column of its first row as text.
    async fn ask(&self, query: &str) -> Option<String>;

    /// What the database has done for all stores since this was asked last, in a unit of its own: rows that it read, steps of
    /// its machine. Stores that are open may be used no more.
    async fn work(&self) -> u64;

    /// Starts to capture a table by its primary key.
    async fn capture(&self, table: &str, entity_type: &str) -> Capture {
        self.store().add_capture(CaptureRequest::new(table, entity_type), at(0)).await.unwrap()
    }

    /// The events so far, the oldest first.
    async fn events(&self) -> Vec<EntityEvent> {
        let filter = EventFilter { limit: 100_000, ..EventFilter::default() };
        let mut events = self.store().events(filter).await.unwrap();
        events.reverse();
        events
    }

    /// The images of the rows in the events so far, the oldest first.
    async fn images(&self) -> Vec<Value> {
        self.events().await.into_iter().map(|event| event.data).collect()
    }
}

type Run = fn(Fixture) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// One thing that every backend must do.
#[derive(Clone, Copy)]
pub struct Case {
    /// `trait::what_it_does`.
    pub name: &'static str,
    run: Run,
}

macro_rules! cases {
    ($($module:ident { $($case:ident,)+ })+) => {
        &[$($(Case {
            name: concat!(stringify!($module), "::", stringify!($case)),
            run: |fixture| Box::pin($module::$case(fixture)),
        },)+)+]
    };
}

/// All cases.
pub const CASES: &[Case] = cases! {
    schema {
        migrating_again_does_nothing,
        the_views_can_be_read,
    }
    intake {
        takes_in_order_and_says_whether_there_is_more,
        owns_the_first_and_leaves_the_rest_ready,
        never_owns_what_is_on_hold,
        leaves_alone_a_delivery_that_exists,
        puts_aside_what_is_no_event_and_goes_on,
        logs_conditions_that_could_not_be_evaluated,
        makes_nothing_for_an_event_nobody_wants,
        undoes_everything_when_it_does_not_end,
        leaves_deliveries_of_a_disabled_observer_ready,
        hears_a_commit,
    }
    claims {
        claims_due_retries_first_then_by_priority_and_age,
        leaves_what_is_not_due,
        a_delivery_whose_row_cannot_be_read_is_put_aside_alone,
        tries_a_destination_with_what_was_not_tried_before,
        divides_a_claim_between_due_retries_and_what_is_ready,
        divides_bytes_by_who_goes_first,
        divides_a_claim_between_the_first_of_each_ordering_key,
        passes_over_lanes,
        passes_over_disabled_observers_until_they_are_enabled,
        passes_over_each_of_many_disabled_observers,
        counts_attempts_when_claimed,
        says_when_the_next_is_due,
        says_when_the_next_of_the_other_lanes_is_due,
        a_success_ends_the_delivery_and_is_logged,
        a_retry_waits_for_its_time,
        a_failure_ends_the_delivery_without_a_dead_letter,
        refuses_a_completion_of_another_attempt,
        refuses_a_completion_by_another_host,
        applies_the_rest_when_one_is_stale,
        ends_an_attempt_only_once,
        a_release_does_not_count_the_attempt,
        a_release_can_wait,
        releases_only_what_is_owned,
        keeps_every_digit_of_the_event,
    }
    ordering {
        the_next_goes_when_the_first_has_ended,
        a_waiting_one_blocks_those_behind_it,
        actions_of_one_event_go_in_their_order,
        keys_do_not_wait_for_each_other,
        intake_does_not_own_past_a_live_one,
        a_replayed_one_waits_for_the_running_and_goes_before_later_ones,
        many_replayed_ones_of_a_key_keep_their_order,
        a_takeover_keeps_the_order,
        one_that_its_host_lost_keeps_its_turn,
    }
    runs {
        the_next_of_a_key_are_claimed_with_the_first,
        the_first_of_each_key_go_before_the_next,
        a_run_has_as_many_as_there_is_room_for,
        nobody_else_claims_of_a_key_that_runs,
        a_run_ends_before_what_can_not_be_claimed,
        what_was_tried_goes_alone,
        ends_of_a_run_let_the_rest_go_on,
        one_that_failed_blocks_those_that_are_handed_back,
        a_replayed_one_waits_for_all_that_run,
        a_run_that_is_lost_comes_back_in_order_and_uncharged,
        what_a_living_host_lost_of_a_run_comes_back_in_order,
    }
    hosts {
        enters_renews_and_lists,
        says_who_lives_and_what_they_have_loaded,
        takes_over_after_the_lease_and_not_before,
        refuses_completions_of_a_host_that_was_taken_over,
        a_lost_attempt_is_logged,
        a_host_that_retires_owns_nothing,
        frees_deliveries_of_hosts_that_are_not_entered,
        a_host_can_enter_again,
        frees_what_its_host_does_not_know_of,
        an_earlier_attempt_is_not_the_present_one,
        what_is_known_stays,
    }
    suspects {
        what_is_lost_does_not_count_and_is_claimed_with_care,
        what_is_lost_again_is_claimed_alone,
        a_marked_attempt_counts_when_its_host_dies,
        only_its_owner_marks_an_attempt,
        an_attempt_that_ends_ends_the_suspicion,
        a_suspect_that_is_handed_back_stays_one,
        suspects_keep_lanes_order_and_pauses,
        a_living_host_raises_no_suspicion,
    }
    waits {
        a_retry_waits_no_longer_than_it_was_to,
        a_wait_that_should_be_over_is_over,
        a_destination_is_left_alone_no_longer_than_it_was_to_be,
        a_heartbeat_of_the_future_is_none,
    }
    holds {
        holds_are_listed_as_they_were_written,
        of_two_openings_the_later_end_stays,
        of_two_pauses_the_first_reason_stays,
        lifts_only_what_it_may,
        counts_what_waits_by_lane,
        learned_rates_are_kept_and_forgotten,
    }
    definitions {
        applies_and_loads_the_same,
        an_unchanged_application_keeps_the_revision,
        prunes_what_is_not_named,
        a_dry_run_writes_nothing,
        refuses_a_name_that_is_there_twice,
        sees_changes_by_sql,
        shows_a_row_that_is_no_definition,
        enables_and_disables,
        removes_by_name,
        shows_load_errors_of_hosts_that_run,
    }
    captures {
        captures_inserts_updates_and_deletes,
        one_statement_makes_many_events,
        a_rollback_leaves_nothing,
        an_update_that_changes_nothing_is_no_event,
        a_changed_key_is_a_delete_and_a_create,
        joins_the_parts_of_a_key,
        quarantines_a_row_without_a_key,
        captures_an_upsert_as_what_it_did,
        keeps_numbers_texts_and_nulls,
        refuses_what_it_can_not_capture,
        refuses_an_entity_type_that_is_taken,
        reports_and_renews_after_the_table_changed,
        reports_a_table_that_is_gone,
        removing_leaves_no_trace,
        odd_names_work,
    }
    events {
        emits_and_shows,
        lists_the_newest_first_by_filter,
        lists_each_event_once_while_intake_takes_them,
        a_page_looks_at_a_bounded_number_of_events,
        a_page_of_large_events_is_short,
        refuses_an_id_that_is_taken,
        shows_what_became_of_an_event,
        an_end_is_shown_until_its_delivery_is_live_again,
        details_of_an_attempt_are_shown,
        what_was_denied_an_attempt_that_succeeded_is_listed,
        an_unknown_event_is_an_error,
    }
    deliveries {
        lists_the_live_by_state_and_observer,
        lists_attempts_by_their_code,
        lists_the_ended_from_the_log,
        lists_page_by_page,
        a_page_looks_at_a_bounded_number_of_attempts,
    }
    dead_letters {
        keeps_its_own_copy_of_event_and_action,
        replays_with_a_new_round_of_attempts,
        replays_all,
        replays_those_that_are_there_and_names_one_that_is_not,
        a_filter_chooses_those_that_fit_in_all,
        lists_the_newest_first_page_by_page,
        replays_and_discards_what_a_filter_chooses,
        restores_an_event_that_was_dropped,
        a_replayed_one_can_die_again,
        a_replay_of_a_disabled_observer_waits,
        discards_with_history,
    }
    retention {
        drops_what_is_old_in_batches,
        keeps_events_that_are_still_needed,
        drops_history_and_keeps_quarantine,
    }
    bulk {
        disabling_costs_the_same_for_any_number_of_deliveries,
        enabling_costs_the_same_for_any_number_of_deliveries,
        removing_costs_the_same_for_any_number_of_deliveries,
        applying_costs_the_same_for_any_number_of_deliveries,
        claims_cost_the_same_beside_any_number_of_a_disabled_observer,
        taking_many_changes_of_one_entity_costs_each_the_same,
        matching_again_before_many_of_one_entity_costs_each_the_same,
        replaying_many_costs_each_the_same,
        replaying_many_of_one_entity_costs_each_the_same,
        discarding_many_costs_each_the_same,
        retrying_many_quarantined_costs_each_the_same,
        discarding_many_quarantined_costs_each_the_same,
        purging_many_costs_each_the_same,
        purging_around_what_is_needed_costs_each_the_same,
        a_backfill_of_many_costs_each_the_same,
    }
    concurrency {
        two_hosts_take_each_event_once,
        two_hosts_claim_each_delivery_once,
    }
    model {
        behaves_like_the_model,
    }
};

/// Runs all cases, a few at a time, and panics with the names of those that failed. Their own messages are on stderr.
pub async fn run(harness: Arc<dyn Harness>) {
    run_cases(harness, &CASES.iter().map(|case| case.name).collect::<Vec<_>>()).await;
}

/// The same for the cases with these names.
pub async fn run_cases(harness: Arc<dyn Harness>, names: &[&str]) {
    const AT_ONCE: usize = 4;
    let filter = std::env::var("CONFORMANCE_CASE").unwrap_or_default();
    let selected: Vec<_> =
        CASES.iter().filter(|case| names.contains(&case.name) && case.name.contains(&filter)).collect();
    let mut failed = Vec::new();
    for cases in selected.chunks(AT_ONCE) {
        let running: Vec<_> = cases
            .iter()
            .map(|case| {
                let (harness, run) = (Arc::clone(&harness), case.run);
                (case.name, tokio::spawn(async move { run(Fixture::new(harness.fresh().await)).await }))
            })
            .collect();
        for (name, case) in running {
            if let Err(error) = case.await {
                eprintln!("conformance case failed: {name}: {error}");
                failed.push(name);
            }
        }
    }
    assert!(failed.is_empty(), "{} of {} cases failed: {}", failed.len(), selected.len(), failed.join(", "));
}
