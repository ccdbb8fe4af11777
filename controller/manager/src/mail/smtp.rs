//! Letters over SMTP (RFC 5321), with TLS.

use super::MailError;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use std::time::Duration;
use zeroize::Zeroizing;

/// Each step of a conversation.
const STEP: Duration = Duration::from_secs(8);
/// Before the one more try after a failure that may pass.
const AGAIN: Duration = Duration::from_secs(1);

/// How the way to the server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// TLS from the first octet (RFC 8314), port 465.
    Implicit,
    /// STARTTLS (RFC 3207), which the server must offer, port 587.
    StartTls,
    /// None: only for a server on this computer.
    None,
}

/// A mail server. No `Debug`: it holds a password.
#[derive(Clone)]
pub struct SmtpSettings {
    /// Its name, which its certificate is for.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// TLS.
    pub tls: SmtpTls,
    /// Name and password, if it wants them.
    pub login: Option<(String, Zeroizing<String>)>,
}

pub(super) struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    host: String,
}

impl Smtp {
    pub(super) fn new(settings: SmtpSettings) -> Result<Self, MailError> {
        let host = settings.host;
        let tls = match settings.tls {
            SmtpTls::None => Tls::None,
            protected => {
                let parameters = TlsParameters::new(host.clone()).map_err(|error| MailError::Smtp {
                    host: host.clone(),
                    why: format!("TLS cannot be set up: {error}"),
                })?;
                match protected {
                    SmtpTls::Implicit => Tls::Wrapper(parameters),
                    SmtpTls::StartTls | SmtpTls::None => Tls::Required(parameters),
                }
            }
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&host)
            .port(settings.port)
            .tls(tls)
            .timeout(Some(STEP));
        if let Some((name, password)) = settings.login {
            builder = builder.credentials(Credentials::new(name, password.as_str().to_owned()));
        }
        Ok(Self {
            transport: builder.build(),
            host,
        })
    }

    /// Once more if the server said "later" or was not reached; a refusal for good is told at once.
    pub(super) async fn send(&self, message: Message) -> Result<(), MailError> {
        let first = match self.transport.send(message.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let last = if first.is_permanent() || first.is_tls() {
            first
        } else {
            tokio::time::sleep(AGAIN).await;
            match self.transport.send(message).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            }
        };
        Err(MailError::Smtp {
            host: self.host.clone(),
            why: words(&last),
        })
    }
}

/// The error and what it comes of, in one line.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}
