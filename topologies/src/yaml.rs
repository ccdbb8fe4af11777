//! Text to a tree of nodes that know where they stand.
//!
//! Not serde: a serde deserializer ends at the first mistake, and the operator is owed all of them. YAML's own rules (aliases, tags,
//! several documents) are refused where they only surprise; without aliases no file can grow when it is read, and nesting
//! deeper than [`MAX_DEPTH`] ends the reading.

use crate::{Code, diagnostic::Sink};
use granit_parser::{Event, Parser, ScalarStyle, Span};
use std::{borrow::Cow, ops::Range};

/// No topology nests deeper; the parser itself stops at 255.
const MAX_DEPTH: usize = 16;

/// A value and where it stands.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) span: Range<usize>,
    pub(crate) kind: Kind<'a>,
}

#[derive(Debug)]
pub(crate) enum Kind<'a> {
    /// Text; `plain` if it has no quotes, so that it may be a number.
    Scalar {
        text: Cow<'a, str>,
        plain: bool,
    },
    List(Vec<Node<'a>>),
    Map(Vec<Entry<'a>>),
    /// Something that was reported here already.
    Refused,
}

#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) key_span: Range<usize>,
    pub(crate) value: Node<'a>,
}

impl Node<'_> {
    /// Whether nothing stands here: `key:` or `key: null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL"))
    }

    pub(crate) fn describe(&self) -> &'static str {
        match &self.kind {
            _ if self.is_null() => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
            Kind::Refused => "what was refused",
        }
    }
}

/// A collection that is still open.
enum Open<'a> {
    List(Vec<Node<'a>>),
    Map(Vec<Entry<'a>>, Option<Node<'a>>),
}

/// Reads one document.
pub(crate) fn tree<'a>(text: &'a str, sink: &mut Sink<'_>) -> Option<Node<'a>> {
    let mut open: Vec<(Range<usize>, Open<'a>)> = Vec::new();
    let mut root = None;
    let mut documents = 0;
    for next in Parser::new_from_str(text) {
        let (event, span) = match next {
            Ok((event, span)) => (event, range(&span, text)),
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
                let message = format!("this is not YAML: {}", error.info());
                sink.error(
                    at..at,
                    Code::Syntax,
                    message,
                    "check indentation, quotes and brackets here and just above",
                );
                return None;
            }
        };
        let done = match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    sink.error(
                        span,
                        Code::Syntax,
                        "a second document begins here",
                        "keep one topology per file",
                    );
                    return None;
                }
                None
            }
            Event::Scalar(value, style, _, tag) => {
                refuse_tag(tag.is_some(), &span, sink);
                let plain = style == ScalarStyle::Plain;
                Some(Node {
                    span,
                    kind: Kind::Scalar { text: value, plain },
                })
            }
            Event::SequenceStart(_, _, tag) => {
                refuse_tag(tag.is_some(), &span, sink);
                open.push((span, Open::List(Vec::new())));
                None
            }
            Event::MappingStart(_, _, tag) => {
                refuse_tag(tag.is_some(), &span, sink);
                open.push((span, Open::Map(Vec::new(), None)));
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(|(start, collection)| {
                let kind = match collection {
                    Open::List(items) => Kind::List(items),
                    Open::Map(entries, _) => Kind::Map(entries),
                };
                Node {
                    span: start.start..span.end.max(start.start),
                    kind,
                }
            }),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                sink.error(
                    span.clone(),
                    Code::Syntax,
                    "an alias stands here",
                    "write the value out: topologies have no aliases",
                );
                Some(Node {
                    span,
                    kind: Kind::Refused,
                })
            }
            _ => None,
        };
        if open.len() > MAX_DEPTH {
            let at = open.last().map_or(0..0, |(span, _)| span.clone());
            sink.error(
                at,
                Code::Syntax,
                "this is nested too deeply",
                "no topology needs more than a few levels",
            );
            return None;
        }
        if let Some(node) = done {
            root = place(node, &mut open, sink).or(root);
        }
    }
    if root.is_none() && !sink.has_errors() {
        sink.error(
            0..0,
            Code::Syntax,
            "the file is empty",
            "begin with `version: 1`; see topologies/quickstart.yaml",
        );
    }
    root
}

/// Puts a finished node where it belongs; gives it back if it is the outermost.
fn place<'a>(node: Node<'a>, open: &mut [(Range<usize>, Open<'a>)], sink: &mut Sink<'_>) -> Option<Node<'a>> {
    match open.last_mut() {
        None => return Some(node),
        Some((_, Open::List(items))) => items.push(node),
        Some((_, Open::Map(entries, key))) => match key.take() {
            None => *key = Some(node),
            Some(Node {
                span: key_span,
                kind: Kind::Scalar { text: key, .. },
            }) => {
                entries.push(Entry {
                    key,
                    key_span,
                    value: node,
                });
            }
            Some(odd) => sink.error(
                odd.span,
                Code::Syntax,
                "a key must be a word",
                "write `word: value`",
            ),
        },
    }
    None
}

fn refuse_tag(there: bool, span: &Range<usize>, sink: &mut Sink<'_>) {
    if there {
        sink.error(
            span.clone(),
            Code::Syntax,
            "a tag stands before this value",
            "remove the word with `!`: topologies have no tags",
        );
    }
}

/// The octets of a node without the blanks and breaks that a block's end takes along.
fn range(span: &Span, text: &str) -> Range<usize> {
    let range = span.byte_range().unwrap_or(0..0);
    let kept = text
        .get(range.clone())
        .map_or(range.end, |s| range.start + s.trim_end().len());
    range.start..kept.max(range.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        let mut sink = Sink::new("t", text);
        tree(text, &mut sink);
        sink.finish()
            .iter()
            .map(|d| format!("{}:{} {}", d.line, d.column, d.message))
            .collect()
    }

    #[test]
    fn values_know_where_they_stand() {
        let text = "a:\n  - b: 'c'\n    d:\n";
        let mut sink = Sink::new("t", text);
        let root = tree(text, &mut sink).unwrap();
        let Kind::Map(top) = &root.kind else {
            panic!("{root:?}")
        };
        let Kind::List(items) = &top[0].value.kind else {
            panic!("{root:?}")
        };
        let Kind::Map(item) = &items[0].kind else {
            panic!("{root:?}")
        };
        assert_eq!(&text[item[0].key_span.clone()], "b");
        assert_eq!(&text[item[0].value.span.clone()], "'c'");
        assert!(item[1].value.is_null());
    }

    #[test]
    fn what_yaml_offers_beyond_that_is_refused() {
        assert_eq!(errors("a: &x 1\nb: *x\n"), ["2:4 an alias stands here"]);
        assert_eq!(errors("a: !!str 1\n"), ["1:10 a tag stands before this value"]);
        assert_eq!(errors("a: 1\n---\nb: 1\n"), ["2:1 a second document begins here"]);
        assert_eq!(errors("{[a]: 1}\n"), ["1:2 a key must be a word"]);
        assert_eq!(errors(""), ["1:1 the file is empty"]);
        assert_eq!(
            errors(&("[".repeat(100) + &"]".repeat(100)))[0],
            "1:17 this is nested too deeply"
        );
    }

    #[test]
    fn an_alias_bomb_does_not_grow() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for n in 1..20 {
            text += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","));
        }
        assert_eq!(errors(&text).len(), 100);
    }
}
