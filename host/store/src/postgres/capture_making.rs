//! Makes the functions and triggers of a capture, and looks whether they are those that its table needs.

use super::{
    capture_function::{CaptureFunction, Rows},
    capture_record::{self, Written},
    capture_table::Table,
    capture_trigger,
    change_log_function::ChangeLogFunction,
    connection::identifier,
    function_name::{self, Verb},
    predicate, rights,
    session::Session,
    statement::statements,
};
use crate::{Capture, Result, Selection, StoreError};

statements! {
    /// Whether the functions have these texts. A statement that makes one has its text as a literal at its end.
    ARE_FUNCTIONS = "-- are_functions
SELECT count(*) = cardinality($2::text[])
FROM pg_proc AS p JOIN unnest($2::text[]) AS statement ON right(statement, length(quote_literal(p.prosrc))) = quote_literal(p.prosrc)
WHERE p.proname IN ($1 || '_insert', $1 || '_update', $1 || '_delete')
  AND p.pronamespace = to_regnamespace(quote_ident(current_schema()))";
}

/// Makes the functions and the triggers of a capture, and writes it down.
pub(super) async fn make(
    session: &mut Session<'_>,
    schema: &str,
    table: &Table,
    mut capture: Capture,
    earlier: Option<&Written>,
    is_tenant: bool,
) -> Result<Capture> {
    let function = function_name::name_for(&table.relation);
    if let Some(name) = capture.key.iter().find(|name| capture.change_log.is_none() && !table.has(name)) {
        return Err(StoreError::Refused(format!(
            "the table `{0}` has no column `{name}` any more, which is part of the key of its events; say which columns name \
             a row: `{1}`",
            capture.table,
            capture.command_for_key(&capture.table)
        )));
    }
    if !table.virtual_columns.is_empty() {
        tracing::warn!(
            table = capture.table,
            columns = table.virtual_columns.join(", "),
            "columns that are computed when they are read are not captured: triggers do not see them"
        );
    }
    let changing = table.changing_triggers(session).await?;
    let is_ordered = capture.change_log.is_none() && !changing.is_empty();
    if let Some(first) = changing.iter().find(|trigger| trigger.is_first) {
        tracing::warn!(
            table = capture.table,
            trigger = first.name,
            "a trigger whose name sorts before ours runs first: what it changes is told before the row's own change"
        );
    }
    if capture.change_log.is_none() {
        capture.columns = chosen_now(table, &capture)?;
    }
    for statement in generated(session, schema, &function, table, &capture, (is_ordered, is_tenant)).await? {
        session.run("create_function", &statement).await?;
    }
    // Whoever could make a trigger with one could make events.
    let verbs = if capture.change_log.is_some() { &Verb::ALL[..1] } else { &Verb::ALL[..] };
    for verb in verbs {
        let name = format!("{}.{}", identifier(schema), identifier(&verb.function(&function)));
        session.run("revoke_execute", &format!("REVOKE EXECUTE ON FUNCTION {name}() FROM PUBLIC")).await?;
    }
    let relations = table.relations(session).await?;
    let needed =
        capture_trigger::needed(schema, &function, &relations, capture.change_log.is_some(), is_ordered);
    let first_argument = earlier.map_or("", Written::first_argument);
    let present = capture_trigger::present(session, Some(&function), first_argument).await?;
    for trigger in &needed {
        if trigger.problem(&present).is_some() {
            session.run("create_trigger", &trigger.create()).await?;
        }
    }
    for trigger in &present {
        let is_needed = needed.iter().any(|needed| {
            needed.name == trigger.trigger && needed.relation.shown == trigger.shown && !trigger.is_earlier
        });
        if !is_needed {
            rights::to_drop(session, trigger).await?;
            session.run("drop_trigger", &trigger.drop()).await?;
        } else if let Some(enable) = trigger.enable() {
            session.run("enable_trigger", &enable).await?;
        }
    }
    if let Some(old) = earlier.and_then(|earlier| earlier.function.as_deref()).filter(|old| *old != function)
    {
        session.run("drop_functions", &drop_functions(schema, old)).await?;
    }
    capture_record::put(session, &capture, &function, is_tenant).await?;
    Ok(capture)
}

