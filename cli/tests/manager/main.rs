//! `kith community`, `member`, `policy`, `director`, `credential`, `events`, `audit`, `accounting` and `manager` as a user runs them,
//! against a real manager.

mod events;
mod network;
mod reach;
mod store;
mod world;
