//! Which fields of the row a condition reads.

use std::collections::BTreeSet;

use crate::syntax::{Expression, OperandKind};

/// The row's own fields that a tree names, each once: of `OLD.customer.city` it is `customer`.
pub(crate) fn of(tree: &Expression) -> BTreeSet<&str> {
    tree.operands()
        .into_iter()
        .filter_map(|operand| match &operand.kind {
            OperandKind::Field(field) => Some(field.root.text.as_str()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::Condition;

    #[test]
    fn every_field_is_found_once() {
        let text = "a = b OR NOT (OLD.c.d IN (e, 'x') AND f BETWEEN g AND 3) OR h LIKE i OR j IS NULL OR CHANGED_TO(k, 1) \
                    OR NEW.\"l m\"[0] > 1 OR EVENT.actor = a";
        let condition = Condition::parse(text).unwrap();
        let fields: Vec<&str> = condition.fields().into_iter().collect();
        assert_eq!(fields, ["a", "b", "c", "e", "f", "g", "h", "i", "j", "k", "l m"]);
    }
}
