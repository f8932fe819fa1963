//! Which fields of the row a condition reads.

use std::collections::BTreeSet;

use crate::syntax::{Expression, ExpressionKind, Operand, OperandKind};

/// The row's own fields that a tree names, each once: of `OLD.customer.city` it is `customer`.
pub(crate) fn of(tree: &Expression) -> BTreeSet<&str> {
    let mut fields = BTreeSet::new();
    walk(tree, &mut fields);
    fields
}

fn walk<'t>(tree: &'t Expression, fields: &mut BTreeSet<&'t str>) {
    let mut add = |operand: &'t Operand| {
        if let OperandKind::Field(field) = &operand.kind {
            fields.insert(field.root.text.as_str());
        }
    };
    match &tree.kind {
        ExpressionKind::AnyOf(parts) | ExpressionKind::AllOf(parts) => {
            for part in parts {
                walk(part, fields);
            }
        }
        ExpressionKind::Not(inner) => walk(inner, fields),
        ExpressionKind::Comparison { left, right, .. } => [left, right].into_iter().for_each(add),
        ExpressionKind::Membership { operand, list, .. } => {
            add(operand);
            list.iter().for_each(add);
        }
        ExpressionKind::Range { operand, low, high, .. } => [operand, low, high].into_iter().for_each(add),
        ExpressionKind::Search { operand, sought, .. } => [operand, sought].into_iter().for_each(add),
        ExpressionKind::NullTest { operand, .. } => add(operand),
        ExpressionKind::Call { arguments, .. } => arguments.iter().for_each(add),
    }
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
