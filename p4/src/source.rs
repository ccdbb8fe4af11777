//! The stages of the program in the order of its source: tables and steps, who passes them, what is dropped there.
//!
//! No P4 compiler: the walk follows `apply` blocks from the main control on, and takes three things from the text. A stage is
//! a table or a control without tables that is applied; it belongs to the paths that the conditions around it name
//! (`meta.path == PATH_…`); a `DROP(…)` or `PUNT(…)` belongs to the stage applied last before it, or to every table that has
//! the action it stands in. A test compares the tables with the compiled program, and the reasons with those declared.

use crate::{Error, Folder, manifest};
use std::collections::BTreeMap;

/// A way through the program, in the words of `kith/metadata.p4`.
pub const PATHS: [&str; 7] = ["NONE", "RELAY", "ENCAP", "DECAP", "SEALED", "OPENED", "INJECTED"];

/// A set of [`PATHS`], a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paths(pub u8);

impl Paths {
    /// Every path.
    pub const ALL: Self = Self(0x7f);

    /// Is the path with this place in [`PATHS`] one of them?
    #[must_use]
    pub fn has(self, place: usize) -> bool {
        self.0 >> place & 1 == 1
    }

    fn of(name: &str) -> Self {
        Self(
            PATHS
                .iter()
                .position(|is| *is == name)
                .map_or(0, |place| 1 << place),
        )
    }
}

/// A table or a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name in the control that applies it.
    pub name: String,
    /// The control that applies it.
    pub control: String,
    /// What the comment above a step's control says first.
    pub about: String,
    /// A table? Else a step: checks, or rewriting.
    pub is_table: bool,
    /// Who comes by.
    pub paths: Paths,
    /// Which paths begin here.
    pub begins: Paths,
    /// What is dropped here, in words.
    pub drops: Vec<String>,
    /// What goes up to the CPU from here, in words.
    pub punts: Vec<String>,
}

/// The folder's stages.
pub fn stages(folder: &Folder) -> Result<Vec<Stage>, Error> {
    let (mut text, mut about) = (String::new(), BTreeMap::new());
    for name in manifest::sources(folder)? {
        let file = folder.read(&name)?;
        for line in file.lines().filter(|line| !line.trim_start().starts_with('#')) {
            text.push_str(line.split("//").next().unwrap_or(""));
            text.push('\n');
        }
        comments(&file, &mut about);
    }
    let controls = controls(&text);
    let mut walk = Walk {
        controls: &controls,
        about: &about,
        stages: Vec::new(),
    };
    walk.control("KithControl", Paths::ALL);
    Ok(walk.stages)
}

/// First sentence of the comment above each control.
fn comments(file: &str, about: &mut BTreeMap<String, String>) {
    let mut comment = String::new();
    for line in file.lines() {
        if let Some(text) = line.strip_prefix("//") {
            comment.push_str(text);
        } else if let Some(name) = line.strip_prefix("control ") {
            let end = name.find('(').unwrap_or(name.len());
            let sentence = comment
                .trim()
                .split_inclusive(['.', ':', ';'])
                .next()
                .unwrap_or("");
            let sentence = sentence.trim_end_matches(['.', ':', ';']).to_owned();
            about.insert(name[..end].to_owned(), sentence);
        } else {
            comment.clear();
        }
    }
}

/// A control: what it declares, and its apply block.
#[derive(Debug, Default)]
struct Control<'a> {
    instances: BTreeMap<&'a str, &'a str>,
    /// Tables with their text, and actions with theirs.
    tables: BTreeMap<&'a str, &'a str>,
    actions: BTreeMap<&'a str, &'a str>,
    apply: &'a str,
}

