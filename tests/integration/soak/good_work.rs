//! What the application wants delivered beside all hostile work: small rows, and large ones.

use std::{collections::HashSet, time::Duration};

use aftercommit_tests::{Received, Receiver};
use serde_json::Value;

use crate::shop::{Database, Shop, webhook};

/// Small rows of a round.
const ORDERS: usize = 20;

/// Large rows in all, however long it takes: the database keeps them.
const DOCUMENTS: u32 = 100;
const DOCUMENT_BYTES: [usize; 3] = [64 << 10, 512 << 10, 4 << 20];

/// For the deliveries of one round, on a machine that is busy with all the hostile ones.
const SOON: Duration = Duration::from_mins(2);

/// One delivery: the path that it goes to, and the row's key.
type Expected = (&'static str, usize);

const TO_ORDERS: &str = "/orders";
const TO_DOCUMENTS: &str = "/documents";

/// What was written so far, and what has arrived of it.
#[derive(Default)]
pub(super) struct GoodWork {
    orders: usize,
    documents: usize,
    missing: HashSet<Expected>,
    /// Requests in all.
    arrived: usize,
}

impl GoodWork {
    /// Its observers. Documents are told by their keys and lengths, which shows that the whole row was there.
    pub(super) fn observers<D: Database>(shop: &Shop<D>) -> String {
        let orders = webhook("orders", "event_kind = \"created\"", &shop.receiver.url(TO_ORDERS));
        format!(
            "{orders}[[observers]]\nname = \"documents\"\nentity_type = \"Document\"\n[[observers.actions]]\ntype = \"webhook\"\n\
             url = \"{}\"\nbody_template = '{{\"id\":{{{{id}}}},\"bytes\":{{{{len body}}}}}}'\n\
             grants = {{ private_network = true }}\n",
            shop.receiver.url(TO_DOCUMENTS)
        )
    }

    /// Statements with the rows of a round; `part` of all the time is over.
    pub(super) fn next_rows(&mut self, part: f64) -> Vec<String> {
        let orders = self.orders + 1..=self.orders + ORDERS;
        self.orders += ORDERS;
        self.missing.extend(orders.clone().map(|id| (TO_ORDERS, id)));
        let values: Vec<String> = orders.map(|id| format!("({id}, 'new', {id})")).collect();
        let mut statements = vec![format!("INSERT INTO orders VALUES {}", values.join(", "))];
        if part * f64::from(DOCUMENTS) >= f64::from(u32::try_from(self.documents).expect("few")) {
            self.documents += 1;
            let id = self.documents;
            self.missing.insert((TO_DOCUMENTS, id));
            statements
                .push(format!("INSERT INTO documents VALUES ({id}, '{}')", "x".repeat(document_bytes(id))));
        }
        statements
    }

    /// Waits until all that was written has arrived; returns what has not.
    pub(super) async fn arrive(&mut self, receiver: &Receiver) -> &HashSet<Expected> {
        let all = async {
            while !self.missing.is_empty() {
                for request in receiver.take().await {
                    self.arrived += 1;
                    self.missing.remove(&told(&request));
                }
            }
        };
        // What is missing then is for the caller to report.
        let _ = tokio::time::timeout(SOON, all).await;
        &self.missing
    }

    /// Rows written, and so deliveries to make.
    pub(super) const fn written(&self) -> usize {
        self.orders + self.documents
    }

    /// Once all has ended: nothing was given up, and no request was sent without an attempt on record.
    pub(super) async fn check<D: Database>(&mut self, name: &str, shop: &Shop<D>) {
        const GOOD: &str = "observer IN ('orders', 'documents')";
        shop.eventually(SOON, "all good deliveries have ended", async |shop| {
            shop.count(&format!("SELECT count(*) FROM observer_deliveries WHERE {GOOD}")).await == 0
        })
        .await;
        let count = async |of: &str| shop.count(&format!("SELECT count(*) FROM {of}")).await;
        assert_eq!(count(&format!("observer_dlq_items WHERE {GOOD}")).await, 0, "{name}: given up");
        let succeeded = count(&format!("tb_observer_log WHERE {GOOD} AND status = 'succeeded'")).await;
        assert_eq!(usize::try_from(succeeded), Ok(self.written()), "{name}: deliveries that succeeded");
        let attempts =
            usize::try_from(count(&format!("tb_observer_log WHERE {GOOD}")).await).expect("a count");
        assert!(self.arrived <= attempts, "{name}: {} requests of {attempts} attempts", self.arrived);
    }
}

fn document_bytes(id: usize) -> usize {
    DOCUMENT_BYTES[id % DOCUMENT_BYTES.len()]
}

/// What a request tells of; panics if it tells it wrongly.
fn told(request: &Received) -> Expected {
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let number = |pointer| {
        let found = body.pointer(pointer).and_then(Value::as_u64);
        usize::try_from(found.unwrap_or_else(|| panic!("no number at {pointer}: {body}"))).expect("small")
    };
    if request.path == TO_DOCUMENTS {
        let id = number("/id");
        assert_eq!(number("/bytes"), document_bytes(id), "the document {id} is not whole");
        return (TO_DOCUMENTS, id);
    }
    let id = number("/data/data/id");
    assert_eq!(number("/data/data/total"), id, "the order {id} is another's");
    (TO_ORDERS, id)
}
