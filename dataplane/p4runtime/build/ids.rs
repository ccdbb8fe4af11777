//! P4Info → Rust constants.

use prost_reflect::{DynamicMessage, ReflectMessage, Value};
use std::fmt::Write;

/// The source text of the `ids` modules.
pub fn generate(info: &DynamicMessage) -> Result<String, String> {
    let mut out = String::new();
    for (module, list, what) in [
        ("table", "tables", "table"),
        ("action", "actions", "action"),
        ("counter", "counters", "counter"),
        ("direct_counter", "direct_counters", "direct counter"),
        ("meter", "meters", "meter"),
        ("direct_meter", "direct_meters", "direct meter"),
        ("packet", "controller_packet_metadata", "packet header"),
    ] {
        let objects = messages(info, list)?;
        let mut body = String::new();
        for object in &objects {
            let name = alias(object)?;
            let id = number(&message(object, "preamble")?, "id")?;
            line(&mut body, 1, &format!("/// The id of the {what} `{name}`."));
            line(
                &mut body,
                1,
                &format!("pub const {}: u32 = {id:#010x};", upper(&name)),
            );
        }
        module_of(&mut out, module, &format!("Ids of {what}s."), &body);
    }
    for (module, list, inner, what) in [
        ("field", "tables", "match_fields", "Match fields"),
        ("param", "actions", "params", "Parameters"),
        ("metadata", "controller_packet_metadata", "metadata", "Metadata"),
    ] {
        let mut body = String::new();
        for object in &messages(info, list)? {
            let owner = alias(object)?;
            let mut fields = String::new();
            for field in &messages(object, inner)? {
                let (id, bits) = (number(field, "id")?, number(field, "bitwidth")?);
                let name = text(field, "name")?;
                line(&mut fields, 2, &format!("/// `{name}`, {bits} bits."));
                let value = format!("crate::ids::Field {{ id: {id}, name: {name:?}, bits: {bits} }}");
                line(
                    &mut fields,
                    2,
                    &format!("pub const {}: crate::ids::Field = {value};", upper(&name)),
                );
            }
            line(&mut body, 1, &format!("/// {what} of `{owner}`."));
            line(
                &mut body,
                1,
                &format!("pub mod {} {{\n{fields}    }}", owner.to_lowercase()),
            );
        }
        module_of(
            &mut out,
            module,
            &format!("{what}, by what they belong to."),
            &body,
        );
    }
    let mut sizes = String::new();
    for list in ["tables", "counters", "meters"] {
        for object in &messages(info, list)? {
            let name = alias(object)?;
            line(
                &mut sizes,
                1,
                &format!("/// How many entries or cells `{name}` has."),
            );
            line(
                &mut sizes,
                1,
                &format!("pub const {}: usize = {};", upper(&name), number(object, "size")?),
            );
        }
    }
    let mut body = String::new();
    for kind in &messages(info, "externs")? {
        let name = text(kind, "extern_type_name")?;
        let id = number(kind, "extern_type_id")?;
        line(&mut body, 1, &format!("/// The id of the extern type `{name}`."));
        line(
            &mut body,
            1,
            &format!("pub const {}: u32 = {id:#010x};", upper(&name)),
        );
        for instance in &messages(kind, "instances")? {
            let name = alias(instance)?;
            let id = number(&message(instance, "preamble")?, "id")?;
            line(
                &mut body,
                1,
                &format!("/// The id of the extern instance `{name}`."),
            );
            line(
                &mut body,
                1,
                &format!("pub const {}: u32 = {id:#010x};", upper(&name)),
            );
        }
    }
    module_of(&mut out, "externs", "Ids of extern types and instances.", &body);
    module_of(&mut out, "size", "Sizes of tables, counters and meters.", &sizes);
    Ok(out)
}

fn module_of(out: &mut String, name: &str, doc: &str, body: &str) {
    line(out, 0, &format!("/// {doc}"));
    line(out, 0, &format!("pub mod {name} {{\n{body}}}"));
}

fn line(out: &mut String, depth: usize, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}{text}", "    ".repeat(depth));
}

fn upper(name: &str) -> String {
    name.replace('.', "_").to_uppercase()
}

fn alias(object: &DynamicMessage) -> Result<String, String> {
    text(&message(object, "preamble")?, "alias")
}

fn value(of: &DynamicMessage, field: &str) -> Result<Value, String> {
    let value = of.get_field_by_name(field).map(std::borrow::Cow::into_owned);
    value.ok_or_else(|| format!("{} has no field {field}", of.descriptor().full_name()))
}

fn message(of: &DynamicMessage, field: &str) -> Result<DynamicMessage, String> {
    value(of, field)?
        .as_message()
        .cloned()
        .ok_or_else(|| format!("{field} is no message"))
}

fn messages(of: &DynamicMessage, field: &str) -> Result<Vec<DynamicMessage>, String> {
    let list = value(of, field)?;
    let list = list.as_list().ok_or_else(|| format!("{field} is no list"))?;
    Ok(list.iter().filter_map(Value::as_message).cloned().collect())
}

fn text(of: &DynamicMessage, field: &str) -> Result<String, String> {
    value(of, field)?
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("{field} is no text"))
}

fn number(of: &DynamicMessage, field: &str) -> Result<i64, String> {
    match value(of, field)? {
        Value::U32(number) => Ok(number.into()),
        Value::I32(number) => Ok(number.into()),
        Value::I64(number) => Ok(number),
        other => Err(format!("{field} is no number: {other:?}")),
    }
}
