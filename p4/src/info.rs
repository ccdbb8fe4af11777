//! Tables, keys and actions, as the P4Info declares them.

use crate::textproto::Message;
use crate::{Error, Folder, P4INFO};

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its P4Runtime identifier.
    pub id: u32,
    /// Its key, in order.
    pub key: Vec<Field>,
    /// Its actions, in order, without those that only a table's own program may choose.
    pub actions: Vec<Action>,
    /// Entries it holds at most.
    pub size: u32,
    /// Has each entry a counter?
    pub counted: bool,
    /// Has each entry a meter?
    pub metered: bool,
}

/// A field of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Bits.
    pub width: u32,
    /// `EXACT`, `LPM`, `TERNARY`.
    pub kind: String,
}

/// An action and what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Its name.
    pub name: String,
    /// Names and widths in bits of its parameters, in order.
    pub parameters: Vec<(String, u32)>,
}

/// All tables of the folder's P4Info, in the order of the file.
pub fn read(folder: &Folder) -> Result<Vec<Table>, Error> {
    parse(&folder.read(P4INFO)?)
}

fn parse(text: &str) -> Result<Vec<Table>, Error> {
    let whole = Message::parse(P4INFO, text)?;
    let actions: Vec<(u32, Action)> = whole.messages("actions").map(action).collect();
    let attached = |kind: &str, id: u32| whole.messages(kind).any(|it| it.number("direct_table_id") == id);
    let table = |table: &Message| {
        let (id, name) = preamble(table);
        let chosen = table
            .messages("action_refs")
            .filter(|it| it.text("scope") != "DEFAULT_ONLY");
        Table {
            name,
            id,
            key: table.messages("match_fields").map(field).collect(),
            actions: chosen
                .filter_map(|it| actions.iter().find(|(id, _)| *id == it.number("id")))
                .map(|(_, action)| action.clone())
                .collect(),
            size: table.number("size"),
            counted: attached("direct_counters", id),
            metered: attached("direct_meters", id),
        }
    };
    Ok(whole.messages("tables").map(table).collect())
}

fn preamble(message: &Message) -> (u32, String) {
    message
        .messages("preamble")
        .next()
        .map(|it| (it.number("id"), it.text("alias").to_owned()))
        .unwrap_or_default()
}

fn field(message: &Message) -> Field {
    Field {
        name: message.text("name").to_owned(),
        width: message.number("bitwidth"),
        kind: message.text("match_type").to_owned(),
    }
}

fn action(message: &Message) -> (u32, Action) {
    let (id, name) = preamble(message);
    let parameters = message
        .messages("params")
        .map(|it| (it.text("name").to_owned(), it.number("bitwidth")))
        .collect();
    (id, Action { name, parameters })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_declares_the_member_table_as_designed() {
        let tables = read(&Folder::of_this_crate()).unwrap();
        let member = tables.iter().find(|table| table.name == "member").unwrap();
        let key: Vec<_> = member
            .key
            .iter()
            .map(|it| (it.name.as_str(), it.width, it.kind.as_str()))
            .collect();
        assert_eq!(
            key,
            [
                ("community", 16, "EXACT"),
                ("source", 32, "EXACT"),
                ("destination", 32, "EXACT")
            ]
        );
        let actions: Vec<_> = member.actions.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(actions, ["seal_to", "await_keys"]);
        assert!(member.counted && !member.metered);
    }
}