fn controls(text: &str) -> BTreeMap<&str, Control<'_>> {
    blocks(text, "control ")
        .map(|(name, body)| {
            let mut control = Control {
                tables: blocks(body, "table ").collect(),
                actions: blocks(body, "action ").collect(),
                apply: blocks(body, "apply").last().map_or("", |(_, block)| block),
                ..Control::default()
            };
            for line in body.lines() {
                // `Type() name;`
                if let Some((kind, name)) = line
                    .trim()
                    .strip_suffix(';')
                    .and_then(|line| line.split_once("() "))
                {
                    control.instances.insert(name, kind);
                }
            }
            (name, control)
        })
        .collect()
}

/// Names and bodies of `keyword NAME … { body }` at the beginning of a line.
fn blocks<'a>(text: &'a str, keyword: &'static str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let line = rest.trim_start();
            let begins = line.strip_prefix(keyword);
            if let Some(named) = begins
                && let Some(open) = named.find('{')
            {
                let end = named[..open].find(['(', ' ', '{']).unwrap_or(open);
                let body = body(&named[open..]);
                rest = &named[open + body.len()..];
                return Some((&named[..end], body));
            }
            rest = line.split_once('\n')?.1;
        }
    })
}

/// From the opening bracket that the text begins with to the one that closes it.
fn body(text: &str) -> &str {
    let mut depth = 0usize;
    for (at, symbol) in text.char_indices() {
        match symbol {
            '{' => depth += 1,
            '}' if depth <= 1 => return &text[..=at],
            '}' => depth -= 1,
            _ => {}
        }
    }
    text
}

struct Walk<'a> {
    controls: &'a BTreeMap<&'a str, Control<'a>>,
    about: &'a BTreeMap<String, String>,
    stages: Vec<Stage>,
}

impl Walk<'_> {
    fn control(&mut self, name: &str, around: Paths) {
        let Some(control) = self.controls.get(name) else {
            return;
        };
        // The paths of each open bracket, and those that the conditions of its chain of `if` have taken.
        let mut open = vec![(around, Paths(0))];
        let mut statement = String::new();
        for symbol in control.apply.chars().skip(1) {
            match symbol {
                '{' => {
                    self.statement(name, control, &statement, &open);
                    let inner = scope(&statement, &mut open);
                    open.push((inner, Paths(0)));
                    statement.clear();
                }
                '}' => {
                    open.pop();
                    statement.clear();
                }
                ';' => {
                    self.statement(name, control, &statement, &open);
                    if let Some((_, taken)) = open.last_mut() {
                        *taken = Paths(0);
                    }
                    statement.clear();
                }
                _ => statement.push(symbol),
            }
        }
    }

    fn statement(&mut self, name: &str, control: &Control<'_>, statement: &str, open: &[(Paths, Paths)]) {
        let paths = open.last().map_or(Paths::ALL, |(paths, _)| *paths);
        for (table, text) in &control.tables {
            if applies(statement, table) {
                self.stages.push(stage(name, table, true, paths));
                for (action, body) in &control.actions {
                    if text.contains(&format!("{action};")) {
                        self.reasons(body);
                    }
                }
            }
        }
        for (instance, kind) in &control.instances {
            if applies(statement, instance) {
                let has_tables = self.controls.get(kind).is_some_and(|it| !it.tables.is_empty());
                let is_composed = self
                    .controls
                    .get(kind)
                    .is_some_and(|it| it.instances.keys().any(|inner| applies(it.apply, inner)));
                if !has_tables && !is_composed {
                    let mut step = stage(name, instance, false, paths);
                    step.about = self.about.get(*kind).cloned().unwrap_or_default();
                    self.stages.push(step);
                }
                self.control(kind, paths);
            }
        }
        if statement.contains("punt_meter.") {
            self.stages.push(stage(name, "punt_meter", false, Paths(0)));
        }
        self.reasons(statement);
        if let Some((_, path)) = statement.split_once("meta.path = PATH_")
            && let Some(last) = self.stages.last_mut()
        {
            last.begins.0 |= Paths::of(path.trim()).0;
        }
    }

    /// Gives all reasons of a text to the last stage.
    fn reasons(&mut self, text: &str) {
        let Some(last) = self.stages.last_mut() else {
            return;
        };
        for (mark, is_drop) in [
            ("DROP(DROP_", true),
            ("PUNT(PUNT_", false),
            ("meta.reason = DROP_", true),
        ] {
            for found in text.split(mark).skip(1) {
                let end = found.find(|c: char| !c.is_ascii_uppercase() && c != '_' && !c.is_ascii_digit());
                let word = found[..end.unwrap_or(found.len())].to_lowercase();
                let list = if is_drop { &mut last.drops } else { &mut last.punts };
                if !list.contains(&word) {
                    list.push(word);
                }
            }
        }
    }
}

