//! From lines to a [`Spec`].

use super::{ActionSpec, Array, At, Header, Spec, Struct};
use kith_dpdk::swx::{Field, LearnerConfig, MatchField, MatchKind, SelectorConfig, TableConfig};

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct SpecError {
    /// Counted from 1. For something that is missing, the line after the last.
    pub line: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No statement begins like this.
    #[error("`{0}` begins no statement")]
    Statement(String),
    /// No instruction is called this.
    #[error("`{0}` is no instruction")]
    Instruction(String),
    /// The statement has another form.
    #[error("the form is: {0}")]
    Form(&'static str),
    /// Not a number, or too large.
    #[error("`{0}` is no number, or too large")]
    Number(String),
    /// Widths are whole octets up to 64 bits.
    #[error("`{0}` is no type: bit<8>, bit<16>, … bit<64> are")]
    Width(String),
    /// The end came first.
    #[error("the block that begins in line {0} has no end")]
    Open(usize),
    /// It was there already.
    #[error("there is a second {0}")]
    Twice(&'static str),
    /// It is not there.
    #[error("there is no {0}")]
    Missing(&'static str),
}

impl Spec {
    /// Reads a program.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let mut lines = Lines::new(text);
        let mut spec = Self::default();
        while let Some((line, tokens)) = lines.next() {
            let at = |problem| SpecError { line, problem };
            match tokens[..] {
                ["struct", name, "{"] => {
                    let fields = lines.block(line, field)?;
                    let name = name.to_owned();
                    spec.structs.push(At {
                        line,
                        item: Struct { name, fields },
                    });
                }
                ["struct", ..] => return Err(at(Problem::Form("struct NAME {"))),
                ["header", name, "instanceof", struct_type] => {
                    let (name, struct_type) = (name.to_owned(), struct_type.to_owned());
                    spec.headers.push(At {
                        line,
                        item: Header { name, struct_type },
                    });
                }
                ["header", ..] => return Err(at(Problem::Form("header NAME instanceof STRUCT"))),
                ["metadata", "instanceof", struct_type] => {
                    let item = struct_type.to_owned();
                    if spec.metadata.replace(At { line, item }).is_some() {
                        return Err(at(Problem::Twice("metadata")));
                    }
                }
                ["metadata", ..] => return Err(at(Problem::Form("metadata instanceof STRUCT"))),
                ["action", name, "args", ref of @ .., "{"] => {
                    let arguments = match *of {
                        ["none"] => None,
                        ["instanceof", struct_type] => Some(struct_type.to_owned()),
                        _ => return Err(at(Problem::Form(ACTION))),
                    };
                    let instructions = lines.block(line, instruction)?;
                    let name = name.to_owned();
                    let item = ActionSpec {
                        name,
                        arguments,
                        instructions,
                    };
                    spec.actions.push(At { line, item });
                }
                ["action", ..] => return Err(at(Problem::Form(ACTION))),
                ["table", name, "{"] => {
                    let (item, _) = table(&mut lines, line, name)?;
                    spec.tables.push(At { line, item });
                }
                ["table", ..] => return Err(at(Problem::Form("table NAME {"))),
                ["learner", name, "{"] => {
                    let (table, timeouts) = table(&mut lines, line, name)?;
                    spec.learners.push(At {
                        line,
                        item: LearnerConfig { table, timeouts },
                    });
                }
                ["learner", ..] => return Err(at(Problem::Form("learner NAME {"))),
                ["selector", name, "{"] => {
                    let item = selector(&mut lines, line, name)?;
                    spec.selectors.push(At { line, item });
                }
                ["selector", ..] => return Err(at(Problem::Form("selector NAME {"))),
                ["regarray", name, "size", size, "initval", initial] => {
                    let item = Array {
                        name: name.to_owned(),
                        size: number(size).map_err(at)?,
                        initial: number(initial).map_err(at)?,
                    };
                    spec.registers.push(At { line, item });
                }
                ["regarray", ..] => return Err(at(Problem::Form("regarray NAME size N initval N"))),
                ["metarray", name, "size", size] => {
                    let item = Array {
                        name: name.to_owned(),
                        size: number(size).map_err(at)?,
                        initial: 0,
                    };
                    spec.meters.push(At { line, item });
                }
                ["metarray", ..] => return Err(at(Problem::Form("metarray NAME size N"))),
                ["apply", "{"] => {
                    let item = lines.block(line, instruction)?;
                    if spec.apply.replace(At { line, item }).is_some() {
                        return Err(at(Problem::Twice("apply block")));
                    }
                }
                ["apply", ..] => return Err(at(Problem::Form("apply {"))),
                _ => return Err(at(Problem::Statement(tokens.join(" ")))),
            }
        }
        let missing = |what| SpecError {
            line: text.lines().count() + 1,
            problem: Problem::Missing(what),
        };
        match (&spec.metadata, &spec.apply) {
            (None, _) => Err(missing("metadata")),
            (_, None) => Err(missing("apply block")),
            _ => Ok(spec),
        }
    }
}

const ACTION: &str = "action NAME args none|instanceof STRUCT {";

/// Lines that say something, as tokens.
struct Lines<'a> {
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            lines: text.lines().enumerate(),
        }
    }

    fn next(&mut self) -> Option<(usize, Vec<&'a str>)> {
        self.lines.by_ref().find_map(|(index, line)| {
            let end = ["//", ";", "#"].iter().filter_map(|mark| line.find(mark)).min();
            let tokens: Vec<_> = line[..end.unwrap_or(line.len())].split_whitespace().collect();
            (!tokens.is_empty()).then_some((index + 1, tokens))
        })
    }

    /// The next line of the block that began at `open`, or none at its end.
    fn inside(&mut self, open: usize) -> Result<Option<(usize, Vec<&'a str>)>, SpecError> {
        match self.next() {
            None => Err(SpecError {
                line: open,
                problem: Problem::Open(open),
            }),
            Some((_, tokens)) if tokens == ["}"] => Ok(None),
            some => Ok(some),
        }
    }

    /// The rest of a block, each line by itself.
    fn block<T>(
        &mut self,
        open: usize,
        mut each: impl FnMut(&[&str]) -> Result<T, Problem>,
    ) -> Result<Vec<T>, SpecError> {
        let mut items = Vec::new();
        while let Some((line, tokens)) = self.inside(open)? {
            items.push(each(&tokens).map_err(|problem| SpecError { line, problem })?);
        }
        Ok(items)
    }
}

