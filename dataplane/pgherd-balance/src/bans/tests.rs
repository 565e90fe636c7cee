//! The rules of bans, one by one and under any sequence of events.
