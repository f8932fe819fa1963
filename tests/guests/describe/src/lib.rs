//! Misbehaves when it is asked what it is. It has no configuration at that time: a test that wants another behaviour
//! than the first writes its name over the word below, in the component's bytes.

use std::hint::black_box;

use aftercommit_plugin::{
    Delivery, Event, Failure, FieldProblem, Outcome, bindings,
    bindings::{aftercommit::action::model::Descriptor, exports::aftercommit::action::plugin::Guest},
};

/// `traps `, `loops `, `floods`, `grows `, `lies  `, `honest`, or a schema: `chain `, `double`, `itself`, `regexp`, `away  `,
/// `enums `, `deep  `.
static BEHAVIOUR: &[u8; 16] = b"describe: traps ";

struct Describe;

impl Guest for Describe {
    fn describe() -> Descriptor {
        match &black_box(BEHAVIOUR)[10..] {
            b"loops " => spin(),
            // More than any schema, and less than the memory that the host allows.
            b"floods" => descriptor(" ".repeat(40 << 20), &[]),
            b"grows " => descriptor(" ".repeat(100 << 20), &[]),
            b"lies  " => descriptor(r#"{"type":"object"}"#.to_owned(), &["root"]),
            b"honest" => descriptor(r#"{"type":"object"}"#.to_owned(), &[]),
            // References to references, each to one more, or to two more.
            b"chain " => descriptor(references(3000, 1), &[]),
            b"double" => descriptor(references(15, 2), &[]),
            b"itself" => descriptor(properties(r##""a":{"$ref":"#/properties/a"}"##), &[]),
            b"regexp" => descriptor(
                properties(&many(|at| format!(r#""p{at}":{{"pattern":"(\\w{{50}}){{50}}"}}"#))),
                &[],
            ),
            b"away  " => descriptor(properties(r#""a":{"$ref":"http://127.0.0.1:1/schema.json"}"#), &[]),
            b"enums " => {
                descriptor(properties(&format!(r#""a":{{"enum":[{}]}}"#, many(|at| at.to_string()))), &[])
            }
            b"deep  " => descriptor(format!("{}{}", r#"{"items":"#.repeat(5000), "}".repeat(5000)), &[]),
            _ => panic!("this guest can not be described"),
        }
    }

    fn check(_config: String) -> Result<(), Vec<FieldProblem>> {
        Ok(())
    }

    fn run(_event: Event, _delivery: Delivery, _config: String) -> Result<Outcome, Failure> {
        Ok(Outcome::new("done"))
    }
}

bindings::export!(Describe with_types_in bindings);

fn descriptor(config_schema: String, needs: &[&str]) -> Descriptor {
    Descriptor {
        name: "describe".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        summary: "Describes itself".to_owned(),
        config_schema,
        needs: needs.iter().map(|&need| need.to_owned()).collect(),
    }
}

fn properties(all: &str) -> String {
    format!(r#"{{"type":"object","properties":{{{all}}}}}"#)
}

fn many(one: impl Fn(usize) -> String) -> String {
    (0..4000).map(one).collect::<Vec<_>>().join(",")
}

fn references(levels: usize, each: usize) -> String {
    let mut defs: Vec<String> = (0..levels)
        .map(|level| {
            let next = vec![format!(r##"{{"$ref":"#/$defs/a{}"}}"##, level + 1); each];
            format!(r#""a{level}":{{"allOf":[{}]}}"#, next.join(","))
        })
        .collect();
    defs.push(format!(r#""a{levels}":{{"type":"string"}}"#));
    format!(
        r##"{{"type":"object","$defs":{{{}}},"properties":{{"a":{{"$ref":"#/$defs/a0"}}}}}}"##,
        defs.join(",")
    )
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}
