//! Every field of a kind, as the API server's OpenAPI describes it, and every way to edit one in a given object.
//!
//! An [`Edit`] is one change of one field: a value is added, changed or removed. The schema alone does not determine which values
//! are valid, so an edit has several candidates. The first one that passes the API server's validation counts. This module does not
//! call an API server.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

/// Maximum number of candidates of an edit.
const CANDIDATES: usize = 60;
/// Maximum number of parent objects that are replaced to add a field.
const LEVELS: usize = 4;

/// The schemas of an OpenAPI v3 document, by name.
#[derive(Clone, Debug, Default)]
pub struct Schemas(BTreeMap<String, Value>);

/// The change of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// An absent field gets a value.
    Added,
    /// The value changes.
    Changed,
    /// The field is removed.
    Removed,
}

/// One change of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// The field in the schema: `spec.template.spec.containers[].image`, `metadata.labels{}`.
    pub field: String,
    /// The change of the field.
    pub change: Change,
    /// Ways to make the change, the least intrusive first.
    pub candidates: Vec<Candidate>,
}

/// One way to make an edit: operations on the object, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate(pub Vec<Operation>);

/// An operation on an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Sets the value at a path. Absent parent objects are created.
    Set(Vec<Token>, Value),
    /// Removes the value at a path.
    Remove(Vec<Token>),
}

/// One step into an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A field of an object or a key of a map.
    Key(String),
    /// An item of a list. The index after the last item appends.
    Item(usize),
}

/// Hints that complement the schema.
pub struct Hints {
    /// Other fields that must change with a field, as one or more sets: an external name needs the type ExternalName.
    pub companions: fn(&str) -> Vec<Vec<Operation>>,
    /// Keys to add to a map. Each is a separate edit.
    pub keys: fn(&str) -> Vec<String>,
    /// Values to try before the usual ones.
    pub values: fn(&str) -> Vec<Value>,
    /// What a new object of a field needs in addition to its required fields, and the field that it is created for, if any.
    pub needs: fn(&str, Option<&str>) -> Value,
}

impl Default for Hints {
    fn default() -> Self {
        Self {
            companions: |_| Vec::new(),
            keys: |_| vec!["other".into()],
            values: |_| Vec::new(),
            needs: |_, _| json!({}),
        }
    }
}

