//! Long lists, page by page: a manager gives a thousand records at a time, in order of names.

use crate::error::Error;
use kith_protocol::admin::MemberQuery;

/// Records in a page, as managers have it.
const PAGE: u32 = 1000;

/// What stands below a table that not all found room in.
pub(super) fn more(more: bool) -> &'static str {
    if more {
        "\nthere are more; raise --limit\n"
    } else {
        ""
    }
}

/// All that `query` finds, `limit` at most; and whether there are more.
pub(super) fn pages<T>(
    mut query: MemberQuery,
    limit: Option<u32>,
    mut page: impl FnMut(MemberQuery) -> Result<(Vec<T>, bool), Error>,
    name: impl Fn(&T) -> &String,
) -> Result<(Vec<T>, bool), Error> {
    let mut found: Vec<T> = Vec::new();
    loop {
        let missing = limit.map_or(PAGE, |limit| limit.saturating_sub(found.len() as u32));
        query.limit = missing.min(PAGE);
        let (records, more) = page(query.clone())?;
        let last = records.last().map(|record| name(record).clone());
        found.extend(records);
        let enough = limit.is_some_and(|limit| found.len() >= limit as usize);
        match last {
            // A page that goes nowhere would come again for ever.
            Some(last) if more && !enough && last != query.after => query.after = last,
            _ => return Ok((found, more)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(count: usize, limit: Option<u32>) -> (usize, bool, Vec<u32>) {
        let names: Vec<String> = (0..count).map(|number| format!("{number:05}")).collect();
        let mut asked = Vec::new();
        let page = |query: MemberQuery| {
            asked.push(query.limit);
            let mut rest = names.iter().filter(|name| **name > query.after).cloned();
            let page: Vec<_> = rest.by_ref().take(query.limit as usize).collect();
            Ok((page, rest.next().is_some()))
        };
        let (found, more) = pages(MemberQuery::default(), limit, page, |name| name).unwrap();
        assert!(found.iter().eq(names.iter().take(found.len())));
        (found.len(), more, asked)
    }

    #[test]
    fn pages_are_asked_for_until_there_is_enough() {
        assert_eq!(ask(0, None), (0, false, vec![1000]));
        assert_eq!(ask(1000, None), (1000, false, vec![1000]));
        assert_eq!(ask(2500, None), (2500, false, vec![1000, 1000, 1000]));
        assert_eq!(ask(2500, Some(1200)), (1200, true, vec![1000, 200]));
        assert_eq!(ask(5, Some(2)), (2, true, vec![2]));
    }

    #[test]
    fn a_manager_that_repeats_itself_is_not_followed() {
        let page = |_| Ok((vec!["a".to_owned()], true));
        let (found, more) = pages(MemberQuery::default(), None, page, |name| name).unwrap();
        assert_eq!((found.len(), more), (2, true));
    }
}