fn stage(control: &str, name: &str, is_table: bool, paths: Paths) -> Stage {
    Stage {
        name: name.to_owned(),
        control: control.to_owned(),
        about: String::new(),
        is_table,
        paths,
        begins: Paths(0),
        drops: Vec::new(),
        punts: Vec::new(),
    }
}

/// Does the text apply this very name?
fn applies(text: &str, name: &str) -> bool {
    text.match_indices(&format!("{name}.apply("))
        .any(|(at, _)| !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
}

/// The paths of the bracket that follows a condition.
fn scope(condition: &str, open: &mut [(Paths, Paths)]) -> Paths {
    let Some((around, taken)) = open.last_mut() else {
        return Paths::ALL;
    };
    let condition = condition.trim();
    if !condition.starts_with("else") {
        *taken = Paths(0);
    }
    let named = named(condition);
    if condition == "else" {
        return Paths(around.0 & !taken.0);
    }
    match named {
        Some(named) => {
            taken.0 |= named.0;
            Paths(around.0 & named.0)
        }
        None => *around,
    }
}

/// The paths that a condition names; `None` if it names none.
fn named(condition: &str) -> Option<Paths> {
    if condition.contains("packet_out.isValid()") {
        return Some(Paths::of("INJECTED"));
    }
    if condition.contains("(from_crypto)") {
        return Some(Paths(Paths::of("SEALED").0 | Paths::of("OPENED").0));
    }
    let word = |text: &str| Paths::of(text.split(|c: char| !c.is_ascii_uppercase()).next().unwrap_or(""));
    let is = condition
        .split("meta.path == PATH_")
        .skip(1)
        .fold(0, |set, text| set | word(text).0);
    let is_not = condition
        .split("meta.path != PATH_")
        .skip(1)
        .fold(0, |set, text| set | word(text).0);
    match (is, is_not) {
        (0, 0) => None,
        (0, not) => Some(Paths(Paths::ALL.0 & !not)),
        (is, _) => Some(Paths(is)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_the_program() -> Vec<Stage> {
        stages(&Folder::of_this_crate()).unwrap()
    }

    #[test]
    fn the_policy_is_passed_from_both_sides_and_denies() {
        let stages = of_the_program();
        let policy = stages.iter().find(|stage| stage.name == "policy").unwrap();
        assert_eq!(policy.paths, Paths(Paths::of("ENCAP").0 | Paths::of("OPENED").0));
        assert_eq!(policy.drops, ["policy_denied"]);
    }

    #[test]
    fn a_drop_belongs_to_the_table_that_missed() {
        let stages = of_the_program();
        let drops = |name: &str| &stages.iter().find(|stage| stage.name == name).unwrap().drops;
        assert_eq!(*drops("local_source"), ["local_unknown"]);
        assert_eq!(*drops("virtual_source"), ["member_unknown"]);
        assert_eq!(*drops("route"), ["route_unknown"]);
        assert!(drops("ipv4_checks").contains(&"ipv4_martian".to_owned()));
    }

    #[test]
    fn an_injected_packet_meets_the_egress_port_only() {
        let injected = PATHS.iter().position(|path| *path == "INJECTED").unwrap();
        let stages = of_the_program();
        let met: Vec<_> = stages
            .iter()
            .filter(|stage| stage.paths.has(injected))
            .map(|stage| stage.name.as_str())
            .collect();
        assert_eq!(met, ["endpoint", "egress_port"]);
    }
}
