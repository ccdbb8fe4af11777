//! The words of a policy as they may be written: whom it is about, and which service. What they mean is the manager's affair.

use crate::Fqdn;

/// Whom a policy is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selector {
    /// Every member of the community.
    Any,
    /// Every machine of a user.
    User(String),
    /// One machine.
    Machine(Fqdn),
    /// Machines with a tag.
    Tag(String),
}

/// A conversation's service, in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service(pub(crate) String);

/// What is wrong, and what to do.
type Refusal = (String, String);

impl Selector {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let form = || {
            let help = "write any, user:NAME, machine:FULL.NAME or tag:WORD";
            ("names nobody".to_owned(), help.to_owned())
        };
        if text == "any" {
            return Ok(Self::Any);
        }
        let (kind, name) = text.split_once(':').ok_or_else(form)?;
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let help = "write one word without blanks behind the colon".to_owned();
            return Err(("names nobody".into(), help));
        }
        match kind {
            "user" => Ok(Self::User(name.into())),
            "tag" => Ok(Self::Tag(name.into())),
            "machine" => Fqdn::parse(name).map(Self::Machine).map_err(|why| {
                let help = "write a member's full name, as machine:alice.acme.example".to_owned();
                (format!("names no machine: `{name}` {why}"), help)
            }),
            _ => Err(form()),
        }
    }

    /// As the manager reads it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Any => "any".into(),
            Self::User(name) => format!("user:{name}"),
            Self::Machine(name) => format!("machine:{name}"),
            Self::Tag(name) => format!("tag:{name}"),
        }
    }
}

impl Service {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let good = match text.split_once('/') {
            None => matches!(text, "any" | "icmp" | "tcp" | "udp"),
            Some((protocol, port)) => {
                let digits = port.len() <= 5 && port.bytes().all(|c| c.is_ascii_digit());
                let number = port.parse::<u16>().is_ok_and(|port| port != 0);
                matches!(protocol, "tcp" | "udp") && digits && number && !port.starts_with('0')
            }
        };
        if good {
            return Ok(Self(text.into()));
        }
        let help = "write any, icmp, tcp, udp, or one port as tcp/22 or udp/53";
        Err(("is no service".into(), help.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_one_of_four_forms() {
        for good in [
            "any",
            "user:alice",
            "user:a@b.example",
            "tag:printers",
            "machine:a.acme.example",
        ] {
            assert_eq!(Selector::parse(good).map(|s| s.text()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "all",
            "user:",
            "user: a",
            "host:a.b",
            "machine:alice",
            "machine:A.b",
        ] {
            assert!(Selector::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn services_are_protocols_or_single_ports() {
        for good in ["any", "icmp", "tcp", "udp", "tcp/1", "udp/65535"] {
            assert!(Service::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "tcp/",
            "tcp/0",
            "tcp/65536",
            "tcp/1-2",
            "icmp/8",
            "sctp/1",
            "tcp/022",
            "TCP",
            "tcp/+1",
        ] {
            assert!(Service::parse(bad).is_err(), "{bad}");
        }
    }
}