/// What a schema describes.
enum Shape<'a> {
    Object(&'a Map<String, Value>),
    Map(&'a Value),
    List(&'a Value),
    Leaf,
}

// === impl Schemas ===

impl Schemas {
    /// Reads a document such as `/openapi/v3/apis/apps/v1`.
    pub fn read(document: &Value) -> Result<Self> {
        let schemas = document["components"]["schemas"]
            .as_object()
            .context("an OpenAPI v3 document has components.schemas")?;
        Ok(Self(
            schemas
                .iter()
                .map(|(name, schema)| (name.clone(), schema.clone()))
                .collect(),
        ))
    }

    /// The schema of a kind.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Result<&Value> {
        let wanted = json!({"group": group, "version": version, "kind": kind});
        self.0
            .values()
            .find(|schema| {
                schema["x-kubernetes-group-version-kind"]
                    .as_array()
                    .is_some_and(|kinds| kinds.contains(&wanted))
            })
            .with_context(|| format!("the OpenAPI document has no {group}/{version} {kind}"))
    }

    /// Every edit of every field of `kind` in this object. A field that occurs more than once is edited at each place.
    pub fn edits(&self, kind: &Value, object: &Value, hints: &Hints) -> Vec<Edit> {
        let mut walk = Walk {
            schemas: self,
            root: kind,
            object,
            hints,
            edits: Vec::new(),
        };
        walk.visit(kind, "", &mut Vec::new(), Some(object), true);
        walk.edits
    }

    /// The leaf fields of a kind, whether an object has them or not.
    pub fn leaves(&self, kind: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.collect(kind, "", &mut found);
        found
    }

    fn collect(&self, schema: &Value, field: &str, found: &mut Vec<String>) {
        match self.shape(schema) {
            Shape::Object(properties) => {
                for (name, property) in properties {
                    self.collect(property, &join(field, name), found);
                }
            }
            Shape::List(items) if !matches!(self.shape(items), Shape::Leaf) => {
                self.collect(items, &format!("{field}[]"), found);
            }
            Shape::List(_) => found.push(format!("{field}[]")),
            Shape::Map(_) => found.push(format!("{field}{{}}")),
            Shape::Leaf => found.push(field.to_owned()),
        }
    }

    fn resolve<'a>(&'a self, mut schema: &'a Value) -> &'a Value {
        loop {
            let reference = schema.get("$ref").or_else(|| schema["allOf"][0].get("$ref"));
            let Some(name) = reference
                .and_then(Value::as_str)
                .and_then(|path| path.rsplit('/').next())
            else {
                return schema;
            };
            match self.0.get(name) {
                Some(found) => schema = found,
                None => return schema,
            }
        }
    }

    fn shape<'a>(&'a self, schema: &'a Value) -> Shape<'a> {
        let schema = self.resolve(schema);
        match schema["type"].as_str() {
            Some("array") => Shape::List(&schema["items"]),
            Some("object") => {
                if let Some(properties) = schema["properties"].as_object() {
                    Shape::Object(properties)
                } else if schema["additionalProperties"].is_object() {
                    Shape::Map(&schema["additionalProperties"])
                } else {
                    Shape::Leaf
                }
            }
            _ => Shape::Leaf,
        }
    }

    /// The smallest value that is valid by the schema.
    fn minimal(&self, schema: &Value, field: &str, made_for: Option<&str>, hints: &Hints) -> Value {
        match self.shape(schema) {
            Shape::Object(properties) => {
                let mut object = match (hints.needs)(field, made_for) {
                    Value::Object(needs) => needs,
                    _ => Map::new(),
                };
                for name in required(self.resolve(schema)) {
                    if object.contains_key(name) {
                        continue;
                    }
                    if let Some(property) = properties.get(name) {
                        let value = self.minimal(property, &join(field, name), None, hints);
                        object.insert(name.to_owned(), value);
                    }
                }
                Value::Object(object)
            }
            Shape::Map(values) => {
                json!({"other": self.minimal(values, &format!("{field}{{}}"), None, hints)})
            }
            Shape::List(items) => json!([self.minimal(items, &format!("{field}[]"), None, hints)]),
            Shape::Leaf => self
                .values(schema, field, None, hints)
                .into_iter()
                .next()
                .unwrap_or_default(),
        }
    }

    /// Other values for a leaf.
    fn values(&self, schema: &Value, field: &str, current: Option<&Value>, hints: &Hints) -> Vec<Value> {
        let schema = self.resolve(schema);
        let mut values = (hints.values)(field);
        if let Some(known) = schema["enum"].as_array() {
            values.extend(known.iter().cloned());
        } else if schema["oneOf"].is_array() {
            // A quantity, or a number that can also be a name or a percentage.
            values.extend([json!(1), json!("50%"), json!("other"), json!("1Gi"), json!("1m")]);
        } else {
            match schema["type"].as_str() {
                Some("boolean") => values.extend([json!(true), json!(false)]),
                Some("integer" | "number") => {
                    if let Some(number) = current.and_then(Value::as_i64) {
                        values.extend([json!(number + 1), json!(number - 1)]);
                    }
                    values.extend([1, 2, 0, 30, 100, 30_080].map(|number| json!(number)));
                }
                Some("string") => values.extend(texts(schema["format"].as_str(), field)),
                _ => values.extend([json!({}), json!({"other": "other"})]),
            }
        }
        values.retain(|value| Some(value) != current);
        values
    }
}

/// Plausible texts. Validation determines which one is valid.
fn texts(format: Option<&str>, field: &str) -> Vec<Value> {
    let name = field.rsplit(['.', '[', '{']).next().unwrap_or_default();
    let name = if name.len() < 2 {
        field.trim_end_matches(['[', ']', '{', '}'])
    } else {
        name
    };
    let first = match format {
        Some("date-time") => "2026-01-01T00:00:00.000000Z",
        Some("byte") => "b3RoZXI=",
        _ if name.ends_with("IP") || name.ends_with("IPs") || name == "ip" => "10.9.9.9",
        _ if name.ends_with("Path") || name == "path" => "/other",
        _ => "other",
    };
    let mut texts = vec![first];
    for text in [
        "other",
        "/other",
        "10.9.9.9",
        "example.com/other",
        "other.example.com",
        "1",
        "Always",
        "2026-01-01T00:00:00Z",
    ] {
        if text != first {
            texts.push(text);
        }
    }
    texts.into_iter().map(Value::from).collect()
}

fn required(schema: &Value) -> Vec<&str> {
    let names = schema["required"].as_array();
    names.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn join(field: &str, name: &str) -> String {
    if field.is_empty() {
        name.to_owned()
    } else {
        format!("{field}.{name}")
    }
}

// === the walk ===

struct Walk<'a> {
    schemas: &'a Schemas,
    root: &'a Value,
    object: &'a Value,
    hints: &'a Hints,
    edits: Vec<Edit>,
}

// === impl Walk ===

impl Walk<'_> {
    /// Edits of the value at `path`. Absent fields are added if `adds` is set: once for all items of a list.
    fn visit(
        &mut self,
        schema: &Value,
        field: &str,
        path: &mut Vec<Token>,
        found: Option<&Value>,
        adds: bool,
    ) {
        let schemas = self.schemas;
        match schemas.shape(schema) {
            Shape::Object(properties) => {
                if found.is_some() && !path.is_empty() {
                    self.remove(field, path);
                }
                for (name, property) in properties {
                    let at = join(field, name);
                    path.push(Token::Key(name.clone()));
                    let value = found
                        .and_then(|found| found.get(name))
                        .filter(|value| !value.is_null());
                    if value.is_some() || adds {
                        self.visit(property, &at, path, value, adds);
                    }
                    path.pop();
                }
            }
            Shape::List(items) => self.visit_list(items, field, path, found, adds),
            Shape::Map(values) => self.visit_map(values, field, path, found, adds),
            Shape::Leaf => {
                let values = schemas.values(schema, field, found, self.hints);
                if found.is_some() {
                    self.set(field, Change::Changed, path, &values);
                    self.remove(field, path);
                } else {
                    self.set(field, Change::Added, path, &values);
                }
            }
        }
    }

    fn visit_list(
        &mut self,
        items: &Value,
        field: &str,
        path: &mut Vec<Token>,
        found: Option<&Value>,
        adds: bool,
    ) {
        let schemas = self.schemas;
        let each = format!("{field}[]");
        let present = found.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if !present.is_empty() {
            self.remove(field, path);
        }
        for (index, item) in present.iter().enumerate() {
            path.push(Token::Item(index));
            self.visit(items, &each, path, Some(item), adds && index == 0);
            path.pop();
        }
        if adds {
            path.push(Token::Item(present.len()));
            if matches!(schemas.shape(items), Shape::Leaf) {
                let values = schemas.values(items, &each, None, self.hints);
                self.set(&each, Change::Added, path, &values);
            } else if present.is_empty() {
                self.visit(items, &each, path, None, true);
            } else {
                let item = schemas.minimal(items, &each, None, self.hints);
                self.set(&each, Change::Added, path, &[item]);
            }
            path.pop();
        }
    }

    fn visit_map(
        &mut self,
        values: &Value,
        field: &str,
        path: &mut Vec<Token>,
        found: Option<&Value>,
        adds: bool,
    ) {
        let schemas = self.schemas;
        let each = format!("{field}{{}}");
        let is_leaf = matches!(schemas.shape(values), Shape::Leaf);
        for (key, value) in found.and_then(Value::as_object).into_iter().flatten() {
            path.push(Token::Key(key.clone()));
            if is_leaf {
                let others = schemas.values(values, &each, Some(value), self.hints);
                self.set(&each, Change::Changed, path, &others);
            }
            self.remove(&each, path);
            path.pop();
        }
        if adds {
            for key in (self.hints.keys)(&each) {
                path.push(Token::Key(key));
                let others = if is_leaf {
                    schemas.values(values, &each, None, self.hints)
                } else {
                    vec![schemas.minimal(values, &each, None, self.hints)]
                };
                self.set(&each, Change::Added, path, &others);
                path.pop();
            }
        }
    }

    fn remove(&mut self, field: &str, path: &[Token]) {
        self.edits.push(Edit {
            field: field.to_owned(),
            change: Change::Removed,
            candidates: vec![Candidate(vec![Operation::Remove(path.to_vec())])],
        });
    }

    fn set(&mut self, field: &str, change: Change, path: &[Token], values: &[Value]) {
        let companions = (self.hints.companions)(field);
        let mut candidates = Vec::new();
        for value in values {
            let set = Operation::Set(path.to_vec(), value.clone());
            for with in &companions {
                candidates.push(Candidate(with.iter().cloned().chain([set.clone()]).collect()));
            }
        }
        for at in self.places(path) {
            for value in values {
                candidates.push(Candidate(vec![self.place(&at, path, value)]));
            }
        }
        candidates.dedup();
        candidates.truncate(CANDIDATES);
        self.edits.push(Edit {
            field: field.to_owned(),
            change,
            candidates,
        });
    }

    /// Where a value can be placed: into existing objects, into a new item of a parent list, or into a parent object that is
    /// rebuilt from its required fields.
    fn places(&self, path: &[Token]) -> Vec<Vec<Token>> {
        let there = (0..=path.len())
            .rev()
            .find(|depth| pointed(self.object, &path[..*depth]).is_some())
            .unwrap_or(0);
        let first = path[..path.len().min(there + 1)].to_vec();
        let mut places = vec![first.clone()];
        for depth in (1..first.len()).rev().take(LEVELS) {
            let above = &path[..depth];
            if let (Some(Token::Item(_)), Some(items)) = (
                above.last(),
                pointed(self.object, &above[..depth - 1]).and_then(Value::as_array),
            ) {
                let mut appended = above[..depth - 1].to_vec();
                appended.push(Token::Item(items.len()));
                places.push(appended);
            } else if depth > 1 {
                places.push(above.to_vec());
            }
        }
        places
    }

    /// Replaces the value at `at` with an object that has only required fields, and `value` at the rest of `path`.
    fn place(&self, at: &[Token], path: &[Token], value: &Value) -> Operation {
        let mut schema = self.root;
        let mut field = String::new();
        for token in &path[..at.len()] {
            (schema, field) = self.step(schema, &field, token);
        }
        Operation::Set(at.to_vec(), self.fresh(schema, &field, &path[at.len()..], value))
    }

    fn fresh(&self, schema: &Value, field: &str, rest: &[Token], value: &Value) -> Value {
        let Some((token, below)) = rest.split_first() else {
            return value.clone();
        };
        let (inner, name) = self.step(schema, field, token);
        let inner = self.fresh(inner, &name, below, value);
        match token {
            Token::Item(_) => json!([inner]),
            Token::Key(key) => {
                let mut object = match self.schemas.shape(schema) {
                    Shape::Object(_) => self.schemas.minimal(schema, field, Some(key), self.hints),
                    _ => json!({}),
                };
                object[key.as_str()] = inner;
                object
            }
        }
    }

    fn step<'s>(&'s self, schema: &'s Value, field: &str, token: &Token) -> (&'s Value, String) {
        match (self.schemas.shape(schema), token) {
            (Shape::Object(properties), Token::Key(key)) => {
                (properties.get(key).unwrap_or(&Value::Null), join(field, key))
            }
            (Shape::Map(values), Token::Key(_)) => (values, format!("{field}{{}}")),
            (Shape::List(items), Token::Item(_)) => (items, format!("{field}[]")),
            _ => (&Value::Null, field.to_owned()),
        }
    }
}

