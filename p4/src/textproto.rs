//! The little of protobuf's text format that a P4Info is written in: `name: value` and `name { … }`.

use crate::Error;

/// A message: its fields in order.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<(String, Value)>);

#[derive(Debug)]
enum Value {
    Scalar(String),
    Message(Message),
}

impl Message {
    /// Reads a whole file of one field a line.
    pub(crate) fn parse(file: &'static str, text: &str) -> Result<Self, Error> {
        let mut open = vec![(String::new(), Self::default())];
        for (number, line) in text.lines().enumerate() {
            let wrong = |what: &str| Error::Malformed {
                file,
                line: number + 1,
                what: what.to_owned(),
            };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line == "}" {
                let (name, message) = open.pop().ok_or_else(|| wrong("a bracket too many"))?;
                let outer = open.last_mut().ok_or_else(|| wrong("a bracket too many"))?;
                outer.1.0.push((name, Value::Message(message)));
            } else if let Some(name) = line.strip_suffix('{') {
                open.push((name.trim().to_owned(), Self::default()));
            } else {
                let (name, value) = line
                    .split_once(':')
                    .ok_or_else(|| wrong("neither `name: value` nor a bracket"))?;
                let value = value.trim().trim_matches('"').to_owned();
                let inner = open.last_mut().ok_or_else(|| wrong("a bracket too many"))?;
                inner.1.0.push((name.trim().to_owned(), Value::Scalar(value)));
            }
        }
        match (open.pop(), open.is_empty()) {
            (Some((_, whole)), true) => Ok(whole),
            _ => Err(Error::Malformed {
                file,
                line: text.lines().count(),
                what: "a bracket is not closed".to_owned(),
            }),
        }
    }

    /// All messages of this name.
    pub(crate) fn messages<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.0.iter().filter_map(move |(is, value)| match value {
            Value::Message(message) if is == name => Some(message),
            _ => None,
        })
    }

    /// The first value of this name, empty if there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0
            .iter()
            .find_map(|(is, value)| match value {
                Value::Scalar(text) if is == name => Some(text.as_str()),
                _ => None,
            })
            .unwrap_or("")
    }

    /// The first value of this name as a number, 0 if there is none (protobuf's default).
    pub(crate) fn number(&self, name: &str) -> u32 {
        self.text(name).parse().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_messages_are_found_by_name() {
        let text = "a {\n  n: 7\n  s: \"x: y\"\n}\na {\n  n: 8\n}\n";
        let whole = Message::parse("test", text).unwrap();
        let numbers: Vec<_> = whole.messages("a").map(|a| a.number("n")).collect();
        assert_eq!(numbers, [7, 8]);
        assert_eq!(whole.messages("a").next().unwrap().text("s"), "x: y");
    }

    #[test]
    fn what_is_not_balanced_is_refused_with_its_line() {
        assert!(matches!(
            Message::parse("test", "a {\n"),
            Err(Error::Malformed { line: 1, .. })
        ));
        assert!(matches!(
            Message::parse("test", "}\n"),
            Err(Error::Malformed { line: 1, .. })
        ));
        assert!(matches!(
            Message::parse("test", "b: 1\nnonsense\n"),
            Err(Error::Malformed { line: 2, .. })
        ));
    }
}
