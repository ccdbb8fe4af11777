//! What is wrong with a topology, as data: programs get fields (`-o json`), people get text ([`Diagnostics::render`]).

use serde::Serialize;
use std::{fmt, ops::Range};

/// The most diagnostics that one run reports; whoever has more will not read them.
const MAX: usize = 100;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The topology cannot be used.
    Error,
    /// It can, but is likely not what was meant.
    Warning,
}

macro_rules! codes {
    ($($(#[$meta:meta])* $name:ident => $text:literal),* $(,)?) => {
        /// What kind of mistake it is. The words are stable: scripts may rely on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $($(#[$meta])* $name),* }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code as one word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

codes! {
    /// The file cannot be read, is too large or is not text.
    File => "file",
    /// It is not YAML, or uses YAML that topologies do without.
    Syntax => "syntax",
    /// A list where a mapping belongs, and the like.
    WrongType => "wrong-type",
    /// A key that means nothing here.
    UnknownField => "unknown-field",
    /// A key that must be there is not.
    MissingField => "missing-field",
    /// A key stands twice in one mapping.
    DuplicateKey => "duplicate-key",
    /// A value that cannot be read as what it should be.
    BadValue => "bad-value",
    /// A value that can be read but lies out of bounds.
    OutOfRange => "out-of-range",
    /// A name that cannot be a DNS label, a domain, or a namespace.
    BadName => "bad-name",
    /// Two things of one name.
    DuplicateName => "duplicate-name",
    /// A prefix that is none.
    BadPrefix => "bad-prefix",
    /// An address stands twice in one network.
    DuplicateAddress => "duplicate-address",
    /// An address lies outside its network, or is the network's own or its broadcast address.
    AddressOutside => "address-outside",
    /// Two prefixes overlap that must not.
    Overlap => "overlap",
    /// A name that nothing has.
    UnknownReference => "unknown-reference",
    /// A member's name is in no community's domain.
    NoCommunity => "no-community",
    /// An MTU that cannot carry the encapsulation, or a site's above the public network's.
    ImpossibleMtu => "impossible-mtu",
    /// More members than addresses or sessions.
    TooMany => "too-many",
    /// Times that cannot work together.
    Timing => "timing",
    /// A community whose members may be at directors that do not relay to each other.
    SplitCommunity => "split-community",
    /// A file of an older version of this format.
    OldVersion => "old-version",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file's name as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The octets of the text that it is about.
    pub span: Range<usize>,
    /// How bad it is.
    pub severity: Severity,
    /// What kind of mistake it is.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    /// The line of the file that it is about; keys in it are masked.
    pub source: String,
}

/// Everything that is wrong with one file, by position.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Whether any of them makes the topology unusable.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// One by one, by position.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Where the steps put what they find.
pub(crate) struct Sink<'a> {
    file: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
    found: Vec<Diagnostic>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        let ends = text
            .bytes()
            .enumerate()
            .filter(|(_, octet)| *octet == b'\n')
            .map(|(at, _)| at + 1);
        Self {
            file,
            text,
            line_starts: std::iter::once(0).chain(ends).collect(),
            found: Vec::new(),
        }
    }

    pub(crate) fn error(
        &mut self,
        span: Range<usize>,
        code: Code,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.put(Severity::Error, span, code, message.into(), help.into());
    }

    pub(crate) fn warning(
        &mut self,
        span: Range<usize>,
        code: Code,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.put(Severity::Warning, span, code, message.into(), help.into());
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(|d| d.severity == Severity::Error)
    }

    /// The line, from 1, that an octet of the text is in.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= at).max(1)
    }

    pub(crate) fn finish(mut self) -> Diagnostics {
        self.found.sort_by_key(|d| (d.span.start, d.code));
        Diagnostics(self.found)
    }

    fn put(&mut self, severity: Severity, span: Range<usize>, code: Code, message: String, help: String) {
        // Warnings leave room for errors: the last place is always an error's.
        let room = if severity == Severity::Error { MAX } else { MAX - 1 };
        if self.found.len() >= room {
            return;
        }
        let start = self.text.floor_char_boundary(span.start);
        let end = self.text.floor_char_boundary(span.end.max(start));
        let line = self.line(start);
        let line_start = self.line_starts[line - 1];
        let source = self.text[line_start..]
            .split(['\n', '\r'])
            .next()
            .unwrap_or_default();
        let column = self.text[line_start..start].chars().count() + 1;
        let source = mask(source);
        let (file, message) = (self.file.to_owned(), mask_message(&message));
        self.found.push(Diagnostic {
            file,
            line,
            column,
            span: start..end,
            severity,
            code,
            message,
            help,
            source,
        });
    }
}

/// The line as it may be shown. Files have no keys any more, but who writes one into them all the same must not find it in a log: what
/// stands after `director_key:` or `secret:` is masked, and any run of 32 or more characters of the base64 alphabet. Characters are masked
/// one by one so that columns stay true.
fn mask(line: &str) -> String {
    let mut masked = vec![false; line.len()];
    let mut set = |range: Range<usize>| masked[range].fill(true);
    for word in ["director_key", "secret"] {
        for (at, _) in line.match_indices(word) {
            let after = at + word.len();
            let Some(colon) = line[after..]
                .find(':')
                .filter(|&c| line[after..after + c].trim_matches(['"', '\'', ' ']).is_empty())
            else {
                continue;
            };
            let from = after + colon + 1;
            let to = line[from..]
                .find([',', '}', '#'])
                .map_or(line.len(), |n| from + n);
            set(from..to);
        }
    }
    key_like(line).into_iter().for_each(&mut set);
    stars(line, &masked)
}

/// A message as it may be shown: a key that was written where something else belongs is quoted in it.
fn mask_message(text: &str) -> String {
    let mut masked = vec![false; text.len()];
    key_like(text)
        .into_iter()
        .for_each(|range| masked[range].fill(true));
    stars(text, &masked)
}

fn stars(text: &str, masked: &[bool]) -> String {
    text.char_indices()
        .map(|(at, c)| if masked[at] && !c.is_whitespace() { '*' } else { c })
        .collect()
}

/// Runs of 32 or more characters of the base64 alphabet.
fn key_like(text: &str) -> Vec<Range<usize>> {
    let (mut runs, mut run) = (Vec::new(), 0);
    for (at, octet) in text.bytes().chain(std::iter::once(b' ')).enumerate() {
        if octet.is_ascii_alphanumeric() || b"+/=_".contains(&octet) {
            run += 1;
            continue;
        }
        if run >= 32 {
            runs.push(at - run..at);
        }
        run = 0;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        let text = "ä: b\r\nxä: yy\n";
        let mut sink = Sink::new("f", text);
        let at = text.find("yy").unwrap();
        sink.error(at..at + 2, Code::BadValue, "m", "h");
        let found = sink.finish();
        let d = &found.0[0];
        assert_eq!((d.line, d.column, d.source.as_str()), (2, 5, "xä: yy"));
    }

    #[test]
    fn spans_that_lie_outside_are_tamed() {
        let mut sink = Sink::new("f", "ä");
        sink.error(1..900, Code::BadValue, "m", "h");
        sink.error(Range { start: 5, end: 2 }, Code::BadValue, "m", "h");
        assert_eq!(
            sink.finish().0.iter().map(|d| d.span.clone()).collect::<Vec<_>>(),
            [0..2, 2..2]
        );
    }

    #[test]
    fn a_shown_line_hides_its_keys() {
        assert_eq!(mask("  director_key: abc # x"), "  director_key: *** # x");
        assert_eq!(mask("{ secret : abc, b: c }"), "{ secret : ***, b: c }");
        assert_eq!(
            mask(&format!("k: {}", "a1".repeat(16))),
            format!("k: {}", "*".repeat(32))
        );
        assert_eq!(mask("name: secretary"), "name: secretary");
        assert_eq!(
            mask_message(&format!("no site is named `{}`", "a1".repeat(20))),
            format!("no site is named `{}`", "*".repeat(40))
        );
    }

    #[test]
    fn reports_are_bounded() {
        let mut sink = Sink::new("f", "x");
        (0..1000).for_each(|_| sink.warning(0..1, Code::Timing, "m", "h"));
        sink.error(0..1, Code::Timing, "m", "h");
        assert!(sink.has_errors());
        assert_eq!(sink.finish().len(), MAX);
    }
}