fn field(tokens: &[&str]) -> Result<Field, Problem> {
    let [kind, name] = tokens else {
        return Err(Problem::Form("bit<N> NAME"));
    };
    let bits = kind.strip_prefix("bit<").and_then(|rest| rest.strip_suffix('>'));
    let bits = bits.and_then(|bits| bits.parse::<u32>().ok());
    match bits {
        Some(bits @ 8..=64) if bits % 8 == 0 => Ok(Field {
            name: (*name).to_owned(),
            bits,
        }),
        _ => Err(Problem::Width((*kind).to_owned())),
    }
}

/// Instructions go to DPDK as they are, but a line that is none is found here, where its number is known.
fn instruction(tokens: &[&str]) -> Result<String, Problem> {
    let name = match tokens {
        [_, ":", name, ..] | [name, ..] => name,
        [] => return Err(Problem::Form("an instruction")),
    };
    if !INSTRUCTIONS.contains(name) {
        return Err(Problem::Instruction((*name).to_owned()));
    }
    Ok(tokens.join(" "))
}

const INSTRUCTIONS: &[&str] = &[
    "rx",
    "tx",
    "drop",
    "mirror",
    "recirculate",
    "recircid",
    "extract",
    "lookahead",
    "emit",
    "validate",
    "invalidate",
    "mov",
    "add",
    "sub",
    "ckadd",
    "cksub",
    "and",
    "or",
    "xor",
    "shl",
    "shr",
    "regprefetch",
    "regrd",
    "regwr",
    "regadd",
    "metprefetch",
    "meter",
    "table",
    "learn",
    "rearm",
    "forget",
    "entryid",
    "extern",
    "hash",
    "jmp",
    "jmpv",
    "jmpnv",
    "jmph",
    "jmpnh",
    "jmpa",
    "jmpna",
    "jmpeq",
    "jmpneq",
    "jmplt",
    "jmpgt",
    "return",
];

