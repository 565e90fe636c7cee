//! Which instance a transaction goes to, or a batch outside of one: what it does decides, unless
//! the client asks for something else.
//!
//! One transaction stays on one instance. Where statements can go to one instance only, nothing of
//! this costs more than a branch.

pub(crate) mod batch;
pub(crate) mod commands;
pub(crate) mod kept;
pub(crate) mod survival;
pub(crate) mod verdict;
pub(crate) mod wishes;

use std::sync::Arc;

use pgherd_pool::{Access, Need, RoleWish, Targets};
use pgherd_wire::ParamSet;

use crate::session::Session;
use batch::{Extent, Item};
use kept::Kept;
use verdict::Verdict;
use wishes::Wishes;

/// A word that stands in every comment for the proxy.
const DIRECTIVE: &[u8] = b"pgherd:";

/// What a session's routing knows.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    mode: Mode,
    pub(crate) wishes: Wishes,
    /// A comment has asked for something: others may, in statements that were prepared before.
    has_directives: bool,
    /// How texts are read.
    reading: Option<verdict::ReadingOf>,
    /// What the server connection that is held serves.
    held: Option<Held>,
    /// The first message for which a server connection was taken is still to be sent.
    pub(crate) is_fresh: bool,
    /// What comes next goes to another instance: the server connection is given back before.
    pub(crate) leaves: bool,
    /// The request that is being answered, as long as it can be sent again.
    pub(crate) kept: Option<Box<Kept>>,
    /// Instances that have failed this request.
    pub(crate) attempt: Attempt,
    /// The client's transaction was lost with its server connection.
    pub(crate) has_lost_transaction: bool,
    /// Where the primary's log ended when this session had written last.
    pub(crate) written: Written,
    /// Bytes that came while it was not known for which instance.
    pub(crate) received: u64,
    /// The session parameters before the transaction that is open.
    pub(crate) params_before: Option<Arc<ParamSet>>,
    /// What the server connection does may write.
    pub(crate) writes: bool,
}

/// How much there is to decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// Nothing: there is one instance, or the session keeps its server connection.
    #[default]
    Fixed,
    /// Everything goes to the primary, unless a comment says otherwise.
    OnRequest,
    /// Statements decide.
    Split,
}

/// What the server connection that is held is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Primary,
    Replica,
}

/// What has been tried for one request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attempt {
    /// Since when the client waits for an instance.
    pub(crate) since: Option<std::time::Instant>,
    /// Instances not to be asked again.
    pub(crate) avoid: u64,
    /// How often it was sent in vain.
    pub(crate) failures: u32,
    /// How often one has refused it that was thought to be the primary.
    pub(crate) demoted: u32,
    /// A replica has refused it, since it writes.
    pub(crate) writes: bool,
}

/// What is known of the last write of a session that reads its own writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Written {
    /// It has written nothing.
    #[default]
    Nothing,
    /// It may have written, and nobody has asked how far the log goes.
    Unknown,
    /// Up to here.
    UpTo(u64),
}

/// Where a batch has to go. What asks for more comes later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Where reads go.
    #[default]
    Reads,
    /// Anywhere.
    Any,
    Replica,
    Primary,
}

/// What was decided of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    place: Place,
    /// All of it only reads, whatever the client asks for.
    pub(crate) only_reads: bool,
    /// All of it is in the buffer.
    pub(crate) is_whole: bool,
    /// It changes which statements the client has.
    pub(crate) defines: bool,
}

impl Place {
    /// Where a statement goes that does this, as somebody asks for it.
    pub(crate) fn of(wish: Option<RoleWish>, access: Access) -> Self {
        match (wish, access) {
            (Some(RoleWish::Primary), _) | (None | Some(RoleWish::Any), Access::Write) => {
                Self::Primary
            }
            (Some(RoleWish::Replica), _) => Self::Replica,
            (Some(RoleWish::Any), Access::Read) => Self::Any,
            (None, Access::Read) => Self::Reads,
        }
    }

