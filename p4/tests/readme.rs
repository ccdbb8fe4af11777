//! README.md lists the tables that there are.

use kith_p4::{Folder, info, spec};

/// Name, key and actions of each row of the table list.
fn listed(readme: &str) -> Vec<(String, String, String)> {
    readme
        .lines()
        .skip_while(|line| !line.starts_with("| table | key "))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line
                .trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned());
            let mut next = || cells.next().unwrap_or_default();
            (next(), next(), next())
        })
        .collect()
}

#[test]
fn the_list_of_tables_is_the_programs() {
    let folder = Folder::of_this_crate();
    let tables = info::read(&folder).unwrap();
    let program: Vec<_> = spec::order(&folder)
        .unwrap()
        .iter()
        .map(|name| {
            let table = tables.iter().find(|table| table.name == *name).unwrap();
            let key: Vec<_> = table.key.iter().map(|field| field.name.as_str()).collect();
            let actions: Vec<_> = table.actions.iter().map(|action| action.name.as_str()).collect();
            let key = if key.is_empty() {
                "(default action)".to_owned()
            } else {
                key.join(", ")
            };
            (table.name.clone(), key, actions.join(", "))
        })
        .collect();
    assert_eq!(listed(&folder.read("README.md").unwrap()), program);
}