/// A table, or a learner, which has timeouts as well.
fn table(lines: &mut Lines, open: usize, name: &str) -> Result<(TableConfig, Vec<u32>), SpecError> {
    let mut default = None;
    let mut timeouts = Vec::new();
    let mut table = TableConfig {
        name: name.to_owned(),
        key: Vec::new(),
        actions: Vec::new(),
        default_action: String::new(),
        default_arguments: None,
        default_is_const: false,
        hash: None,
        kind: None,
        arguments: None,
        size: 0,
    };
    while let Some((line, tokens)) = lines.inside(open)? {
        let at = |problem| SpecError { line, problem };
        match tokens[..] {
            ["key", "{"] => table.key = lines.block(line, match_field)?,
            ["actions", "{"] => table.actions = lines.block(line, action_of_table)?,
            ["timeout", "{"] => {
                timeouts = lines.block(line, |tokens| match tokens {
                    [seconds] => number(seconds),
                    _ => Err(Problem::Form("SECONDS")),
                })?;
            }
            ["default_action", action, "args", ref rest @ ..] => {
                let (rest, is_const) = match rest {
                    [rest @ .., "const"] => (rest, true),
                    rest => (rest, false),
                };
                table.default_is_const = is_const;
                table.default_arguments = match rest {
                    [] => return Err(at(Problem::Form(DEFAULT))),
                    ["none"] => None,
                    some => Some(some.join(" ")),
                };
                if default.replace(action.to_owned()).is_some() {
                    return Err(at(Problem::Twice("default action")));
                }
            }
            ["default_action", ..] => return Err(at(Problem::Form(DEFAULT))),
            ["hash", name] => table.hash = Some(name.to_owned()),
            ["instanceof", name] => table.kind = Some(name.to_owned()),
            ["pragma", text] => table.arguments = Some(text.to_owned()),
            ["size", size] => table.size = number(size).map_err(at)?,
            _ => return Err(at(Problem::Statement(tokens.join(" ")))),
        }
    }
    let missing = SpecError {
        line: open,
        problem: Problem::Missing("default action"),
    };
    table.default_action = default.ok_or(missing)?;
    Ok((table, timeouts))
}

const DEFAULT: &str = "default_action NAME args none|NAME VALUE … [const]";

fn match_field(tokens: &[&str]) -> Result<MatchField, Problem> {
    let (name, kind) = match tokens {
        // A learner's key has no kinds: it is matched exactly.
        [name] | [name, "exact"] => (name, MatchKind::Exact),
        [name, "lpm"] => (name, MatchKind::Prefix),
        [name, "wildcard"] => (name, MatchKind::Wildcard),
        _ => return Err(Problem::Form("FIELD exact|lpm|wildcard")),
    };
    Ok(MatchField {
        name: (*name).to_owned(),
        kind,
    })
}

fn action_of_table(tokens: &[&str]) -> Result<(String, bool, bool), Problem> {
    match *tokens {
        [name] => Ok((name.to_owned(), true, true)),
        [name, "@tableonly"] => Ok((name.to_owned(), true, false)),
        [name, "@defaultonly"] => Ok((name.to_owned(), false, true)),
        _ => Err(Problem::Form("ACTION [@tableonly|@defaultonly]")),
    }
}