    /// What the instance must be; `None` is what the settings say of reads, but for what the
    /// session says of reads by the primary.
    pub(crate) fn role(self, primary_reads: Option<bool>) -> Option<RoleWish> {
        match self {
            Self::Primary => Some(RoleWish::Primary),
            Self::Replica => Some(RoleWish::Replica),
            Self::Any => Some(RoleWish::Any),
            Self::Reads => primary_reads.map(|also| match also {
                true => RoleWish::Any,
                false => RoleWish::Replica,
            }),
        }
    }
}

impl Decision {
    fn primary() -> Self {
        Self { place: Place::Primary, ..Self::default() }
    }

    /// Of a batch of which not enough has come.
    pub(crate) fn unknown() -> Self {
        Self::primary()
    }

    /// What the instance must be.
    fn need(&self, routing: &Routing) -> Need {
        let attempt = &routing.attempt;
        let mut need = Need { avoid: attempt.avoid, ..Need::WRITE };
        let place = if attempt.writes { Place::Primary } else { self.place };
        need.role = place.role(routing.wishes.primary_reads());
        if self.only_reads && !attempt.writes {
            need.access = Access::Read;
            if let Written::UpTo(lsn) = routing.written
                && routing.wishes.reads_own_writes()
            {
                need.min_lsn = Some(lsn);
            }
        }
        need
    }
}

impl Routing {
    /// Finds out how much there is to decide among these instances.
    pub(crate) fn set_mode(&mut self, targets: &Targets, is_session_mode: bool) {
        self.mode = if targets.is_single() || is_session_mode {
            Mode::Fixed
        } else if targets.splits_reads() || self.wishes.are_any() || self.has_directives {
            Mode::Split
        } else {
            Mode::OnRequest
        };
    }

    /// Whether a session could go to different instances.
    pub(crate) fn has_choice(&self) -> bool {
        self.mode != Mode::Fixed
    }

    /// What a session needs that stays where it is.
    pub(crate) fn fixed_need(&self) -> Need {
        let role = self.wishes.role();
        let access = match role {
            Some(RoleWish::Replica | RoleWish::Any) => Access::Read,
            _ => Access::Write,
        };
        Need { access, role, avoid: self.attempt.avoid, min_lsn: None }
    }

    /// A server connection was taken.
    pub(crate) fn begin(&mut self, is_primary: bool) {
        self.held = Some(if is_primary { Held::Primary } else { Held::Replica });
        self.is_fresh = true;
        self.leaves = false;
    }

    /// Whether the server connection that is held leads to a replica.
    pub(crate) fn is_on_replica(&self) -> bool {
        self.held == Some(Held::Replica)
    }

    /// It was given back, or lost.
    pub(crate) fn end(&mut self) {
        self.held = None;
        self.leaves = false;
    }
}

impl Session {
    /// The server connection is given back.
    pub(crate) fn end_routed(&mut self) {
        if self.routing.held.is_some() {
            if self.routing.writes && self.routing.held == Some(Held::Primary) {
                self.routing.written = Written::Unknown;
            }
            self.unkeep();
            self.routing.end();
            self.routing.attempt = Attempt::default();
        }
    }

