//! The lists in `requirements/`: every MUST of the RFCs that we implement has code that cites it and tests, or a reason why not.
//!
//! The lists say in our own words what each document wants. This test cannot say whether they are complete or whether a test is good;
//! it says that what they claim exists. A test whose name changes, or a citation that is lost, fails here.

use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Words that a reason has at least.
const REASON: usize = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    rfc: u16,
    title: String,
    requirements: Vec<Requirement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirement {
    section: String,
    says: String,
    #[serde(default)]
    code: Vec<String>,
    #[serde(default)]
    tests: Vec<String>,
    exception: Option<String>,
}

#[test]
fn every_requirement_has_code_and_tests_or_a_reason() {
    let tests = tests_of_the_crate();
    let (mut wrong, mut table) = (Vec::new(), Vec::new());
    for path in files(&root().join("requirements"), "yaml") {
        let text = fs::read_to_string(&path).unwrap();
        let list: List = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert_eq!(
            path.file_stem().unwrap().to_string_lossy(),
            format!("rfc{}", list.rfc)
        );
        let mut known = BTreeSet::new();
        for one in &list.requirements {
            let faults = faults(list.rfc, one, &tests);
            wrong.extend(
                faults
                    .into_iter()
                    .map(|fault| format!("RFC {} {}: {}: {fault}", list.rfc, one.section, one.says)),
            );
            if !known.insert((&one.section, &one.says)) {
                wrong.push(format!("RFC {} {}: {}: twice", list.rfc, one.section, one.says));
            }
        }
        let exceptions = list
            .requirements
            .iter()
            .filter(|one| one.exception.is_some())
            .count();
        table.push((list.rfc, list.requirements.len(), exceptions, list.title));
    }
    table.sort_unstable();
    println!("  RFC | MUSTs | held | exceptions | title");
    for (rfc, all, exceptions, title) in &table {
        println!(
            "{rfc:>5} | {all:>5} | {:>4} | {exceptions:>10} | {title}",
            all - exceptions
        );
    }
    assert!(!table.is_empty(), "there are lists");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_citation_names_its_document_and_the_very_section() {
    let cases = [
        ("// RFC 7296 section 2.5: so.", 7296, "2.5", true),
        ("// RFC 7296 sections 2.1 to 2.3", 7296, "2.3", true),
        ("//! RFC 7296 2.14, RFC 9370 2.2.2", 9370, "2.2.2", true),
        ("//! RFC 7296 2.14, RFC 9370 2.2.2", 7296, "2.2.2", false),
        ("// RFC 7296 section 2.5.1", 7296, "2.5", false),
        ("// RFC 7296 section 12.5", 7296, "2.5", false),
        ("let x = 2.5;", 7296, "2.5", false),
        ("// takes 2.5 ms", 7296, "2.5", false),
    ];
    for (line, rfc, section, there) in cases {
        assert_eq!(cites(line, rfc, section), there, "{line}");
    }
    assert!(cites("//! RFC 7383\n// Section 2.6: so.", 7383, "2.6"));
    assert!(!cites("//! RFC 7383\n// Section 2.6: so.", 7296, "2.6"));
}

fn faults(rfc: u16, one: &Requirement, tests: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    match &one.exception {
        Some(reason) => {
            if !one.code.is_empty() || !one.tests.is_empty() {
                faults.push("an exception has neither code nor tests".to_owned());
            }
            if reason.split_whitespace().count() < REASON {
                faults.push(format!("\"{reason}\" is no reason"));
            }
        }
        None => {
            if one.code.is_empty() || one.tests.is_empty() {
                faults.push("neither held by code and tests nor an exception".to_owned());
            }
        }
    }
    for file in &one.code {
        match fs::read_to_string(root().join(file)) {
            Ok(text) if cites(&text, rfc, &one.section) => {}
            Ok(_) => faults.push(format!("{file} does not cite it")),
            Err(error) => faults.push(format!("{file}: {error}")),
        }
    }
    let missing = one.tests.iter().filter(|test| !tests.contains(*test));
    faults.extend(missing.map(|test| format!("there is no test {test}")));
    if one.says.split_whitespace().count() < 3 {
        faults.push("it says nothing".to_owned());
    }
    faults
}

/// Whether a comment names the section, and the document on the same line or, after the word "section", anywhere in the file.
fn cites(text: &str, rfc: u16, section: &str) -> bool {
    let document = format!("RFC {rfc}");
    let elsewhere = text.contains(&document);
    text.lines()
        .filter_map(|line| line.split_once("//"))
        .any(|(_, comment)| {
            comment.match_indices(section).any(|(at, _)| {
                let (before, after) = (&comment[..at], &comment[at + section.len()..]);
                let mut next = after.chars();
                let ends = match next.next() {
                    Some('.') => !next.next().is_some_and(|c| c.is_ascii_digit()),
                    Some(c) => !c.is_ascii_digit(),
                    None => true,
                };
                let begins = !before.ends_with(|c: char| c.is_ascii_digit() || c == '.');
                let said = match before.rfind("RFC ") {
                    Some(at) => before[at..].starts_with(&document) && at + document.len() < before.len(),
                    None => elsewhere && before.contains("ection"),
                };
                ends && begins && said
            })
        })
}

fn tests_of_the_crate() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["src", "tests"] {
        for path in files(&root().join(folder), "rs") {
            let text = fs::read_to_string(path).unwrap();
            let mut test = false;
            for line in text.lines().map(str::trim) {
                test |= line == "#[test]";
                if let Some(rest) = line.strip_prefix("fn ").filter(|_| test) {
                    names.extend(rest.split('(').next().map(str::to_owned));
                    test = false;
                }
            }
        }
    }
    names
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            out.push(path);
        }
    }
    out.sort();
    out
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
