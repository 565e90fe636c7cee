//! What is to be written next: runs of bytes where they lie in a buffer, and bytes of the proxy.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::buffer::Buffer;

/// Runs that one system call takes.
const MAX_RUNS_PER_WRITE: usize = 32;

/// Memory for bytes of the proxy that is kept for the next ones.
const MAX_SPARE_OWN: usize = 1024;

/// Bytes to be written to one socket, in order. Positions are those of the buffer that is given
/// to [`Outbox::poll_flush`]; it must not be compacted before all is written.
#[derive(Debug, Default)]
pub struct Outbox {
    runs: Vec<Run>,
    own: Vec<u8>,
    /// Runs that have been written, and bytes of the next one.
    written: usize,
    offset: usize,
}

#[derive(Clone, Copy, Debug)]
enum Run {
    Buffered { from: usize, to: usize },
    Own { from: usize, to: usize },
}

impl Outbox {
    /// Adds bytes of the buffer; what touches the last run makes it longer.
    pub fn pass(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        if let Some(Run::Buffered { to: end, .. }) = self.runs.last_mut()
            && *end == from
        {
            *end = to;
            return;
        }
        self.runs.push(Run::Buffered { from, to });
    }

    /// Adds bytes that the proxy makes itself.
    pub fn own(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.own.len();
        write(&mut self.own);
        let end = self.own.len();
        if from == end {
            return;
        }
        if let Some(Run::Own { to, .. }) = self.runs.last_mut()
            && *to == from
        {
            *to = end;
            return;
        }
        self.runs.push(Run::Own { from, to: end });
    }

    /// Whether all has been written.
    pub fn is_empty(&self) -> bool {
        self.written == self.runs.len()
    }

    /// Bytes that the proxy itself has added and that are not gone yet.
    pub fn own_len(&self) -> usize {
        self.own.len()
    }

    /// Throws away what has not been written, and memory that something large has left.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.own.clear();
        if self.own.capacity() > MAX_SPARE_OWN {
            self.own = Vec::new();
        }
        if self.runs.capacity() > MAX_RUNS_PER_WRITE {
            self.runs = Vec::new();
        }
        self.written = 0;
        self.offset = 0;
    }

    /// Writes as much as the socket takes. `Ready(Ok(n))` when all is written; `n` counts the
    /// bytes of this call.
    pub fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut (impl AsyncWrite + Unpin),
        buffer: &Buffer,
    ) -> Poll<io::Result<usize>> {
        let mut total = 0;
        while self.written < self.runs.len() {
            let written = ready!(self.poll_write(cx, socket, buffer))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            total += written;
            self.take(written);
        }
        self.clear();
        Poll::Ready(Ok(total))
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        socket: &mut (impl AsyncWrite + Unpin),
        buffer: &Buffer,
    ) -> Poll<io::Result<usize>> {
        let left = &self.runs[self.written..];
        if let [run] = left {
            return Pin::new(socket).poll_write(cx, self.bytes(*run, buffer, self.offset));
        }
        let mut slices = [IoSlice::new(&[]); MAX_RUNS_PER_WRITE];
        let mut skip = self.offset;
        let count = left.len().min(MAX_RUNS_PER_WRITE);
        for (slice, run) in slices.iter_mut().zip(left) {
            *slice = IoSlice::new(self.bytes(*run, buffer, std::mem::take(&mut skip)));
        }
        Pin::new(socket).poll_write_vectored(cx, &slices[..count])
    }

    fn bytes<'b>(&'b self, run: Run, buffer: &'b Buffer, skip: usize) -> &'b [u8] {
        match run {
            Run::Buffered { from, to } => buffer.range(from + skip, to),
            Run::Own { from, to } => &self.own[from + skip..to],
        }
    }

    fn take(&mut self, mut n: usize) {
        while n > 0 {
            let (Run::Buffered { from, to } | Run::Own { from, to }) = self.runs[self.written];
            let left = to - from - self.offset;
            if n < left {
                self.offset += n;
                return;
            }
            n -= left;
            self.written += 1;
            self.offset = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::BufferPool;

    /// A socket that takes a few bytes at a time and sometimes none.
    struct Slow {
        taken: Vec<u8>,
        step: usize,
        refuse: bool,
    }

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.refuse = !self.refuse;
            if self.refuse {
                return Poll::Pending;
            }
            let n = bytes.len().min(self.step);
            self.taken.extend_from_slice(&bytes[..n]);
            Poll::Ready(Ok(n))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn runs_are_written_in_order_however_little_the_socket_takes() {
        for step in 1..20 {
            let pool = BufferPool::default();
            let mut buffer = Buffer::default();
            buffer.preload(b"0123456789", &pool);
            let mut outbox = Outbox::default();
            outbox.pass(0, 3);
            outbox.pass(3, 4);
            outbox.own(|out| out.extend_from_slice(b"abc"));
            outbox.own(|out| out.extend_from_slice(b"d"));
            outbox.pass(6, 10);
            let mut socket = Slow { taken: Vec::new(), step, refuse: false };
            let mut cx = Context::from_waker(std::task::Waker::noop());
            while outbox.poll_flush(&mut cx, &mut socket, &buffer).is_pending() {}
            assert_eq!(socket.taken, b"0123abcd6789", "{step} bytes at a time");
            assert!(outbox.is_empty());
        }
    }
}
