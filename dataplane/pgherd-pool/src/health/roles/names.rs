//! Several names of one running server, one of which is the primary's.
//!
//! Which server answers is told by its origin and the moment of its start. A restart changes that
//! moment, and is seen by one name before the other: two that were the same are taken for different
//! ones when both have been asked since.

use super::{Subject, is_in_recovery};

/// The instances that are the primary by another name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names(Vec<Name>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    index: usize,
    /// It was asked, and said that it is another server than what the primary's name has said.
    differs: bool,
    /// The same by the primary's name.
    primary_differs: bool,
}

impl Names {
    pub(super) fn contains(&self, index: usize) -> bool {
        self.0.iter().any(|name| name.index == index)
    }

    /// Finds other names of the primary.
    pub(super) fn learn(&mut self, subjects: &[Subject], primary: usize) {
        // What was the primary may be it still, by a name that does not answer now.
        self.0.retain(|name| name.index != primary);
        for (index, subject) in subjects.iter().enumerate() {
            if index == primary || !is_same(subjects, index, primary) || is_in_recovery(subject) {
                continue;
            }
            self.0.retain(|name| name.index != index);
            self.0.push(Name { index, differs: false, primary_differs: false });
        }
    }

    /// An instance has said how it is.
    pub(crate) fn note_answer(&mut self, subjects: &[Subject], primary: usize, asked: usize) {
        for name in &mut self.0 {
            let differs = !is_same(subjects, name.index, primary);
            name.differs = differs && (name.differs || asked == name.index);
            name.primary_differs = differs && (name.primary_differs || asked == primary);
        }
        let leads_elsewhere = |name: &Name| subjects.get(name.index).is_none_or(is_in_recovery);
        self.0.retain(|it| !(leads_elsewhere(it) || (it.differs && it.primary_differs)));
    }
}

fn is_same(subjects: &[Subject], one: usize, other: usize) -> bool {
    let vitals = |index: usize| subjects.get(index)?.vitals;
    vitals(one).zip(vitals(other)).is_some_and(|(one, other)| one.is_of_same_server(&other))
}
