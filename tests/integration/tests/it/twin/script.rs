//! What a row of the twin test sends, and when it waits.

/// A named sequence of steps.
#[derive(Clone, Debug)]
pub struct Row {
    /// The fact that the row is about.
    pub name: &'static str,
    /// What is sent, in order.
    pub steps: Vec<Step>,
    /// The tables change: they are made anew before each run.
    pub writes: bool,
    /// The answers are large: cut at few points.
    pub large: bool,
    /// The oldest major version of Postgres that answers like this.
    pub since: u32,
}

/// Bytes, and what is waited for before the next step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Whole messages.
    pub messages: Vec<Vec<u8>>,
    /// What ends the step.
    pub then: Then,
}

/// What ends a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// So many ReadyForQuery.
    Ready(usize),
    /// A message with this tag, such as CopyInResponse.
    Tag(u8),
    /// The server closes the connection. Last step only.
    Closed,
}

/// A row without steps.
pub fn row(name: &'static str) -> Row {
    Row { name, steps: Vec::new(), writes: false, large: false, since: 0 }
}

impl Row {
    /// Sends messages and waits for one ReadyForQuery.
    pub fn ready<const N: usize>(self, messages: [Vec<u8>; N]) -> Self {
        self.step(messages, Then::Ready(1))
    }

    /// Sends messages and waits for some number of ReadyForQuery.
    pub fn readies<const N: usize>(self, count: usize, messages: [Vec<u8>; N]) -> Self {
        self.step(messages, Then::Ready(count))
    }

    /// Sends messages and waits for one with this tag.
    pub fn until<const N: usize>(self, tag: u8, messages: [Vec<u8>; N]) -> Self {
        self.step(messages, Then::Tag(tag))
    }

    /// Sends messages and waits until the server closes.
    pub fn closed<const N: usize>(self, messages: [Vec<u8>; N]) -> Self {
        self.step(messages, Then::Closed)
    }

    /// See [`Row::writes`].
    pub fn writes(mut self) -> Self {
        self.writes = true;
        self
    }

    /// See [`Row::large`].
    pub fn large(mut self) -> Self {
        self.large = true;
        self
    }

    /// Older versions do something else, and the row is left out for them.
    pub fn since(mut self, major: u32) -> Self {
        self.since = major;
        self
    }

    fn step<const N: usize>(mut self, messages: [Vec<u8>; N], then: Then) -> Self {
        self.steps.push(Step { messages: messages.to_vec(), then });
        self
    }

    /// Everything that is sent.
    pub fn bytes(&self) -> Vec<u8> {
        self.steps.iter().flat_map(|step| step.messages.concat()).collect()
    }

    /// How many ReadyForQuery the whole row gets.
    pub fn ready_count(&self) -> usize {
        let counts = self.steps.iter().map(|step| match step.then {
            Then::Ready(count) => count,
            Then::Tag(_) | Then::Closed => 0,
        });
        counts.sum()
    }

    /// Whether the server closes the connection at the end.
    pub fn closes(&self) -> bool {
        self.steps.last().is_some_and(|step| step.then == Then::Closed)
    }

    /// Where a row is cut: everywhere, or around the beginnings of messages and at some points
    /// between them when it is long.
    pub fn splits(&self) -> Vec<usize> {
        const SHORT: usize = 600;
        const PROBES: usize = 40;
        let bytes = self.bytes().len();
        if self.large {
            return (1..8).map(|n| (bytes / 8 * n).max(n)).filter(|&point| point < bytes).collect();
        }
        if bytes <= SHORT {
            return (1..bytes).collect();
        }
        let mut points: Vec<usize> = (1..PROBES).map(|n| bytes / PROBES * n).collect();
        let mut start: usize = 0;
        for message in self.steps.iter().flat_map(|step| &step.messages) {
            points.extend(start.saturating_sub(1)..start + 7);
            start += message.len();
        }
        points.retain(|&point| point > 0 && point < bytes);
        points.sort_unstable();
        points.dedup();
        points
    }
}
