//! From a statement's tree to a plan: which shards must answer, and what one Postgres finishes.
//!
//! Pure: tree + catalog + placement + parameters -> [`Plan`]. The promise is an exact answer or
//! `0A000`, so that everything here is deny by default: what is not known to be right becomes
//! a [`Refusal`] that names the construct. [`outline`] does all that does not depend on the
//! parameters' values and can be kept per text; [`Outline::plan`] does the rest per execution.

mod catalog;
pub mod commit;
mod edit;
mod functions;
mod key;
mod outline;
mod plan;
mod push;
mod quote;
mod scope;
mod walk;
mod walker;
mod write;

pub use catalog::{
    COLUMNS_QUERY, Catalog, Column, ColumnRow, FUNCTIONS_QUERY, FunctionRow, Kind, Rules, Table,
    Transport,
};
pub use key::{Key, Parameter, Placement};
pub use outline::{Context, Outline, outline};
pub use plan::{Finish, Gather, GatheredColumn, Plan, Refusal};

#[cfg(test)]
mod tests;
