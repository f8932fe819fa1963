//! Several events in one request: `POST` with an array.
//!
//! Items whose templates made different URLs or headers do not share a request, nor do those without a JSON body. The
//! rest of the configuration is the action's, and so the same.

use std::collections::HashMap;

use aftercommit_plugin::{BatchItem, Failure, Outcome, clock};
use uuid::Uuid;

use crate::{body, config::Config, element, headers, message::Message};

type Item = BatchItem<Config>;
type Results = Vec<Option<Result<Outcome, Failure>>>;

/// What is sent together: positions of the items, and their elements with a comma between them.
#[derive(Default)]
struct Share {
    positions: Vec<usize>,
    elements: String,
}

pub(crate) fn run(items: &[Item]) -> Vec<Result<Outcome, Failure>> {
    let time = Time::start(items);
    let mut results: Results = items.iter().map(|_| None).collect();
    for share in shares(items, &mut results) {
        send(items, share, &time, &mut results);
    }
    results.into_iter().map(|result| result.expect("each item was refused or sent")).collect()
}

/// The requests to be made, in the order of their first items. What can not be an element has its result at once.
fn shares(items: &[Item], results: &mut Results) -> Vec<Share> {
    let mut shares: Vec<Share> = Vec::new();
    let mut open: HashMap<String, usize> = HashMap::new();
    for (position, item) in items.iter().enumerate() {
        if is_alone(&item.config) {
            shares.push(Share { positions: vec![position], elements: String::new() });
            continue;
        }
        let body = body::of(&item.config, &item.event).unwrap_or_default();
        let element = match element::of(&body, &item.delivery.id) {
            Ok(element) => element,
            Err(failure) => {
                results[position] = Some(Err(failure));
                continue;
            }
        };
        let address = address(&item.config);
        let most_bytes = item.config.batch_max_bytes as usize;
        let room = |share: &Share| share.elements.len() + element.len() + "[,]".len() <= most_bytes;
        let share = match open.get(&address) {
            Some(&share) if room(&shares[share]) => &mut shares[share],
            _ => {
                open.insert(address, shares.len());
                shares.push(Share::default());
                shares.last_mut().expect("just added")
            }
        };
        if !share.elements.is_empty() {
            share.elements.push(',');
        }
        share.elements.push_str(&element);
        share.positions.push(position);
    }
    shares
}

/// Whether the body is none, or none that an array can hold.
fn is_alone(config: &Config) -> bool {
    config.raw_body_template.is_some() || (config.body_template.is_none() && !config.method.has_body())
}

/// Where the item goes, and with which headers. A NUL stands in neither.
fn address(config: &Config) -> String {
    let mut address = config.url.as_deref().unwrap_or_default().to_owned();
    for value in config.headers.values() {
        address.push('\0');
        address.push_str(value);
    }
    address
}

fn send(items: &[Item], share: Share, time: &Time, results: &mut Results) {
    let Share { positions, elements } = share;
    let first = &items[positions[0]];
    let alone = is_alone(&first.config);
    let id = id(positions.iter().map(|&position| items[position].delivery.id.as_str()));
    let sent = time.left().and_then(|timeout_ms| {
        let message = Message {
            id: &id,
            body: if alone { body::of(&first.config, &first.event) } else { Some(format!("[{elements}]")) },
            traceparent: first.event.attribute(headers::TRACEPARENT).filter(|_| positions.len() == 1),
            timeout_ms: Some(timeout_ms),
            events: (!alone).then_some(positions.len()),
        };
        message.send(&first.config)
    });
    let sent = sent.map_err(|failure| failure.of_shared_request(positions.len()));
    for position in positions {
        results[position] = Some(sent.clone());
    }
}

/// The id of what is sent: the delivery's own if it is one, else the same for the same deliveries, in any order
/// (a name-based UUID, RFC 9562, 5.5).
fn id<'a>(deliveries: impl Iterator<Item = &'a str>) -> String {
    let mut deliveries: Vec<&str> = deliveries.collect();
    if let [one] = deliveries[..] {
        return one.to_owned();
    }
    deliveries.sort_unstable();
    Uuid::new_v5(&Uuid::NAMESPACE_OID, deliveries.join(",").as_bytes()).to_string()
}

/// The time of the attempt. A request that takes too long must not cost the others their results.
struct Time {
    ends_at_ms: u64,
}

