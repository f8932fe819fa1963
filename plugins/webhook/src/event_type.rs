//! The type of the default body: `order.updated`.

use aftercommit_plugin::Event;

/// The entity's type in lower case with underscores, a full stop, and what happened to it.
pub(crate) fn of(event: &Event) -> String {
    let mut name = snake_case(&event.entity_type);
    name.push('.');
    name.push_str(&event.kind);
    name
}

/// `OrderItem` becomes `order_item`, `HTTPRequest` `http_request`, `order-item` `order_item`. Full stops stay: Standard
/// Webhooks uses them between the levels of a type. Letters beyond ASCII stay as they are.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    let mut before = None;
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        if c.is_ascii_uppercase() {
            // A word starts at a capital after a small letter or digit, and at the last capital of a run of them.
            let starts_word = match before {
                Some(b) if b == '_' || b == '.' => false,
                Some(b) if char::is_ascii_uppercase(&b) => rest.peek().is_some_and(char::is_ascii_lowercase),
                Some(_) => true,
                None => false,
            };
            if starts_word {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
            before = Some(c);
        } else {
            let kept = if c.is_ascii_alphanumeric() || c == '.' || !c.is_ascii() { c } else { '_' };
            snake.push(kept);
            before = Some(kept);
        }
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn names_become_snake_case() {
        for (name, expected) in [
            ("Order", "order"),
            ("OrderItem", "order_item"),
            ("order_item", "order_item"),
            ("Order_Item", "order_item"),
            ("HTTPRequest", "http_request"),
            ("orderV2Item", "order_v2_item"),
            ("order-item", "order_item"),
            ("sales.OrderItem", "sales.order_item"),
            ("ORDER", "order"),
            ("Étape", "Étape"),
            ("", ""),
        ] {
            assert_eq!(snake_case(name), expected);
        }
    }
}
