//! Sessions over several shards: a coordinator that speaks for all of them.

#![allow(dead_code)]

mod branch;
mod branches;
mod commit;
mod failure;
mod front;
mod sites;
mod verb;
