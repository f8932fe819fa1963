//! What statements do to the state of a delivery: declared here, and compared with their texts on both databases and with the legal
//! moves of [`DeliveryState::after`], which no statement calls.

use std::collections::{BTreeSet, HashMap};

use aftercommit_core::{
    DeliveryState::{self, Dead, Failed, Ready, Running, Succeeded, Waiting},
    Move::{self, Claim, Die, Fail, Postpone, Release, Replay, Retry, Succeed, TakeOver},
};

/// What a statement does to the deliveries that it changes.
enum Change {
    /// Makes them ready, or claims them at once.
    Makes,
    /// Makes one of these moves, from one of these states. The second text names the statement that looks at the state, where another
    /// does so in the same transaction.
    Moves(&'static [DeliveryState], &'static [Move], &'static str),
    /// Puts them into the quarantine, because their event can not be read: no state follows.
    PutsAside,
}

use Change::{Makes, Moves, PutsAside};

/// The statements that change the state of a delivery, by name. Those of the two databases with the same name do the same.
const CHANGES: &[(&str, Change)] = &[
    ("insert_deliveries", Makes),
    ("claim_due", Moves(&[Waiting], &[Claim], "claim_due")),
    ("claim_ready", Moves(&[Ready], &[Claim], "claim_ready")),
    ("claim_due_by_lane", Moves(&[Waiting], &[Claim], "claim_due_by_lane")),
    ("claim_ready_by_lane", Moves(&[Ready], &[Claim], "claim_ready_by_lane")),
    ("claim_suspects", Moves(&[Ready, Waiting], &[Claim], "claim_suspects")),
    ("claim_runs", Moves(&[Ready], &[Claim], "claim_runs")),
    ("own_deliveries", Moves(&[Ready, Waiting], &[Claim], "own_deliveries")),
    ("own_behind", Moves(&[Ready], &[Claim], "still_behind")),
    ("release_deliveries", Moves(&[Running], &[Release, Postpone], "release_deliveries")),
    ("complete_deliveries", Moves(&[Running], &[Succeed, Retry, Die, Fail], "complete_deliveries")),
    ("retry_deliveries", Moves(&[Running], &[Retry], "stale_completions")),
    ("end_deliveries", Moves(&[Running], &[Succeed, Die, Fail], "stale_completions")),
    ("free_deliveries", Moves(&[Running], &[TakeOver], "free_deliveries")),
    ("replay_deliveries", Moves(&[Dead], &[Replay], "replay_deliveries")),
    ("delete_deliveries", PutsAside),
    ("put_deliveries_aside", PutsAside),
    ("put_odd_aside", PutsAside),
];

/// The texts of all statements of both databases, by name.
fn statements() -> HashMap<&'static str, Vec<&'static str>> {
    let sqlite = crate::sqlite::statements().map(|statement| (statement.name(), statement.sql()));
    let mut texts: HashMap<_, Vec<_>> = HashMap::new();
    for (name, text) in crate::postgres::statements().chain(sqlite) {
        texts.entry(name).or_default().push(text);
    }
    texts
}

fn changes_state(text: &str) -> bool {
    let sets = text.contains("UPDATE observer_deliveries") && text.contains("SET state =");
    sets || ends(text) || text.contains("INSERT INTO observer_deliveries")
}

fn ends(text: &str) -> bool {
    text.contains("DELETE FROM observer_deliveries")
}

fn names(text: &str, state: DeliveryState) -> bool {
    text.contains(&format!("'{state}'"))
}

/// Whether a statement leaves out deliveries that are not in `state`.
fn looks_for(text: &str, state: DeliveryState) -> bool {
    match state {
        Dead => text.contains("FROM observer_dlq_items"),
        Ready | Waiting => names(text, state) || text.contains("state <> 'running'"),
        Running => text.contains("state = 'running'"),
        Succeeded | Failed => false,
    }
}

/// Whether a statement can leave a delivery in `state`.
fn leads_to(text: &str, state: DeliveryState) -> bool {
    if state.is_final() { ends(text) } else { names(text, state) }
}

#[test]
fn every_statement_that_changes_a_state_is_declared() {
    let found: BTreeSet<_> = statements()
        .into_iter()
        .filter(|(_, texts)| texts.iter().any(|text| changes_state(text)))
        .map(|(name, _)| name)
        .collect();
    let declared: BTreeSet<_> = CHANGES.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, declared);
}

#[test]
fn statements_make_legal_moves_and_every_legal_move_is_made() {
    let texts = statements();
    // Of two databases one may find what the statement of the same name changes on the other.
    let all_that_change = |name: &str, is_so: &dyn Fn(&str) -> bool| {
        texts[name].iter().filter(|text| changes_state(text)).all(|text| is_so(text))
    };
    let mut made = BTreeSet::new();
    for (name, change) in CHANGES {
        match change {
            Makes => {
                assert!(all_that_change(name, &|text| names(text, Ready) && names(text, Running)), "{name}");
            }
            PutsAside => assert!(all_that_change(name, &ends), "{name}"),
            Moves(from, moves, guard) => {
                for (&from, &step) in from.iter().flat_map(|from| moves.iter().map(move |step| (from, step)))
                {
                    let to = from.after(step).unwrap_or_else(|illegal| panic!("{name}: {illegal}"));
                    assert!(texts[guard].iter().all(|text| looks_for(text, from)), "{guard}: {from}");
                    assert!(all_that_change(name, &|text| leads_to(text, to)), "{name}: {to}");
                    made.insert(format!("{from} {step:?}"));
                }
            }
        }
    }
    let legal: BTreeSet<_> = DeliveryState::ALL
        .into_iter()
        .flat_map(|from| Move::ALL.map(|step| (from, step)))
        .filter(|(from, step)| from.after(*step).is_ok())
        .map(|(from, step)| format!("{from} {step:?}"))
        .collect();
    assert_eq!(made, legal);
}
