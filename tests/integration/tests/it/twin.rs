//! The twin test: the same bytes to Postgres and through the proxy, the same bytes back.
//!
//! Rows are sequences of frontend messages. Postgres itself says what the answer is. Each row then
//! goes to the subject in one write, step by step, byte by byte, and cut in two at every point.
//! In transaction mode another client takes server connections in between, so that what the row's
//! client meets is never the connection that it left.

pub mod compare;
mod rows;
mod script;
mod stand;
pub mod startup;

pub use compare::{difference, lines};
use stand::{Stand, Subject};

/// One test for each chapter of rows and each subject.
macro_rules! chapters {
    ($($chapter:ident),+ $(,)?) => { $(
        mod $chapter {
            use super::{Stand, Subject, rows};

            /// The rows are deterministic: Postgres agrees with itself.
            #[test]
            fn on_postgres_itself() {
                Stand::start(Subject::Postgres).check(&rows::$chapter::rows());
            }

            #[test]
            fn in_transaction_mode() {
                Stand::start(Subject::Transaction).check(&rows::$chapter::rows());
            }

            /// Reads go to a replica, which is never behind.
            #[test]
            fn with_reads_on_a_replica() {
                Stand::start(Subject::Split).check(&rows::$chapter::rows());
            }

            #[test]
            fn in_session_mode() {
                Stand::start(Subject::Session).check(&rows::$chapter::rows());
            }
        }
    )+ };
}

mod statement_mode {
    use super::{Stand, Subject, rows};

    #[test]
    fn simple() {
        Stand::start(Subject::Statement).check(&rows::simple::rows());
    }

    #[test]
    fn extended() {
        Stand::start(Subject::Statement).check(&rows::extended::rows());
    }

    #[test]
    fn statements() {
        Stand::start(Subject::Statement).check(&rows::statements::rows());
    }

    #[test]
    fn pipelines() {
        Stand::start(Subject::Statement).check(&rows::pipelines::rows());
    }

    #[test]
    fn copy() {
        Stand::start(Subject::Statement).check(&rows::copy::rows());
    }
}

/// Some chapters once more, with TLS on both sides: where messages end and where records do is
/// another matter there.
mod over_tls {
    use super::{Stand, Subject, rows};

    #[test]
    fn simple() {
        Stand::start(Subject::Encrypted).check(&rows::simple::rows());
    }

    #[test]
    fn pipelines() {
        Stand::start(Subject::Encrypted).check(&rows::pipelines::rows());
    }

    #[test]
    fn copy() {
        Stand::start(Subject::Encrypted).check(&rows::copy::rows());
    }

    #[test]
    fn broken() {
        Stand::start(Subject::Encrypted).check(&rows::broken::rows());
    }

    #[test]
    fn large() {
        Stand::start(Subject::Encrypted).check(&rows::large::rows());
    }
}

chapters!(simple, extended, statements, ddl, pipelines, copy, transactions, session, broken, large);
chapters!(calls, copy_aborts);

/// What the proxy answers to these is known to differ; each says why.
#[test]
fn rows_that_differ_are_deterministic_on_postgres() {
    Stand::start(Subject::Postgres).check(&rows::copy_aborts::differing());
}
