//! Checks of what people write. Each says what is wrong and what to do.

use crate::core::AdminError;
use kith_protocol::names::Fqdn;
use std::net::Ipv4Addr;

/// Characters of a description or a reason at most.
const MAX_LINE: usize = 200;
/// Tags of a member at most.
const MAX_TAGS: usize = 32;
/// RFC 5321, section 4.5.3.1.3, without the angle brackets.
const MAX_MAIL: usize = 254;

/// Everything that is wrong so far.
#[derive(Default)]
pub(super) struct Wrong(Vec<String>);

impl Wrong {
    pub(super) fn say(&mut self, what: impl Into<String>) {
        self.0.push(what.into());
    }

    /// What is well stays, what is not is said.
    pub(super) fn take<T, E: std::fmt::Display>(&mut self, about: &str, result: Result<T, E>) -> Option<T> {
        result
            .map_err(|why| {
                self.say(if about.is_empty() {
                    why.to_string()
                } else {
                    format!("{about}: {why}")
                })
            })
            .ok()
    }

    pub(super) fn done(self) -> Result<(), AdminError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(AdminError::Invalid(self.0))
        }
    }
}

/// A full name as people write it.
pub(super) fn name(text: &str) -> Result<String, AdminError> {
    Fqdn::normalise(text)
        .map(|name| name.to_string())
        .map_err(|why| AdminError::Invalid(vec![why.to_string()]))
}

/// One line that is not too long.
pub(super) fn line(text: &str) -> Result<String, String> {
    if text.chars().count() > MAX_LINE || text.contains(char::is_control) {
        return Err(format!("must be one line of at most {MAX_LINE} characters"));
    }
    Ok(text.trim().to_owned())
}

/// A mail address: enough to keep mistakes and header lines out; whether it exists only a mail tells.
pub(super) fn mail(text: &str) -> Result<(), String> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';' | '"');
    let good = match text.rsplit_once('@') {
        Some((name, host)) => !name.is_empty() && !host.is_empty() && !name.contains('@'),
        None => false,
    };
    if good && text.len() <= MAX_MAIL && !text.contains(bad) {
        return Ok(());
    }
    Err(format!(
        "\"{}\" is no mail address; write one as alice@acme.example",
        super::short(text)
    ))
}

/// Tags, sorted, each once.
pub(super) fn tags(texts: &[String]) -> Result<Vec<String>, String> {
    if texts.len() > MAX_TAGS {
        return Err(format!("{} tags; at most {MAX_TAGS} are possible", texts.len()));
    }
    if let Some(bad) = texts
        .iter()
        .find(|text| !crate::policy::is_word(text) || text.len() > 63)
    {
        return Err(format!(
            "\"{}\" is no tag; take one word of at most 63 characters, without commas",
            super::short(bad)
        ));
    }
    let mut tags = texts.to_vec();
    tags.sort_unstable();
    tags.dedup();
    Ok(tags)
}

/// An address, or none for the empty text.
pub(super) fn address(text: &str) -> Result<Option<Ipv4Addr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let address = text
        .parse()
        .map_err(|_| format!("\"{}\" is no address; write it as 10.77.0.5", super::short(text)))?;
    Ok(Some(address))
}

/// "a", "a and b", "a, b and 7 more"
pub(super) fn some(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        [one, two, rest @ ..] => format!("{one}, {two} and {} more", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_addresses_cannot_carry_header_lines() {
        for good in ["alice@acme.example", "a.b+c@x"] {
            assert_eq!(mail(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "alice",
            "@x",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b\r\nBcc: c@d",
            "<a@b>",
            "a@b,c@d",
        ] {
            assert!(mail(bad).unwrap_err().contains("no mail address"), "{bad:?}");
        }
    }

    #[test]
    fn tags_are_a_set() {
        let of = |texts: &[&str]| tags(&texts.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(of(&["b", "a", "b"]), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert!(of(&["two words"]).is_err() && of(&["a,b"]).is_err() && of(&[""]).is_err());
    }
}
