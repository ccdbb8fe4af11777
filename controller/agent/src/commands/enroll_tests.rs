//! Enrolment as a user sees it, with a manager behind real TLS on loopback.

use super::*;
use crate::manager::fake::{self, CODE, FQDN};
use crate::manager::fake_server::{Served, serve};
use kith_protocol::tls::Fingerprint;

/// A user who types these lines.
struct User {
    types: Vec<&'static str>,
    saw: String,
}

impl User {
    fn who_types(lines: &[&'static str]) -> Self {
        Self {
            types: lines.iter().rev().copied().collect(),
            saw: String::new(),
        }
    }
}

impl Terminal for User {
    fn say(&mut self, line: &str) {
        self.saw.push_str(line);
        self.saw.push('\n');
    }

    fn ask(&mut self, prompt: &str) -> Option<String> {
        self.saw.push_str(prompt);
        self.saw.push('\n');
        self.types.pop().map(Into::into)
    }
}

struct World {
    manager: Served,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            manager: serve(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn state(&self) -> State {
        State::at(self.folder.path())
    }

    fn enroll(&self, code: Option<&str>, user: &mut User) -> Result<(), EnrollError> {
        let invitation = Invitation::parse(&self.manager.invitation().text()).unwrap();
        enroll(
            &invitation,
            code.map(Into::into),
            (&self.state(), &self.folder.path().join("none.sock")),
            Argon2Cost::SIMULATION,
            user,
        )
    }
}

fn alice() -> Fqdn {
    Fqdn::parse(FQDN).unwrap()
}

#[test]
fn a_user_types_a_wrong_code_then_the_right_one_and_is_told_what_comes_next() {
    let world = World::new();
    let mut user = User::who_types(&["what?\n", "8765-4321\n", "1234 5678\n"]);
    world.enroll(None, &mut user).unwrap();
    let saw = &user.saw;
    for words in [
        "Enrolling this computer as alice.acme.example",
        "has been sent to a…@acme.example. It is good for 10 minutes.",
        "A code has eight digits",
        "That is not the code that was sent; 4 more tries are possible",
        "`kith-agent up`",
    ] {
        assert!(saw.contains(words), "{words:?} is not in:\n{saw}");
    }
    let registration = world.state().load(&alice()).unwrap();
    assert_eq!(registration.file.token_key, fake::token_key().expose());
    // A second time there is nothing to do.
    let error = world.enroll(None, &mut User::who_types(&[])).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("enrolled as alice.acme.example already"),
        "{error}"
    );
}

#[test]
fn a_code_on_the_command_line_needs_no_user() {
    let world = World::new();
    world.enroll(Some(CODE), &mut User::who_types(&[])).unwrap();
    assert!(world.state().load(&alice()).is_ok());
}

#[test]
fn who_has_no_code_yet_begins_again_as_the_same_device() {
    let world = World::new();
    let error = world.enroll(None, &mut User::who_types(&[])).unwrap_err();
    assert!(matches!(error, EnrollError::NoCode));
    let first = world
        .state()
        .identity(&alice(), &mut |_| unreachable!("it is kept"))
        .unwrap()
        .public();
    world.enroll(None, &mut User::who_types(&["12345678"])).unwrap();
    assert_eq!(world.state().load(&alice()).unwrap().identity.public(), first);
}

#[test]
fn another_manager_at_the_same_place_is_not_spoken_to() {
    let world = World::new();
    let invitation = Invitation {
        fingerprint: Fingerprint([7; 32]),
        ..world.manager.invitation()
    };
    let mut user = User::who_types(&[CODE]);
    let error = enroll(
        &invitation,
        None,
        (&world.state(), &world.folder.path().join("none.sock")),
        Argon2Cost::SIMULATION,
        &mut user,
    )
    .unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert!(world.manager.fake.lock().unwrap().calls.is_empty());
}

#[test]
fn a_used_invitation_is_explained() {
    let world = World::new();
    world.manager.fake.lock().unwrap().drop_all = true;
    let error = world.enroll(None, &mut User::who_types(&[CODE])).unwrap_err();
    assert!(error.to_string().contains("Ask for a new invitation"), "{error}");
}

#[test]
fn an_invitation_is_read_from_the_word_a_file_or_a_whole_mail() {
    let world = World::new();
    let text = world.manager.invitation().text();
    let same = |invitation: Invitation| assert!(invitation == world.manager.invitation());
    same(read_invitation(&text).unwrap());
    let path = world.folder.path().join("mail");
    let mail = format!(
        "Dear Alice,\n\n    kith-agent enroll {}\n\nRegards\n",
        text.as_str()
    );
    std::fs::write(&path, mail).unwrap();
    same(read_invitation(path.to_str().unwrap()).unwrap());
    let (begin, end) = text.split_at(70);
    std::fs::write(
        &path,
        format!("Subject: x\r\n\r\nsudo kith-agent enroll {begin}=\r\n{end}\r\n"),
    )
    .unwrap();
    same(read_invitation(path.to_str().unwrap()).unwrap());
    std::fs::write(&path, "no such thing").unwrap();
    assert!(matches!(
        read_invitation(path.to_str().unwrap()),
        Err(EnrollError::Invitation(_))
    ));
    assert!(matches!(
        read_invitation("kith1-nonsense"),
        Err(EnrollError::Invitation(_))
    ));
    assert!(matches!(
        read_invitation("/no/such/file"),
        Err(EnrollError::Invitation(_))
    ));
}