impl Time {
    /// A twentieth of the budget is kept for what comes after the last request.
    fn start(items: &[Item]) -> Self {
        let budget_ms = items.first().map_or(0, |item| u64::from(item.delivery.budget_ms));
        Self { ends_at_ms: clock::now_ms() + budget_ms - budget_ms / 20 }
    }

    fn left(&self) -> Result<u32, Failure> {
        match self.ends_at_ms.saturating_sub(clock::now_ms()) {
            0 => Err(Failure::transient("timeout", "no time was left for this request of the batch")),
            left => Ok(u32::try_from(left).unwrap_or(u32::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use aftercommit_plugin::{Delivery, Event};
    use serde_json::json;

    use super::*;

    fn item(id: &str, config: &serde_json::Value) -> Item {
        let event = Event {
            id: "e1".to_owned(),
            entity_type: "Order".to_owned(),
            entity_id: "7".to_owned(),
            kind: "created".to_owned(),
            occurred_at: "2026-01-02T03:04:05.000006Z".to_owned(),
            data: "{}".to_owned(),
            old: None,
            changed: Vec::new(),
            attributes: Vec::new(),
        };
        let (observer, id) = ("o".to_owned(), id.to_owned());
        let delivery = Delivery { id, observer, attempt: 1, max_attempts: 3, budget_ms: 1000 };
        let config = serde_json::from_value(config.clone()).expect("a configuration");
        Item { event, delivery, config }
    }

    /// The positions of each share, and what it would send.
    fn told(items: &[Item]) -> Vec<(Vec<usize>, String)> {
        let mut results: Results = items.iter().map(|_| None).collect();
        let shares = shares(items, &mut results);
        shares.into_iter().map(|share| (share.positions, share.elements)).collect()
    }

    #[test]
    fn items_share_a_request_if_they_go_to_the_same_address() {
        let to = |id: &str, url: &str, key: &str| {
            item(id, &json!({"url": url, "headers": {"X-Key": key}, "body_template": "{\"a\":1}"}))
        };
        let items = [
            to("a", "https://x/1", "k"),
            to("b", "https://x/2", "k"),
            to("c", "https://x/1", "k"),
            to("d", "https://x/1", "l"),
        ];
        assert_eq!(
            told(&items),
            [
                (vec![0, 2], r#"{"webhook_id":"a","a":1},{"webhook_id":"c","a":1}"#.to_owned()),
                (vec![1], r#"{"webhook_id":"b","a":1}"#.to_owned()),
                (vec![3], r#"{"webhook_id":"d","a":1}"#.to_owned()),
            ]
        );
    }

    #[test]
    fn a_body_is_no_longer_than_it_may_be() {
        let body =
            |bytes: u32| json!({"url": "https://x", "body_template": "{\"a\":1}", "batch_max_bytes": bytes});
        // Elements of 24 bytes: two make 51.
        let positions = |bytes| -> Vec<Vec<usize>> {
            let items: Vec<_> = ["a", "b", "c"].map(|id| item(id, &body(bytes))).into();
            told(&items).into_iter().map(|(positions, _)| positions).collect()
        };
        assert_eq!(positions(51), [vec![0, 1], vec![2]]);
        assert_eq!(positions(50), [vec![0], vec![1], vec![2]]);
        assert_eq!(positions(1), [vec![0], vec![1], vec![2]], "one that is longer goes alone");
    }

    #[test]
    fn what_no_array_can_hold_goes_alone_and_what_is_no_object_nowhere() {
        let raw = json!({"url": "https://x", "raw_body_template": "a;b"});
        let get = json!({"url": "https://x", "method": "GET"});
        let bad = json!({"url": "https://x", "body_template": "{"});
        let items = [item("a", &raw), item("b", &raw), item("c", &get), item("d", &bad)];
        let mut results: Results = items.iter().map(|_| None).collect();
        let shares = shares(&items, &mut results);
        assert_eq!(shares.iter().map(|share| share.positions.len()).collect::<Vec<_>>(), [1, 1, 1]);
        assert!(matches!(&results[3], Some(Err(Failure::Permanent(why))) if why.code == "invalid_body"));
    }

    #[test]
    fn the_same_deliveries_have_the_same_id() {
        let of = |ids: &[&'static str]| id(ids.iter().copied());
        assert_eq!(of(&["a"]), "a");
        assert_eq!(of(&["a", "b"]), of(&["b", "a"]));
        assert_ne!(of(&["a", "b"]), of(&["a", "b", "c"]));
        assert!(Uuid::parse_str(&of(&["a", "b"])).is_ok());
    }
}
