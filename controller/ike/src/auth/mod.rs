//! Proofs of identity: to be written against `suite::Secret` and `codec::Identity`.