fn selector(lines: &mut Lines, open: usize, name: &str) -> Result<SelectorConfig, SpecError> {
    let mut selector = SelectorConfig {
        name: name.to_owned(),
        group: String::new(),
        fields: Vec::new(),
        member: String::new(),
        groups: 0,
        members: 0,
    };
    while let Some((line, tokens)) = lines.inside(open)? {
        let at = |problem| SpecError { line, problem };
        match tokens[..] {
            ["group_id", field] => selector.group = field.to_owned(),
            ["member_id", field] => selector.member = field.to_owned(),
            ["selector", "{"] => {
                selector.fields = lines.block(line, |tokens| match tokens {
                    [field] => Ok((*field).to_owned()),
                    _ => Err(Problem::Form("FIELD")),
                })?;
            }
            ["n_groups_max", count] => selector.groups = number(count).map_err(at)?,
            ["n_members_per_group_max", count] => selector.members = number(count).map_err(at)?,
            _ => return Err(at(Problem::Statement(tokens.join(" ")))),
        }
    }
    Ok(selector)
}

/// Decimal, or hexadecimal after 0x.
fn number<T: TryFrom<u64>>(text: &str) -> Result<T, Problem> {
    let value = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let value = value.ok().and_then(|value| T::try_from(value).ok());
    value.ok_or_else(|| Problem::Number(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "\
struct a_t {
\tbit<48> x
\tbit<16> y
}
header a instanceof a_t
struct m_t {
\tbit<32> port
}
metadata instanceof m_t
regarray r size 0x10 initval 7
metarray w size 9
action go args instanceof a_t {
\tmov m.port t.y
\treturn
}
table t {
\tkey {
\t\th.a.x exact
\t\th.a.y wildcard
\t}
\tactions {
\t\tgo @tableonly
\t\tNoAction
\t}
\tdefault_action go args x 1 y 2 const
\tsize 0x40
}
apply {
\trx m.port // comment
\tL : tx m.port
}
";

    fn fault(from: &str, to: &str) -> SpecError {
        Spec::parse(&SMALL.replace(from, to)).expect_err("it is wrong")
    }

    #[test]
    fn a_program_is_read() {
        let spec = Spec::parse(SMALL).expect("it is right");
        assert_eq!(spec.width("h.a.x"), Some(48));
        assert_eq!(spec.width("m.port"), Some(32));
        assert_eq!(spec.width("m.other"), None);
        assert_eq!(spec.registers[0].item.size, 16);
        assert_eq!(spec.registers[0].item.initial, 7);
        assert_eq!(spec.meters[0].line, 11);
        let table = &spec.tables[0].item;
        assert_eq!(table.actions[0], ("go".to_owned(), true, false));
        assert_eq!(table.key[1].kind, MatchKind::Wildcard);
        assert_eq!(table.default_arguments.as_deref(), Some("x 1 y 2"));
        assert!(table.default_is_const);
        assert_eq!(table.size, 64);
        assert_eq!(spec.apply.expect("there").item, ["rx m.port", "L : tx m.port"]);
    }

    #[test]
    fn an_error_says_in_which_line_it_is() {
        let cases = [
            ("bit<16> y", "bit<12> y", 3, Problem::Width("bit<12>".into())),
            (
                "header a instanceof",
                "header a of",
                5,
                Problem::Form("header NAME instanceof STRUCT"),
            ),
            ("0x10", "0xfffffffff", 10, Problem::Number("0xfffffffff".into())),
            (
                "mov m.port",
                "move m.port",
                13,
                Problem::Instruction("move".into()),
            ),
            (
                "h.a.y wildcard",
                "h.a.y fuzzy",
                19,
                Problem::Form("FIELD exact|lpm|wildcard"),
            ),
            (
                "\tsize 0x40",
                "\tsizes 4",
                26,
                Problem::Statement("sizes 4".into()),
            ),
            ("L : tx", "L : send", 30, Problem::Instruction("send".into())),
            ("metadata instanceof m_t\n", "", 31, Problem::Missing("metadata")),
        ];
        for (from, to, line, problem) in cases {
            assert_eq!(fault(from, to), SpecError { line, problem });
        }
    }

    #[test]
    fn a_block_without_end_is_reported_where_it_begins() {
        let text = SMALL.strip_suffix("}\n").expect("it ends so");
        assert_eq!(
            Spec::parse(text).expect_err("open").to_string(),
            "line 28: the block that begins in line 28 has no end"
        );
    }
}