// === impl Candidate ===

impl Candidate {
    /// The object with this edit.
    pub fn apply(&self, object: &Value) -> Value {
        let mut edited = object.clone();
        for operation in &self.0 {
            match operation {
                Operation::Set(path, value) => set(&mut edited, path, value.clone()),
                Operation::Remove(path) => remove(&mut edited, path),
            }
        }
        edited
    }
}

/// The fields in which two objects differ. Lists are compared item by item.
pub fn differences(before: &Value, after: &Value) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    compare(before, after, &mut Vec::new(), &mut found);
    found
}

fn compare(before: &Value, after: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let children = |value: &Value| -> Option<BTreeMap<String, Value>> {
        match value {
            Value::Object(fields) => Some(fields.clone().into_iter().collect()),
            Value::Array(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| (index.to_string(), item.clone()))
                    .collect(),
            ),
            // An absent map is an empty one.
            Value::Null => Some(BTreeMap::new()),
            _ => None,
        }
    };
    if before == after {
        return;
    }
    match (children(before), children(after)) {
        (Some(before), Some(after)) if !(before.is_empty() && after.is_empty()) => {
            let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
            for name in names {
                path.push(name.clone());
                let of = |side: &BTreeMap<String, Value>| side.get(name).cloned().unwrap_or_default();
                compare(&of(&before), &of(&after), path, found);
                path.pop();
            }
        }
        // Null, {} and [] are equivalent for the API server.
        (Some(_), Some(_)) => {}
        _ => found.push(path.clone()),
    }
}

