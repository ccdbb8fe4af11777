//! The compiled program, as far as order is concerned.

use crate::{Error, Folder, SPEC};

/// The tables in the order in which the compiled `apply` block comes to them.
pub fn order(folder: &Folder) -> Result<Vec<String>, Error> {
    Ok(tables(&folder.read(SPEC)?))
}

/// Instructions `table NAME`, perhaps behind a label, in the block that begins with `apply {`.
fn tables(spec: &str) -> Vec<String> {
    spec.lines()
        .skip_while(|line| line.trim() != "apply {")
        .filter_map(|line| {
            let instruction = line.rsplit_once(':').map_or(line, |(_, behind)| behind);
            let name = instruction.trim().strip_prefix("table ")?;
            // A leading dot in the source becomes an underscore.
            Some(name.trim().trim_start_matches('_').to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_declarations_are_not_mistaken_for_instructions() {
        let spec = "table _b {\n}\napply {\n\ttable endpoint\n\tLABEL :\ttable _b\n\tjmp X\n}\n";
        assert_eq!(tables(spec), ["endpoint", "b"]);
    }
}
