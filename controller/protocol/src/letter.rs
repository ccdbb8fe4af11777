//! The two letters of registration: the invitation, and the confirmation code. Plain text for people who never heard of all this.

use crate::invitation::Invitation;
use crate::registration::Code;
use zeroize::Zeroizing;

/// A mail. No `Debug`: its body holds a secret.
pub struct Letter {
    /// One line; nothing secret.
    pub subject: String,
    /// Plain text, lines end in `\n`.
    pub body: Zeroizing<String>,
}

/// The letter with the invitation. `expires_ms` is when it ends, milliseconds since 1970; 0 for never.
#[must_use]
pub fn invitation(invitation: &Invitation, community: &str, expires_ms: u64) -> Letter {
    let (fqdn, text) = (&invitation.fqdn, invitation.text());
    let until = if expires_ms == 0 {
        String::new()
    } else {
        format!(", until {}", date(expires_ms))
    };
    let body = format!(
        "Hello,\n\
         \n\
         you are invited to the network {community}. Your computer will be known there as\n\
         \n    {fqdn}\n\
         \n\
         1. Install kith-agent on that computer (Linux), if it is not there yet. Whoever invited you\n   can tell where to get it.\n\
         2. Type there, all in one line:\n\
         \n    sudo kith-agent enroll {text}\n\
         \n\
         3. A confirmation code comes to this mail address. Type it in when you are asked.\n\
         4. Connect:\n\
         \n    sudo kith-agent up\n\
         \n\
         From then on the other computers of the network answer to their names.\n\
         \n\
         The line above is secret: it works once{until}, for whoever types it first. If you did not\n\
         expect this mail, do nothing, and tell whoever runs {community}.\n",
        text = text.as_str(),
    );
    Letter {
        subject: format!("Your invitation to {community}"),
        body: Zeroizing::new(body),
    }
}

/// The letter with the confirmation code, which is good for so many seconds.
#[must_use]
pub fn code(fqdn: &str, code: &Code, time_to_live_s: u32) -> Letter {
    let minutes = time_to_live_s.div_ceil(60).max(1);
    let unit = if minutes == 1 { "minute" } else { "minutes" };
    let body = format!(
        "Hello,\n\
         \n\
         a computer is being registered as {fqdn}. Its confirmation code is\n\
         \n    {code}\n\
         \n\
         Type it in where kith-agent asks for it, within {minutes} {unit}. Give it to nobody.\n\
         \n\
         If it is not you who registers a computer now, do not use the code, and tell whoever runs the\n\
         network: somebody has got hold of your invitation.\n",
        code = code.text().as_str(),
    );
    Letter {
        subject: format!("Confirmation code for {fqdn}"),
        body: Zeroizing::new(body),
    }
}

/// "2026-03-01 12:00 UTC"
#[must_use]
pub fn date(ms: u64) -> String {
    let minutes = ms / 60_000;
    let (year, month, day) = civil(minutes / 1440);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02} UTC",
        minutes / 60 % 24,
        minutes % 60
    )
}

/// Year, month and day of so many days after 1970-01-01: years begin in March here, so that the leap day is a year's last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Fqdn;
    use crate::tls::Fingerprint;

    #[test]
    fn dates_are_right_about_leap_years() {
        let at = |days: u64| date(days * 86_400_000 + 60_000);
        assert_eq!(at(0), "1970-01-01 00:01 UTC");
        assert_eq!(at(11_016), "2000-02-29 00:01 UTC");
        assert_eq!(at(11_017), "2000-03-01 00:01 UTC");
        assert_eq!(at(20_513), "2026-03-01 00:01 UTC");
        assert_eq!(at(47_540), "2100-02-28 00:01 UTC");
        assert_eq!(at(47_541), "2100-03-01 00:01 UTC");
    }

    #[test]
    fn the_invitation_in_the_letter_can_be_typed() {
        let fqdn = Fqdn::parse("laptop.acme.example").expect("a name");
        let made = Invitation::generate("vpn.acme.example", 443, Fingerprint([7; 32]), fqdn, &mut |out| {
            out.fill(9)
        });
        let made = made.expect("a good host");
        let letter = invitation(&made, "acme.example", 20_513 * 86_400_000);
        let line = letter
            .body
            .lines()
            .find_map(|line| line.strip_prefix("    sudo kith-agent enroll "));
        assert!(Invitation::parse(line.expect("the command")).is_ok_and(|read| read == made));
        assert!(letter.body.contains("until 2026-03-01 00:00 UTC"));
        assert!(!letter.subject.contains("kith1-"));
    }

    #[test]
    fn the_code_in_the_letter_can_be_typed() {
        let made = Code::parse("0123 4567").unwrap_or_else(|_| unreachable!("eight digits"));
        let letter = code("laptop.acme.example", &made, 600);
        assert!(letter.body.contains("\n    0123-4567\n") && letter.body.contains("within 10 minutes"));
    }
}
