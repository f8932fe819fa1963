//! What it costs to find the five observers that want an event among many.

use std::hint::black_box;

use aftercommit::{EntityEvent, EventMatcher, ObserverDefinition};
use aftercommit_core::EventKind;

use crate::{
    figure::{self, Figure, ROUNDS, nanos_each},
    sample,
};

const HITS: usize = 5;
const EVENTS: u32 = 100_000;
/// Of the scan, which takes so much longer.
const SCANNED: u32 = 500;

pub(crate) fn measure() {
    figure::section("matching");
    let event = sample::event();
    for count in [10, 1_000, 10_000] {
        let definitions: Vec<_> = (0..count).map(observer).collect();
        let matcher = EventMatcher::build(definitions.clone()).unwrap();
        assert_eq!(matcher.find(&event).count(), HITS);
        assert_eq!(scan(&definitions, &event).count(), HITS);
        let (mut found, mut scanned) = (Figure::new("ns"), Figure::new("ns"));
        for _ in 0..ROUNDS {
            found.add(nanos_each(EVENTS, || {
                for watcher in matcher.find(black_box(&event)) {
                    black_box(watcher);
                }
            }));
            scanned.add(nanos_each(SCANNED, || {
                for definition in scan(&definitions, black_box(&event)) {
                    black_box(definition);
                }
            }));
        }
        let target = (count == 10_000).then_some("<= 5000 ns");
        figure::print(&format!("{HITS} of {count} observers"), &found, Some(("scan", &scanned)), target);
    }
}

/// The first five watch the sample's type and kind, the others other types.
fn observer(number: usize) -> ObserverDefinition {
    let entity_type = if number < HITS { "Order".to_owned() } else { format!("Entity{}", number / 3) };
    ObserverDefinition {
        entity_type,
        event_kind: Some(EventKind::Updated),
        ..ObserverDefinition::new(format!("observer-{number}"))
    }
}

fn scan<'a>(
    definitions: &'a [ObserverDefinition],
    event: &'a EntityEvent,
) -> impl Iterator<Item = &'a ObserverDefinition> {
    definitions.iter().filter(|definition| {
        definition.event_kind.is_none_or(|kind| kind == event.event_kind)
            && (definition.entity_type == "*" || definition.entity_type == event.entity_type)
    })
}