    /// Where the batch at the head of the buffer has to go, as far as it is there.
    pub(crate) fn decide(&mut self) -> Option<Decision> {
        let bytes = self.from_client.buffer.unscanned();
        if self.routing.mode == Mode::OnRequest {
            let is_asked =
                pgherd_sql::names_proxy(bytes) && memchr::memmem::find(bytes, DIRECTIVE).is_some();
            if !is_asked {
                return Some(Decision { is_whole: true, ..Decision::primary() });
            }
            self.routing.has_directives = true;
            self.routing.mode = Mode::Split;
        }
        self.look_at_reading();
        let bytes = self.from_client.buffer.unscanned();
        let mut decision = Decision { only_reads: true, ..Decision::default() };
        // Statements that the batch defines itself: mostly one, without a name.
        let mut unnamed = None;
        let mut defined: Vec<(&[u8], Verdict)> = Vec::new();
        let judge = self.judge();
        let extent = batch::scan(bytes, |item| {
            let verdict = match item {
                Item::Query(text) => judge.text(text),
                Item::Parse { name, text } => {
                    let verdict = judge.text(text);
                    if name.is_empty() {
                        unnamed = Some(verdict);
                    } else {
                        decision.defines = true;
                        defined.push((name, verdict));
                    }
                    // What is only parsed is not executed: no override sends it away.
                    verdict
                }
                Item::Uses(name) => {
                    let own = if name.is_empty() {
                        unnamed
                    } else {
                        let own = defined.iter().rev().find(|(other, _)| *other == name);
                        own.map(|(_, verdict)| *verdict)
                    };
                    own.unwrap_or_else(|| self.verdict_of_statement(&judge, name))
                }
                Item::Closes => {
                    decision.defines = true;
                    return;
                }
                Item::Opaque => Verdict::WRITES,
            };
            decision.only_reads &= verdict.access == Access::Read;
            decision.place = decision.place.max(self.place(verdict));
        });
        match extent {
            Extent::Whole => {
                decision.is_whole = true;
                Some(decision)
            }
            // What it will go on with is not known.
            Extent::Open | Extent::TooLong => Some(Decision::primary()),
            Extent::Partial => None,
        }
    }

    /// Whether it must be asked how far the session has written before an instance is chosen.
    pub(crate) fn must_ask_for_lsn(&self, decision: &Decision) -> bool {
        self.routing.wishes.reads_own_writes()
            && self.routing.written == Written::Unknown
            && decision.place != Place::Primary
            && decision.only_reads
    }

    /// What is needed of the instance for a decision.
    pub(crate) fn need(&self, decision: &Decision) -> Need {
        decision.need(&self.routing)
    }

    fn place(&self, verdict: Verdict) -> Place {
        Place::of(verdict.role.unwrap_or_else(|| self.routing.wishes.role()), verdict.access)
    }

    /// Whether what the session asks for may be changed by what is under way, or was and is not
    /// known yet.
    fn may_have_other_wishes(&self, is_answered: bool) -> bool {
        let asks = self.routing.wishes != Wishes::default();
        match is_answered {
            false => self.state.names_own() || (asks && self.state.has_resets()),
            true => {
                self.state.is_questionable()
                    && (self.state.names_own() || (asks && self.state.was_reset()))
            }
        }
    }

    /// Whether the batch that begins at the head of the buffer stays on the server connection that
    /// is held; if not, it waits until that has nothing left to do.
    pub(crate) fn stays(&mut self) -> bool {
        if std::mem::take(&mut self.routing.is_fresh) {
            return true;
        }
        let Some(held) = self.routing.held else { return true };
        let Some(lease) = &self.lease else { return true };
        // In the middle of a batch.
        if lease.owed.needs_sync() {
            return true;
        }
        let asks = self.routing.wishes.are_any() || self.routing.has_directives;
        let is_answered = lease.owed.is_free();
        let in_transaction = lease.owed.is_answered() && !is_answered;
        if !in_transaction && self.may_have_other_wishes(is_answered) {
            self.routing.leaves = is_answered;
            return false;
        }
        if in_transaction
            || lease.owed.is_copy_in()
            || lease.owed.awaits_copy()
            || self.state.is_bound()
            // Whatever comes may go to the primary where nobody asks for anything else.
            || (held == Held::Primary && !asks)
        {
            self.unkeep();
            self.routing.writes |= held == Held::Primary;
            return true;
        }
        let decision = self.decide();
        let stays = match &decision {
            Some(decision) => match decision.place {
                Place::Primary => held == Held::Primary,
                Place::Replica => held == Held::Replica,
                Place::Reads | Place::Any => true,
            },
            None => false,
        };
        // Requests that read are kept together, others are not sent twice.
        if stays && !decision.is_some_and(|it| it.only_reads && it.is_whole && !it.defines) {
            self.unkeep();
            self.routing.writes = true;
        }
        self.routing.leaves = !stays && is_answered;
        stays
    }
}
