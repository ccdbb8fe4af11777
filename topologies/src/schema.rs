//! The JSON Schema of the written form, for editors. `schema.json` beside the topologies is this, checked in.

use crate::written::Topology;
use schemars::generate::SchemaSettings;

/// The JSON Schema (draft 2020-12) of a topology file.
pub fn schema() -> serde_json::Value {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Topology>()
        .to_value()
}
