//! What the protocol does on purpose, each as a switch: a model without it must show why it is there.

/// The protocol.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own, taken out alone")]
pub(crate) struct Rules {
    /// A completion, and a delivery handed back, count only from the (host, attempt) that owns the delivery.
    pub(crate) fenced: bool,
    /// The attempt has its number when the delivery is claimed, not when it has failed.
    pub(crate) numbered_at_claim: bool,
    /// An attempt that is lost with its host counts only if it was marked as begun.
    pub(crate) charged_if_begun: bool,
    /// What was lost twice in a row is marked before it begins.
    pub(crate) marked: bool,
    /// What was lost is claimed with care: with others that were lost once, or alone.
    pub(crate) tried_apart: bool,
    /// Inbox rows are deleted by the transaction that makes their deliveries.
    pub(crate) taken_at_once: bool,
    /// Only hosts whose heartbeat is too old are taken over.
    pub(crate) silent_only: bool,
    /// The dead letter is written by the transaction that ends the delivery.
    pub(crate) buried_at_once: bool,
    /// Who decides what is first of an ordering key locks the key before it looks.
    pub(crate) keys_locked: bool,
    /// No host takes from the inbox while another takes ordered deliveries from it.
    pub(crate) takes_in_turn: bool,
    /// What a host owns and does not know of, because the answer of a claim was lost, it frees.
    pub(crate) frees_unknown: bool,
    /// A host that has handed a delivery back claims nothing until the answer has come: its next claim of the delivery
    /// has the same number, and handing back once more would take it away.
    pub(crate) waits_for_hand_backs: bool,
    /// When one of a run ends, the next of the run has the turn, whatever came before it meanwhile.
    pub(crate) turn_stays_in_run: bool,
    /// The next of a run begins only when the one before it ended and is not tried again; else the rest is handed back.
    pub(crate) run_stops: bool,
    /// The ends of a run are written in its order; when one can not be written, no later one is.
    pub(crate) ends_in_order: bool,
}

impl Rules {
    /// What the code does.
    pub(crate) const CODE: Self = Self {
        fenced: true,
        numbered_at_claim: true,
        charged_if_begun: true,
        marked: true,
        tried_apart: true,
        taken_at_once: true,
        silent_only: true,
        buried_at_once: true,
        keys_locked: true,
        takes_in_turn: true,
        frees_unknown: true,
        waits_for_hand_backs: true,
        turn_stays_in_run: true,
        run_stops: true,
        ends_in_order: true,
    };
}
