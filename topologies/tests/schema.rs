//! The JSON Schema: current, and of one mind with the reader about what a topology looks like.

use kith_topologies::{Code, parse, parse_listed, schema};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The quickstart as JSON: JSON is YAML, so both sides can be asked about the same text.
fn example() -> Value {
    json!({
        "version": 2, "name": "lab", "udp_port": 20202,
        "public": { "prefix": "203.0.113.0/24", "mtu": 1500 },
        "manager": { "name": "manager", "address": "203.0.113.5" },
        "directors": [{
            "name": "nrd1", "role": "network", "address": "203.0.113.10", "pseudo_pool": "240.0.0.0/12", "workers": 2,
            "session_lifetime": "30s", "keep_alive": "4s",
            "limits": { "sessions": 100, "requests_per_second": 10, "packets_per_second": 10 },
            "port": 20202, "transports": ["udp"], "sites": ["site-a"], "nat_addresses": ["203.0.113.21"], "capacity": 5,
            "draining": false,
        }],
        "sites": [{
            "name": "site-a", "lan": "192.168.1.0/24", "gateway": "192.168.1.1", "wan_mtu": 1400,
            "nat": { "address": "203.0.113.21", "udp_timeout": "10s", "ports": "random" },
        }],
        "communities": [{
            "domain": "acme.example", "pools": ["10.77.0.0/24"], "description": "all of us", "deny_by_default": false,
            "directors": ["nrd1"], "ticket_lifetime": "1h",
            "policies": [{
                "id": "p", "action": "deny", "from": "any", "to": "user:bob", "services": ["tcp/23"], "level": "user",
                "priority": 3, "comment": "why",
            }],
        }],
        "devices": [
            { "name": "alice", "site": "site-a", "address": "192.168.1.10", "members": ["alice.acme.example"],
              "email": "a@acme.example", "user": "alice", "platform": "linux", "tags": ["laptop"] },
            { "members": [{ "name": "bob.acme.example", "address": "10.77.0.9" }], "user": "b@acme.example" },
            { "name": "carol", "members": ["carol.acme.example"], "email": "c@acme.example" },
        ],
        "hosts": [{ "name": "mallory", "address": "203.0.113.66" }],
    })
}

/// Codes of mistakes that a schema can see. The others hold between values.
const OF_FORM: [Code; 7] = [
    Code::WrongType,
    Code::UnknownField,
    Code::MissingField,
    Code::BadValue,
    Code::OutOfRange,
    Code::BadName,
    Code::BadPrefix,
];

/// Formats count: that an address is one is said by `format`.
fn validator() -> jsonschema::Validator {
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema())
        .unwrap()
}

fn reader_accepts_form(document: &Value) -> bool {
    match parse_listed("lab.json", &document.to_string()) {
        Ok(_) => true,
        Err(found) => !found.iter().any(|d| OF_FORM.contains(&d.code)),
    }
}

/// Every place in the document, as the steps that lead there.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, v)| places(v, &format!("{at}/{key}"), out)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(n, v)| places(v, &format!("{at}/{n}"), out)),
        _ => {}
    }
}

#[test]
fn the_checked_in_schema_is_current() {
    let path = folder().join("schema.json");
    let now = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("KITH_BLESS").is_some() {
        fs::write(&path, &now).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        now,
        "run KITH_BLESS=1 cargo test -p kith-topologies"
    );
}

#[test]
fn the_example_is_valid_to_both() {
    let validator = validator();
    let errors: Vec<_> = validator
        .iter_errors(&example())
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    parse("lab.json", &example().to_string()).unwrap_or_else(|errors| panic!("{errors}"));
}

#[test]
fn what_is_left_out_matters_to_both_or_to_neither() {
    let validator = validator();
    let mut all = Vec::new();
    places(&example(), "", &mut all);
    let mut tried = 0;
    for place in all {
        let Some((parent, key)) = place.rsplit_once('/') else {
            continue;
        };
        let mut document = example();
        let Some(Value::Object(map)) = document.pointer_mut(parent) else {
            continue;
        };
        map.remove(key);
        tried += 1;
        assert_eq!(
            validator.is_valid(&document),
            reader_accepts_form(&document),
            "without {place}"
        );
    }
    assert!(tried > 50, "{tried}");
}

#[test]
fn a_strange_value_or_word_is_refused_by_both() {
    let validator = validator();
    let mut all = Vec::new();
    places(&example(), "", &mut all);
    for place in all {
        let original = example().pointer(&place).cloned().unwrap_or_default();
        for strange in [
            json!(null),
            json!([[]]),
            json!({ "strange": 1 }),
            json!("!"),
            json!(-1),
            json!(70000000000u64),
        ] {
            // A reference, and what a person writes, is any text.
            let text = [
                "/site",
                "/directors/0",
                "/description",
                "/comment",
                "/user",
                "/platform",
                "/tags/0",
                "/sites/0",
            ]
            .iter()
            .any(|end| place.ends_with(end));
            // A list with nothing in it may be written as nothing at all; editors ask for `[]`.
            if (text && (strange.is_string() || strange.is_number()))
                || (strange.is_null() && original.is_array())
            {
                continue;
            }
            // Digits without quotes are a good name to the reader, which does not guess types; editors ask for quotes.
            let name = ["/name", "/id", "/tags/0"].iter().any(|end| place.ends_with(end));
            if name && strange.is_u64() {
                continue;
            }
            // Priorities may be below zero.
            if place.ends_with("/priority") && strange == json!(-1) {
                continue;
            }
            let mut document = example();
            *document.pointer_mut(&place).unwrap() = strange.clone();
            assert!(!reader_accepts_form(&document), "{place} = {strange}");
            assert!(!validator.is_valid(&document), "{place} = {strange}");
        }
    }
}

#[test]
fn the_quickstart_has_only_words_of_the_schema() {
    // The reader, which the tests above hold to the schema, takes it whole.
    let text = fs::read_to_string(folder().join("quickstart.yaml")).unwrap();
    parse("quickstart.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(text.starts_with("# yaml-language-server: $schema=schema.json"));
}
