//! The program's files are of one piece.

use kith_p4::{Folder, P4INFO, SPEC, check, compile, draw, info, manifest::Manifest, reasons, source, spec};
use std::collections::BTreeSet;
use std::fs;

fn folder() -> Folder {
    Folder::of_this_crate()
}

/// A copy of the program's folder that a test may spoil.
fn copy() -> (tempfile::TempDir, Folder) {
    let place = tempfile::tempdir().unwrap();
    for sub in ["kith", "compiled"] {
        fs::create_dir(place.path().join(sub)).unwrap();
        for entry in fs::read_dir(folder().path().join(sub)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, place.path().join(sub).join(path.file_name().unwrap())).unwrap();
        }
    }
    for file in ["kith.p4", "pipeline.svg"] {
        fs::copy(folder().path().join(file), place.path().join(file)).unwrap();
    }
    let copied = Folder::at(place.path());
    (place, copied)
}

#[test]
fn hashes_picture_and_with_a_compiler_the_outputs_are_those_of_the_source() {
    let outcome = check::check(&folder()).unwrap();
    assert_eq!(
        outcome.differences,
        Vec::<String>::new(),
        "run `kith-p4 compile` with p4c-dpdk on PATH"
    );
    if !outcome.compiled {
        eprintln!("p4c-dpdk is not on PATH: not compiled again");
    }
}

#[test]
fn a_changed_source_a_changed_output_and_a_file_more_are_told() {
    let (_place, folder) = copy();
    let manifest = Manifest::read(&folder).unwrap();
    assert_eq!(manifest.differences(&folder).unwrap(), Vec::<String>::new());
    folder
        .write("kith/relay.p4", "control Relay() { apply { } }\n")
        .unwrap();
    folder.write(SPEC, "apply {\n}\n").unwrap();
    folder.write("kith/more.p4", "").unwrap();
    let found = manifest.differences(&folder).unwrap().join("\n");
    for told in [
        "kith/relay.p4 is not what",
        "compiled/kith.spec is not what",
        "kith/more.p4 is in the folder",
    ] {
        assert!(found.contains(told), "{told}: {found}");
    }
}

#[test]
fn a_picture_of_another_program_is_told() {
    let (_place, folder) = copy();
    let relay = folder.read("kith/relay.p4").unwrap();
    folder
        .write(
            "kith/relay.p4",
            &relay.replace("DROP_SOURCE_LIMITED", "DROP_SOURCE_UNKNOWN"),
        )
        .unwrap();
    assert_ne!(
        draw::picture(&folder).unwrap(),
        folder.read("pipeline.svg").unwrap()
    );
}

#[test]
fn the_compiled_program_comes_to_the_tables_in_the_order_of_the_source() {
    let source: Vec<String> = source::stages(&folder())
        .unwrap()
        .into_iter()
        .filter(|stage| stage.is_table)
        .map(|stage| stage.name)
        .collect();
    let compiled = spec::order(&folder()).unwrap();
    assert_eq!(source, compiled);
    let mut declared: Vec<String> = info::read(&folder())
        .unwrap()
        .into_iter()
        .map(|table| table.name)
        .collect();
    let mut applied = compiled;
    declared.sort();
    applied.sort();
    assert_eq!(
        declared, applied,
        "every table that {P4INFO} declares is applied, once"
    );
}

/// Reasons that the P4 program itself never gives, and who does.
const GIVEN_ELSEWHERE: [(&str, &str); 13] = [
    (
        "segmented",
        "a packet in several buffers: the port layer of this target has none",
    ),
    ("esp_expired", "the crypto block"),
    ("esp_exhausted", "the crypto block"),
    ("esp_replayed", "the crypto block"),
    ("esp_too_old", "the crypto block"),
    ("esp_bad_tag", "the crypto block"),
    ("esp_bad_trailer", "the crypto block"),
    ("esp_dummy", "the crypto block"),
    ("buffer_room", "the crypto block"),
    ("punt_queue_full", "the queue to the slow path"),
    ("slow_path_refused", "the slow path"),
    (
        "hand_over_queue_full",
        "the queue between workers: this target has one crypto block",
    ),
    ("transmit_queue_full", "the port"),
];

#[test]
fn every_reason_is_given_by_the_program_or_by_somebody_who_is_named() {
    let declared = reasons::read(&folder()).unwrap();
    let stages = source::stages(&folder()).unwrap();
    let dropped: BTreeSet<&str> = stages
        .iter()
        .flat_map(|stage| &stage.drops)
        .map(String::as_str)
        .collect();
    let punted: BTreeSet<&str> = stages
        .iter()
        .flat_map(|stage| &stage.punts)
        .map(String::as_str)
        .collect();
    let elsewhere: BTreeSet<&str> = GIVEN_ELSEWHERE.iter().map(|(word, _)| *word).collect();
    assert_eq!(
        dropped.intersection(&elsewhere).next(),
        None,
        "given by the program after all"
    );
    let all: BTreeSet<&str> = dropped.union(&elsewhere).copied().collect();
    let words: BTreeSet<&str> = declared.drops.iter().map(String::as_str).collect();
    assert_eq!(all, words);
    assert_eq!(punted, declared.punts.iter().map(String::as_str).collect());
}

#[test]
fn the_manifest_says_how_to_compile() {
    let manifest = Manifest::read(&folder()).unwrap();
    assert_eq!(manifest.compiler.name, compile::COMPILER);
    assert_eq!(manifest.compiler.release, compile::RELEASE);
    assert!(manifest.compiler.arguments.ends_with(&["kith.p4".to_owned()]));
}
