//! The JSON Schema of scenarios, for editors and for people: every key with its description, type and bounds.

/// The schema as `harness schema` prints it.
pub fn scenario_schema() -> String {
    let mut text =
        serde_json::to_string_pretty(&crate::scenario::json_schema()).expect("a JSON value is JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Keys of every object in the schema.
    fn keys(schema: &Value, found: &mut BTreeSet<String>) {
        match schema {
            Value::Object(map) => {
                if let Some(Value::Object(properties)) = map.get("properties") {
                    found.extend(properties.keys().cloned());
                }
                map.values().for_each(|v| keys(v, found));
            }
            Value::Array(list) => list.iter().for_each(|v| keys(v, found)),
            _ => {}
        }
    }

    #[test]
    fn the_schema_lists_every_key_with_its_description() {
        let text = scenario_schema();
        let schema: Value = serde_json::from_str(&text).unwrap();
        let mut listed = BTreeSet::new();
        keys(&schema, &mut listed);
        let wire = include_str!("scenario/wire.rs");
        let fields: BTreeSet<String> = wire_keys(wire);
        assert!(fields.len() > 35, "{fields:?}");
        assert_eq!(listed, fields);
        let documented = |v: &Value| v.get("description").is_some() || v.get("$ref").is_some();
        let top = schema["properties"].as_object().unwrap();
        assert!(top.iter().all(|(_, v)| documented(v)), "{text}");
        assert_eq!(schema["properties"]["blocks"]["minimum"], 1);
        assert_eq!(schema["properties"]["blocks"]["maximum"], 200);
        assert_eq!(schema["properties"]["blocks"]["default"], 10);
        assert_eq!(schema["additionalProperties"], false);
    }

    /// Field names of the structs in `wire.rs` that derive a schema.
    fn wire_keys(source: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for item in source.split("JsonSchema)]").skip(1) {
            let body = item.split_once('{').and_then(|(_, b)| b.split_once("\n}")).map_or("", |(b, _)| b);
            for line in body.lines().map(str::trim).filter(|l| l.ends_with(',') && !l.starts_with(['#', '/']))
            {
                if let Some((name, _)) = line.trim_start_matches("pub(super) ").split_once(": ") {
                    found.insert(name.trim_start_matches('_').to_owned());
                }
            }
        }
        found
    }

    #[test]
    fn the_readme_of_scenarios_names_every_key() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let missing: Vec<String> = wire_keys(include_str!("scenario/wire.rs"))
            .into_iter()
            .filter(|key| !readme.contains(&format!("`{key}`")))
            .collect();
        assert!(missing.is_empty(), "not in scenarios/README.md: {missing:?}");
    }
}
