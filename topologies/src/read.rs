//! Node tree to values, without stopping at a mistake.
//!
//! `written!` makes a struct, its reader and its JSON Schema from one list of fields, so the three cannot drift apart. What is missing or
//! unreadable is reported once and leaves a [`Field`] without value.

use crate::{
    Code,
    diagnostic::Sink,
    yaml::{Kind, Node},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::{borrow::Cow, collections::HashMap, ops::Range};

/// Something that a node can be read as. `None` means: reported, go on without it.
pub(crate) trait Value: Sized {
    fn read(node: &Node<'_>, sink: &mut Sink<'_>) -> Option<Self>;
}

/// How a field of a mapping is read, whether it is there or not.
pub(crate) trait Slot: Sized {
    fn fill(node: &Node<'_>, sink: &mut Sink<'_>) -> Self;
    fn absent(parent: Range<usize>, key: &'static str, sink: &mut Sink<'_>) -> Self;
}

/// A value that must be there, with its place; empty if a mistake was reported.
#[derive(Debug)]
pub(crate) struct Field<T> {
    pub(crate) span: Range<usize>,
    pub(crate) value: Option<T>,
}

impl<T> Field<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// Value and place, if it could be read.
    pub(crate) fn at(&self) -> Option<(&T, Range<usize>)> {
        self.get().map(|value| (value, self.span.clone()))
    }
}

impl<T: Value> Slot for Field<T> {
    fn fill(node: &Node<'_>, sink: &mut Sink<'_>) -> Self {
        Self {
            span: node.span.clone(),
            value: T::read(node, sink),
        }
    }

    fn absent(parent: Range<usize>, key: &'static str, sink: &mut Sink<'_>) -> Self {
        let at = parent.start..parent.start;
        sink.error(
            at.clone(),
            Code::MissingField,
            format!("`{key}` is missing here"),
            format!("add `{key}: …`"),
        );
        Self {
            span: at,
            value: None,
        }
    }
}

impl<T: Value> Slot for Option<Field<T>> {
    fn fill(node: &Node<'_>, sink: &mut Sink<'_>) -> Self {
        Some(Field::fill(node, sink))
    }

    fn absent(_: Range<usize>, _: &'static str, _: &mut Sink<'_>) -> Self {
        None
    }
}

impl<T: Value> Slot for Vec<Field<T>> {
    fn fill(node: &Node<'_>, sink: &mut Sink<'_>) -> Self {
        match &node.kind {
            Kind::List(items) => items.iter().map(|item| Field::fill(item, sink)).collect(),
            _ if node.is_null() => Vec::new(),
            _ => {
                wrong_type(node, "a list", "begin each item with `- `", sink);
                Vec::new()
            }
        }
    }

    fn absent(_: Range<usize>, _: &'static str, _: &mut Sink<'_>) -> Self {
        Vec::new()
    }
}

impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

pub(crate) fn wrong_type(node: &Node<'_>, wanted: &str, help: &str, sink: &mut Sink<'_>) {
    if matches!(node.kind, Kind::Refused) {
        return;
    }
    let message = format!("{wanted} belongs here, not {}", node.describe());
    sink.error(node.span.clone(), Code::WrongType, message, help);
}

/// The text of a single value.
pub(crate) fn scalar<'n>(node: &'n Node<'_>, wanted: &str, sink: &mut Sink<'_>) -> Option<&'n str> {
    match &node.kind {
        Kind::Scalar { text, .. } if !node.is_null() => Some(text),
        _ => {
            wrong_type(node, wanted, &format!("write {wanted} after the colon"), sink);
            None
        }
    }
}

/// The entries of a mapping by key; unknown and repeated keys are reported.
pub(crate) fn entries<'n, 'a>(
    node: &'n Node<'a>,
    known: &[&str],
    sink: &mut Sink<'_>,
) -> Option<HashMap<&'n str, &'n Node<'a>>> {
    let Kind::Map(entries) = &node.kind else {
        wrong_type(
            node,
            "a mapping",
            &format!("write `word: value` lines; words here: {}", known.join(", ")),
            sink,
        );
        return None;
    };
    let mut found: HashMap<&str, (&Node<'_>, usize)> = HashMap::new();
    for entry in entries {
        let key = entry.key.as_ref();
        if let Some((_, first)) = found.get(key) {
            let message = format!("`{key}` stands here a second time");
            let help = format!("keep one of them; the first is on line {first}");
            sink.error(entry.key_span.clone(), Code::DuplicateKey, message, help);
        } else if !known.contains(&key) {
            let help = match did_you_mean(key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("words here: {}", known.join(", ")),
            };
            sink.error(
                entry.key_span.clone(),
                Code::UnknownField,
                format!("`{}` means nothing here", short(key)),
                help,
            );
        } else {
            found.insert(key, (&entry.value, sink.line(entry.key_span.start)));
        }
    }
    Some(found.into_iter().map(|(key, (node, _))| (key, node)).collect())
}

/// Where a file says that it is of version 1, if it does.
pub(crate) fn version_one(root: &Node<'_>) -> Option<Range<usize>> {
    let Kind::Map(entries) = &root.kind else {
        return None;
    };
    let version = entries.iter().find(|entry| entry.key == "version")?;
    match &version.value.kind {
        Kind::Scalar { text, plain: true } if text == "1" => Some(version.value.span.clone()),
        _ => None,
    }
}

/// A text that may be long, cut for a message.
pub(crate) fn short(text: &str) -> String {
    if text.chars().count() <= 40 {
        text.into()
    } else {
        text.chars().take(39).chain(['…']).collect()
    }
}

/// The nearest of `known`, if it is near enough to be a slip of the finger.
pub(crate) fn did_you_mean<'k>(wrong: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if wrong.len() > 64 {
        return None;
    }
    let near = known.into_iter().map(|k| (distance(wrong, k), k)).min()?;
    (near.0 <= wrong.chars().count().max(3) / 3).then_some(near.1)
}

/// Levenshtein's distance, with two neighbours swapped counting once.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let swap = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + swap);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// Makes a struct as it is written, with its reader.
macro_rules! written {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$fmeta:meta])* $fvis:vis $field:ident: $ty:ty,)* })*) => {$(
        #[derive(Debug, schemars::JsonSchema)]
        $(#[$meta])*
        #[schemars(deny_unknown_fields)]
        $vis struct $name { $($(#[$fmeta])* $fvis $field: $ty,)* }

        impl $crate::read::Value for $name {
            fn read(node: &$crate::yaml::Node<'_>, sink: &mut $crate::diagnostic::Sink<'_>) -> Option<Self> {
                let found = $crate::read::entries(node, &[$(stringify!($field)),*], sink)?;
                Some(Self {
                    $($field: match found.get(stringify!($field)) {
                        Some(node) => <$ty as $crate::read::Slot>::fill(node, sink),
                        None => <$ty as $crate::read::Slot>::absent(node.span.clone(), stringify!($field), sink),
                    },)*
                })
            }
        }
    )*};
}
pub(crate) use written;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["name", "address", "director", "director_key"];
        assert_eq!(did_you_mean("adress", known), Some("address"));
        assert_eq!(did_you_mean("nmae", known), Some("name"));
        assert_eq!(did_you_mean("directr", known), Some("director"));
        assert_eq!(did_you_mean("colour", known), None);
        assert_eq!(did_you_mean("", []), None);
    }
}