/// The columns that a capture takes from the table as it is now. Chosen ones that are gone are passed over.
pub(super) fn chosen_now(table: &Table, capture: &Capture) -> Result<Vec<String>> {
    let present = |named: &[String]| named.iter().filter(|name| table.has(name)).cloned().collect();
    let selection = match &capture.selection {
        Selection::All => Selection::All,
        Selection::Only(named) => Selection::Only(present(named)),
        Selection::Exclude(named) => Selection::Exclude(present(named)),
    };
    table.chosen(&selection, &capture.key)
}

/// Whether the function that the table needs now is another one.
pub(super) async fn has_outgrown(
    session: &mut Session<'_>,
    schema: &str,
    function: &str,
    written: &Written,
    table: &Table,
) -> Result<bool> {
    let capture = &written.capture;
    let is_ordered = capture.change_log.is_none() && !table.changing_triggers(session).await?.is_empty();
    let statements =
        generated(session, schema, function, table, capture, (is_ordered, written.is_tenant)).await?;
    Ok(!ARE_FUNCTIONS.call().bind(function).bind(statements).value::<bool>(session).await?)
}

/// Whether an earlier version made it, and nothing else has changed since: to have it written again changes no event.
pub(super) async fn is_of_earlier_version(
    session: &mut Session<'_>,
    schema: &str,
    written: &Written,
) -> Result<bool> {
    let Some(function) = &written.function else { return Ok(true) };
    let Some(table) = Table::find(session, &written.capture.table).await? else { return Ok(false) };
    let capture = &written.capture;
    let is_log = capture.change_log.is_some();
    let is_same = if is_log {
        capture.columns.iter().all(|column| table.has(column))
    } else {
        capture.key.iter().all(|column| table.has(column)) && chosen_now(&table, capture)? == capture.columns
    };
    Ok(is_same && has_outgrown(session, schema, function, written, &table).await?)
}

/// The statement that makes the function that a capture needs for the table as it is now.
async fn generated(
    session: &mut Session<'_>,
    schema: &str,
    function: &str,
    table: &Table,
    capture: &Capture,
    (is_ordered, is_tenant): (bool, bool),
) -> Result<Vec<String>> {
    if let Some(fields) = &capture.change_log {
        let log =
            ChangeLogFunction::describe(session, table, (schema, function), fields, capture.notify).await?;
        return Ok(log.create());
    }
    let columns = chosen_now(table, capture)?;
    let tenant = is_tenant.then_some(table.relation.schema.as_str());
    let condition = match &capture.condition {
        None => None,
        Some(condition) => {
            let names = (capture.entity_type.as_str(), &capture.key[..]);
            let now = (predicate::CHANGED_AT, tenant);
            Some(predicate::compile(session, table, names, condition, now).await?)
        }
    };
    let read = condition.as_ref().map_or(&[][..], |condition| &condition.columns);
    let mut rows = Rows::describe(session, table, (&columns, read), &capture.key).await?;
    rows.set(condition.as_ref().map_or(&[], |condition| &condition.settings));
    let function = CaptureFunction {
        schema,
        name: function,
        entity_type: &capture.entity_type,
        key: &capture.key,
        chosen: (!capture.selection.is_all()).then_some(&columns[..]),
        rows: &rows,
        predicates: condition.as_ref().map(|condition| &condition.predicates),
        notify: capture.notify,
        is_ordered,
        tenant,
    };
    Ok(function.create())
}

/// The statement that ends the functions of a capture.
pub(super) fn drop_functions(schema: &str, function: &str) -> String {
    let quoted = |verb: &Verb| format!("{}.{}()", identifier(schema), identifier(&verb.function(function)));
    format!("DROP FUNCTION IF EXISTS {}", Verb::ALL.iter().map(quoted).collect::<Vec<_>>().join(", "))
}
