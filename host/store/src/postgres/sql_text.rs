//! Values and settings as they are written in generated SQL.

/// A text literal, whatever `standard_conforming_strings` is.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// An array of texts; null for `None`.
pub(super) fn text_array(texts: Option<&[String]>) -> String {
    texts.map_or_else(
        || "NULL::pg_catalog.text[]".to_owned(),
        |texts| {
            let texts: Vec<_> = texts.iter().map(|text| literal(text)).collect();
            format!("ARRAY[{}]::pg_catalog.text[]", texts.join(", "))
        },
    )
}

/// The settings that decide how some values are written.
pub(super) fn settings(names: &[String]) -> String {
    let clauses: Vec<_> = names
        .iter()
        .map(|name| {
            let value = match name.as_str() {
                "array_nulls" => "on",
                "bytea_output" => "'hex'",
                "datestyle" => "'ISO, MDY'",
                "extra_float_digits" => "1",
                "intervalstyle" => "'postgres'",
                "lc_monetary" => "'C'",
                "quote_all_identifiers" => "off",
                "search_path" => "pg_catalog, pg_temp",
                _ => "'UTC'",
            };
            format!(" SET {name} = {value}")
        })
        .collect();
    clauses.concat()
}
