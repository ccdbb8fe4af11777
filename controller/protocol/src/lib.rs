//! What members, managers and operators say to each other, and the cryptography of it.
#![forbid(unsafe_code)]

/// Messages between a member and its manager.
#[allow(missing_docs, clippy::all)]
pub mod member {
    tonic::include_proto!("kith.member.v1");
}

/// What the manager keeps in its store.
#[allow(missing_docs, clippy::all)]
pub mod records {
    tonic::include_proto!("kith.store.v1");
}

/// Messages between an operator and a manager.
#[allow(missing_docs, clippy::all)]
pub mod admin {
    tonic::include_proto!("kith.admin.v1");
}
