use super::*;
use std::os::unix::fs::PermissionsExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

fn letter(to: &str, body: &str) -> Letter {
    Letter {
        to: to.into(),
        subject: "Your confirmation code".into(),
        body: Zeroizing::new(body.into()),
    }
}

async fn send(mailer: &Mailer, letter: Letter) -> Result<(), MailError> {
    let (tell, told) = oneshot::channel();
    mailer.send(
        letter,
        Box::new(move |result| {
            tell.send(result).ok();
        }),
    );
    told.await.unwrap()
}

fn spool(folder: &std::path::Path) -> Mailer {
    let way = Way::Spool(folder.to_owned());
    Mailer::start(MailSettings {
        from: "Kith <kith@acme.example>".into(),
        way,
    })
    .unwrap()
}

#[tokio::test]
async fn a_letter_is_a_whole_file_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("var/spool");
    let mailer = spool(&folder);
    send(&mailer, letter("ada@acme.example", "1234-5678\n"))
        .await
        .unwrap();
    send(&mailer, letter("bob@acme.example", "8765-4321\n"))
        .await
        .unwrap();
    assert_eq!(
        std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let [first, second] = &files[..] else {
        panic!("{files:?}")
    };
    assert!(first.to_str().unwrap().ends_with("-ada@acme.example.eml"));
    assert!(second.to_str().unwrap().ends_with("-bob@acme.example.eml"));
    assert_eq!(
        std::fs::metadata(first).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let text = std::fs::read_to_string(first).unwrap();
    for line in [
        "From: Kith <kith@acme.example>",
        "To: ada@acme.example",
        "Auto-Submitted: auto-generated",
        "1234-5678",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test]
async fn an_address_cannot_carry_a_header_or_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let mailer = spool(folder.path());
    for to in [
        "ada@acme.example\r\nBcc: eve@evil.example",
        "nobody",
        "",
        "../../etc/passwd",
    ] {
        let refused = send(&mailer, letter(to, "code")).await.unwrap_err();
        assert!(matches!(refused, MailError::Address(_)), "{refused}");
    }
    let mut sly = letter("ada@acme.example", "code");
    sly.subject = "Hello\r\nBcc: eve@evil.example".into();
    send(&mailer, sly).await.unwrap();
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert!(!text.lines().any(|line| line.starts_with("Bcc")), "{text}");
}

#[tokio::test]
async fn a_folder_that_went_away_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let mailer = spool(folder.path());
    drop(folder);
    let refused = send(&mailer, letter("ada@acme.example", "the code"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.starts_with("cannot write to the mail folder"),
        "{refused}"
    );
    assert!(!refused.contains("the code"));
}

/// A mail server that says "later" to the first so many letters and then takes them.
async fn server(mut busy: usize) -> (u16, flume::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (letters, taken) = flume::unbounded();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            write.write_all(b"220 test\r\n").await.unwrap();
            let mut text: Option<String> = None;
            while let Ok(Some(line)) = lines.next_line().await {
                let answer: &[u8] = match (&mut text, line.as_str()) {
                    (Some(all), ".") => {
                        letters.send(all.clone()).unwrap();
                        text = None;
                        b"250 taken\r\n"
                    }
                    (Some(all), line) => {
                        all.push_str(line);
                        all.push('\n');
                        continue;
                    }
                    (None, line) if line.starts_with("MAIL") && busy > 0 => {
                        busy -= 1;
                        b"451 later\r\n"
                    }
                    (None, "DATA") => {
                        text = Some(String::new());
                        b"354 go on\r\n"
                    }
                    (None, "QUIT") => {
                        write.write_all(b"221 bye\r\n").await.ok();
                        break;
                    }
                    (None, _) => b"250 yes\r\n",
                };
                if write.write_all(answer).await.is_err() {
                    break;
                }
            }
        }
    });
    (port, taken)
}

fn smtp(port: u16) -> Mailer {
    let way = Way::Smtp(SmtpSettings {
        host: "127.0.0.1".into(),
        port,
        tls: SmtpTls::None,
        login: None,
    });
    Mailer::start(MailSettings {
        from: "kith@acme.example".into(),
        way,
    })
    .unwrap()
}

#[tokio::test]
async fn a_busy_mail_server_is_asked_once_more() {
    let (port, letters) = server(1).await;
    send(&smtp(port), letter("ada@acme.example", "1234-5678\n"))
        .await
        .unwrap();
    assert!(letters.recv_async().await.unwrap().contains("1234-5678"));
    let (port, _letters) = server(2).await;
    let refused = send(&smtp(port), letter("ada@acme.example", "1234-5678\n"))
        .await
        .unwrap_err();
    assert!(matches!(refused, MailError::Smtp { .. }), "{refused}");
}

#[tokio::test]
async fn a_server_without_tls_gets_no_letter_when_tls_is_wanted() {
    let (port, letters) = server(0).await;
    let settings = SmtpSettings {
        host: "localhost".into(),
        port,
        tls: SmtpTls::StartTls,
        login: None,
    };
    let way = Way::Smtp(settings);
    let mailer = Mailer::start(MailSettings {
        from: "kith@acme.example".into(),
        way,
    })
    .unwrap();
    assert!(
        send(&mailer, letter("ada@acme.example", "1234-5678\n"))
            .await
            .is_err()
    );
    assert!(letters.try_recv().is_err());
}