fn pointed<'a>(object: &'a Value, path: &[Token]) -> Option<&'a Value> {
    path.iter().try_fold(object, |object, token| match token {
        Token::Key(key) => object.get(key),
        Token::Item(index) => object.get(index),
    })
}

fn set(object: &mut Value, path: &[Token], value: Value) {
    let Some((token, rest)) = path.split_first() else {
        *object = value;
        return;
    };
    match token {
        Token::Key(key) => {
            if !object.is_object() {
                *object = json!({});
            }
            set(&mut object[key.as_str()], rest, value);
        }
        Token::Item(index) => {
            if !object.is_array() {
                *object = json!([]);
            }
            if let Some(items) = object.as_array_mut() {
                if *index >= items.len() {
                    items.push(Value::Null);
                }
                let at = (*index).min(items.len() - 1);
                set(&mut items[at], rest, value);
            }
        }
    }
}

fn remove(object: &mut Value, path: &[Token]) {
    let Some((last, above)) = path.split_last() else {
        return;
    };
    let holder = above.iter().try_fold(object, |object, token| match token {
        Token::Key(key) => object.get_mut(key),
        Token::Item(index) => object.get_mut(index),
    });
    match (holder, last) {
        (Some(Value::Object(fields)), Token::Key(key)) => {
            fields.remove(key);
        }
        (Some(Value::Array(items)), Token::Item(index)) if *index < items.len() => {
            items.remove(*index);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kind as the API server writes schemas, with one field of each shape.
    fn schemas() -> Schemas {
        Schemas::read(&json!({"components": {"schemas": {
            "Widget": {
                "type": "object",
                "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Widget"}],
                "properties": {
                    "metadata": {"allOf": [{"$ref": "#/components/schemas/Meta"}], "default": {}},
                    "spec": {"allOf": [{"$ref": "#/components/schemas/Spec"}], "default": {}},
                },
            },
            "Meta": {"type": "object", "properties": {
                "labels": {"type": "object", "additionalProperties": {"type": "string", "default": ""}},
            }},
            "Spec": {"type": "object", "properties": {
                "paused": {"type": "boolean"},
                "mode": {"type": "string", "enum": ["On", "Off"]},
                "size": {"$ref": "#/components/schemas/IntOrString"},
                "volumes": {"type": "array", "items": {"allOf": [{"$ref": "#/components/schemas/Volume"}]}},
                "words": {"type": "array", "items": {"type": "string"}},
            }},
            "IntOrString": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
            "Volume": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string"},
                "host": {"$ref": "#/components/schemas/Host"},
                "empty": {"type": "object"},
            }},
            "Host": {"type": "object", "required": ["path"], "properties": {
                "path": {"type": "string"},
                "kind": {"type": "string"},
            }},
        }}}))
        .unwrap()
    }

    fn widget() -> Value {
        json!({
            "metadata": {"labels": {"app": "x"}},
            "spec": {
                "mode": "On",
                "volumes": [{"name": "a", "empty": {}}, {"name": "b", "host": {"path": "/b"}}],
                "words": ["one"],
            },
        })
    }

    fn edits() -> Vec<Edit> {
        let schemas = schemas();
        let kind = schemas.kind("example.com", "v1", "Widget").unwrap();
        schemas.edits(kind, &widget(), &Hints::default())
    }

    fn of<'a>(edits: &'a [Edit], field: &str, change: Change) -> Vec<&'a Edit> {
        edits
            .iter()
            .filter(|edit| edit.field == field && edit.change == change)
            .collect()
    }

    fn results(edit: &Edit) -> Vec<Value> {
        let object = widget();
        edit.candidates
            .iter()
            .map(|candidate| candidate.apply(&object))
            .collect()
    }

    #[test]
    fn each_leaf_is_listed_once_whatever_an_object_has() {
        let schemas = schemas();
        let leaves = schemas.leaves(schemas.kind("example.com", "v1", "Widget").unwrap());
        assert_eq!(
            leaves,
            [
                "metadata.labels{}",
                "spec.mode",
                "spec.paused",
                "spec.size",
                "spec.volumes[].empty",
                "spec.volumes[].host.kind",
                "spec.volumes[].host.path",
                "spec.volumes[].name",
                "spec.words[]",
            ]
        );
    }

    #[test]
    fn every_leaf_has_an_edit() {
        let schemas = schemas();
        let edits = edits();
        for leaf in schemas.leaves(schemas.kind("example.com", "v1", "Widget").unwrap()) {
            assert!(edits.iter().any(|edit| edit.field == leaf), "{leaf}");
        }
    }

    #[test]
    fn a_field_is_changed_and_removed_at_each_place_and_added_once() {
        let edits = edits();
        assert_eq!(of(&edits, "spec.volumes[].name", Change::Changed).len(), 2);
        assert_eq!(of(&edits, "spec.volumes[].name", Change::Removed).len(), 2);
        assert_eq!(of(&edits, "spec.volumes[].host.kind", Change::Added).len(), 1);
        assert_eq!(of(&edits, "spec.volumes[]", Change::Removed).len(), 2);
        assert_eq!(of(&edits, "spec.volumes[]", Change::Added).len(), 1);
    }

    #[test]
    fn no_candidate_leaves_the_object_as_it_was() {
        for edit in edits() {
            assert!(!edit.candidates.is_empty(), "{edit:?}");
            for result in results(&edit) {
                assert_ne!(result, widget(), "{edit:?}");
            }
        }
    }

    #[test]
    fn the_other_values_of_an_enum_are_tried_and_the_present_one_is_not() {
        let edits = edits();
        let mode = of(&edits, "spec.mode", Change::Changed);
        let found: Vec<_> = results(mode[0])
            .iter()
            .map(|object| object["spec"]["mode"].clone())
            .collect();
        assert!(found.iter().all(|mode| mode == "Off"), "{found:?}");
    }

    #[test]
    fn an_absent_field_is_tried_in_an_item_and_then_in_a_new_one_with_its_required_fields() {
        let edits = edits();
        let kind = of(&edits, "spec.volumes[].host.kind", Change::Added);
        let results = results(kind[0]);
        assert_eq!(results[0]["spec"]["volumes"][0]["name"], "a");
        assert!(results[0]["spec"]["volumes"][0]["host"]["path"].is_string());
        assert_eq!(results[0]["spec"]["volumes"].as_array().unwrap().len(), 2);
        let new = results
            .iter()
            .find(|object| object["spec"]["volumes"].as_array().unwrap().len() == 3)
            .unwrap();
        assert_eq!(new["spec"]["volumes"][0], widget()["spec"]["volumes"][0]);
        assert!(new["spec"]["volumes"][2]["name"].is_string());
        assert!(new["spec"]["volumes"][2]["host"]["kind"].is_string());
        assert!(new["spec"]["volumes"][2].get("empty").is_none());
    }

    #[test]
    fn keys_of_a_map_are_changed_removed_and_added() {
        let edits = edits();
        let added = of(&edits, "metadata.labels{}", Change::Added);
        assert_eq!(
            results(added[0])[0]["metadata"]["labels"],
            json!({"app": "x", "other": "other"})
        );
        let removed = of(&edits, "metadata.labels{}", Change::Removed);
        assert_eq!(results(removed[0])[0]["metadata"]["labels"], json!({}));
        assert_eq!(of(&edits, "metadata.labels{}", Change::Changed).len(), 1);
    }

    #[test]
    fn items_of_a_list_of_words_are_changed_removed_and_appended() {
        let edits = edits();
        let added = of(&edits, "spec.words[]", Change::Added);
        assert_eq!(results(added[0])[0]["spec"]["words"], json!(["one", "other"]));
        let changed = of(&edits, "spec.words[]", Change::Changed);
        assert_eq!(results(changed[0])[0]["spec"]["words"], json!(["other"]));
        let removed = of(&edits, "spec.words[]", Change::Removed);
        assert_eq!(results(removed[0])[0]["spec"]["words"], json!([]));
    }

    #[test]
    fn a_new_object_has_what_it_needs_for_the_field_that_it_is_made_for() {
        let schemas = schemas();
        let hints = Hints {
            needs: |field, made_for| match (field, made_for) {
                ("spec.volumes[]", Some("host")) => json!({"name": "needed"}),
                _ => json!({}),
            },
            ..Hints::default()
        };
        let kind = schemas.kind("example.com", "v1", "Widget").unwrap();
        let edits = schemas.edits(kind, &widget(), &hints);
        let added = of(&edits, "spec.volumes[].host.kind", Change::Added);
        let results = results(added[0]);
        assert!(
            results
                .iter()
                .any(|object| object["spec"]["volumes"][2]["name"] == "needed")
        );
        let any = of(&edits, "spec.volumes[]", Change::Added);
        let object = any[0].candidates[0].apply(&widget());
        assert_eq!(object["spec"]["volumes"][2], json!({"name": "other"}));
    }

    #[test]
    fn companions_come_first_and_go_with_the_field() {
        let schemas = schemas();
        let hints = Hints {
            companions: |field| match field {
                "spec.paused" => vec![vec![Operation::Set(
                    vec![Token::Key("spec".into()), Token::Key("mode".into())],
                    json!("Off"),
                )]],
                _ => Vec::new(),
            },
            ..Hints::default()
        };
        let kind = schemas.kind("example.com", "v1", "Widget").unwrap();
        let edits = schemas.edits(kind, &widget(), &hints);
        let paused = of(&edits, "spec.paused", Change::Added);
        let first = &results(paused[0])[0];
        assert_eq!(
            (&first["spec"]["mode"], &first["spec"]["paused"]),
            (&json!("Off"), &json!(true))
        );
    }

    #[test]
    fn differences_are_named_down_to_the_field_and_an_empty_map_is_an_absent_one() {
        let before =
            json!({"metadata": {"labels": {"a.b/c": "d"}}, "spec": {"items": [{"x": 1}], "empty": {}}});
        let after = json!({"metadata": {}, "spec": {"items": [{"x": 2}, {"x": 3}]}});
        assert_eq!(
            differences(&before, &after),
            [
                vec!["metadata", "labels", "a.b/c"],
                vec!["spec", "items", "0", "x"],
                vec!["spec", "items", "1", "x"],
            ]
        );
        assert!(differences(&before, &before).is_empty());
    }

    #[test]
    fn an_unknown_kind_is_named() {
        let schemas = schemas();
        let error = schemas.kind("example.com", "v1", "Gadget").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the OpenAPI document has no example.com/v1 Gadget"
        );
    }
}
