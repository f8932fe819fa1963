//! A component for a world of its own: it imports what aftercommit's host does not have, and exports something else.

#![expect(missing_docs, unsafe_code, clippy::same_length_and_capacity, reason = "generated code")]

wit_bindgen::generate!({
    inline: "
        package example:other;

        interface thing {
            use-it: func(text: string) -> string;
        }

        interface greeter {
            greet: func(name: string) -> string;
        }

        world other {
            import thing;
            export greeter;
        }
    ",
});

struct Other;

impl exports::example::other::greeter::Guest for Other {
    fn greet(name: String) -> String {
        example::other::thing::use_it(&name)
    }
}

export!(Other);
