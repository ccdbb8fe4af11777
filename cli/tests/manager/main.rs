//! `kith community`, `member`, `policy`, `director`, `credential`, `events`, `audit`, `accounting`, `manager` and `topology` as a user runs them,
//! against a real manager.

mod events;
mod killed;
mod network;
mod reach;
mod round_trip;
mod store;
mod topology;
mod world;
