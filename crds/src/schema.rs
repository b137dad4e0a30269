//! Schemas that several fields use.

use modelward_wire::Word;
use schemars::{Schema, SchemaGenerator, json_schema};

/// The pattern of a digest.
const DIGEST: &str = "^sha256:[0-9a-f]{64}$";

/// A digest.
pub(crate) fn digest(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 71, "pattern": DIGEST})
}

/// A digest that users set, with a message for an invalid one.
pub(crate) fn written_digest(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 256, "x-kubernetes-validations": [{
        "rule": format!("self.matches('{DIGEST}')"),
        "message": "write \"sha256:\" and 64 lower-case hexadecimal digits",
    }]})
}

/// An optional digest.
pub(crate) fn optional_digest(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["string", "null"], "maxLength": 71, "pattern": DIGEST})
}

/// A word of an enum of `modelward_wire`, which has no schemas.
pub(crate) fn word<W: Word>(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": W::TEXTS})
}

/// An optional word.
pub(crate) fn optional_word<W: Word>(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["string", "null"], "enum": W::TEXTS})
}
