//! What holds a secret cannot be printed: types without `Debug`, checked while this compiles.

use std::fmt::Debug;

/// Two ways to find `of` in a type that has `Debug`, one in all others: where there are two, the compiler refuses to choose.
trait Unprintable<Way> {
    fn of() {}
}
struct Printable;
impl<T: ?Sized> Unprintable<()> for T {}
impl<T: ?Sized + Debug> Unprintable<Printable> for T {}

macro_rules! without_debug {
    ($($secret:ty),* $(,)?) => { $(<$secret as Unprintable<_>>::of();)* };
}

#[test]
fn secrets_have_no_debug() {
    use kith_protocol::{
        admin, authenticator, identity, invitation, join, letter, member, records, registration,
    };
    use kith_protocol::{secret, share, ticket};
    without_debug!(
        secret::Secret32,
        authenticator::PasswordKey,
        authenticator::AuthKey,
        authenticator::TicketKey,
        identity::DeviceIdentity,
        share::KeyShare,
        registration::FileKey,
        registration::Code,
        join::ChannelSecret,
        join::DirectionKeys,
        join::ChannelKeys,
        ticket::TicketBody,
        ticket::KeyBody,
        invitation::Invitation,
        letter::Letter,
    );
    without_debug!(
        member::RegistrationFile,
        member::Director,
        member::InitAck,
        member::InitAnswer,
        records::Community,
        records::Member,
        records::Registering,
        records::Session,
        records::Identity,
        admin::Invitation,
        admin::Invitations,
        admin::ApplyAnswer,
        admin::NewCredential,
        admin::Chunk,
    );
}
