//! What a writer and its readers share.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;

use super::{AHEAD, Begun, Part};
use crate::base::reason::Reason;

/// Wakers that are taken under one lock, to be woken without it.
const AT_ONCE: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<State>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what readers see, and wakes those that wait for it.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        // Each seat once: who sits down behind this place, or waits again before it, has seen the change.
        let mut place = 0;
        loop {
            let mut wakers = [const { None }; AT_ONCE];
            state.take_wakers(&mut place, &mut wakers);
            drop(state);
            let was_full = wakers.last().is_some_and(Option::is_some);
            wakers.into_iter().flatten().for_each(Waker::wake);
            if !was_full {
                return;
            }
            state = self.lock();
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    begun: Option<Begun>,
    /// What was pushed, without what has been let go.
    pieces: VecDeque<Bytes>,
    /// How many pieces have been let go.
    gone: usize,
    /// Bytes of `pieces`.
    held: usize,
    /// Bytes that may be held. `None` as long as the answer is kept: then nothing is let go.
    ahead: Option<usize>,
    end: Option<Part>,
    seats: Vec<Option<Seat>>,
    /// Places in `seats` that are empty.
    free: Vec<usize>,
    /// Readers that the answer is for.
    reading: usize,
    /// How many of them have not read the first of `pieces`. Counted only while pieces are let go.
    last: usize,
    writer: Option<Waker>,
}

/// Of a reader.
#[derive(Debug)]
struct Seat {
    first: bool,
    /// It learns [`Begun::Alone`], whatever has begun.
    alone: bool,
    /// Pieces that it has read.
    read: usize,
    waker: Option<Waker>,
}

impl State {
    /// Gives a reader its seat.
    pub(super) fn attach(&mut self, first: bool) -> usize {
        self.reading += 1;
        let seat = Some(Seat { first, alone: false, read: 0, waker: None });
        if let Some(place) = self.free.pop()
            && let Some(free) = self.seats.get_mut(place)
        {
            *free = seat;
            return place;
        }
        self.seats.push(seat);
        self.seats.len() - 1
    }

    /// Takes the seat of a reader away. What is given back is not to be dropped under the lock: a waker may own other readers.
    pub(super) fn detach(&mut self, place: usize) -> Option<Waker> {
        let seat = self.seats.get_mut(place)?.take()?;
        self.free.push(place);
        if !seat.alone {
            self.reading -= 1;
            self.moved_on(seat.read);
        }
        seat.waker
    }

    /// Whether a newcomer can have the whole answer.
    pub(super) fn is_open(&self) -> bool {
        self.ahead.is_none() && !matches!(self.end, Some(Part::Broken(_)))
    }

    /// Whether there is a reader that the answer is for.
    pub(super) fn is_wanted(&self) -> bool {
        self.reading > 0
    }

    pub(super) fn has_room(&self) -> bool {
        self.reading == 0 || self.ahead.is_none_or(|ahead| self.held < ahead)
    }

    /// Whether it holds for later requests: the whole answer has come and was kept, or what was stored is confirmed.
    pub(super) fn is_kept(&self) -> bool {
        match &self.begun {
            Some(Begun::Coming { .. }) => self.ahead.is_none() && matches!(self.end, Some(Part::End(_))),
            Some(Begun::Stored { confirmed, .. }) => *confirmed,
            Some(Begun::Alone | Begun::Failed(_)) | None => false,
        }
    }

    pub(super) fn begin(&mut self, begun: Begun) {
        if self.begun.is_some() {
            return;
        }
        if let Begun::Coming { kept: Err(_), .. } = begun {
            for seat in self.seats.iter_mut().flatten().filter(|seat| !seat.first) {
                seat.alone = true;
                self.reading -= 1;
            }
            self.let_go_beyond(AHEAD);
        }
        self.begun = Some(begun);
    }

    /// Whether there may be more of a body.
    fn is_coming(&self) -> bool {
        matches!(self.begun, Some(Begun::Coming { .. })) && self.end.is_none()
    }

    pub(super) fn push(&mut self, data: Bytes) {
        let is_read = self.ahead.is_none() || self.reading > 0;
        if is_read && self.is_coming() && !data.is_empty() {
            self.held += data.len();
            self.pieces.push_back(data);
        }
    }

    pub(super) fn keep_no_longer(&mut self, ahead: usize) {
        if self.is_coming() && self.ahead.is_none() {
            self.let_go_beyond(ahead);
        }
    }

    /// Everything has come: what was kept of it.
    pub(super) fn whole(&self) -> Vec<Bytes> {
        if self.is_coming() && self.ahead.is_none() { self.pieces.iter().cloned().collect() } else { Vec::new() }
    }

    pub(super) fn end(&mut self, end: Part) {
        if self.is_coming() {
            self.end = Some(end);
        } else {
            self.fail(Reason::UpstreamReset);
        }
    }

    /// Nothing when it has ended already.
    pub(super) fn fail(&mut self, reason: Reason) {
        if self.begun.is_none() {
            self.begun = Some(Begun::Failed(reason));
        } else if self.is_coming() {
            self.end = Some(Part::Broken(reason));
        }
    }

    /// What a reader learns.
    pub(super) fn begun(&self, place: usize) -> Option<Begun> {
        let alone = self.seats.get(place).and_then(Option::as_ref).is_none_or(|seat| seat.alone);
        if alone { Some(Begun::Alone) } else { self.begun.clone() }
    }

    /// Gives a reader what is next for it, if that is here.
    pub(super) fn next(&mut self, place: usize) -> Option<Part> {
        let begun = self.begun.as_ref()?;
        let seat = self.seats.get_mut(place).and_then(Option::as_mut).filter(|seat| !seat.alone);
        let (Begun::Coming { .. }, Some(seat)) = (begun, seat) else {
            return Some(Part::Broken(if let Begun::Failed(reason) = begun { *reason } else { Reason::Internal }));
        };
        let read = seat.read;
        let Some(piece) = self.pieces.get(read - self.gone).cloned() else { return self.end.clone() };
        seat.read += 1;
        self.moved_on(read);
        Some(Part::Data(piece))
    }

    /// Has a reader woken when there is something for it. Gives back the waker it had; see [`Self::detach`].
    pub(super) fn wait(&mut self, place: usize, waker: &Waker) -> Option<Waker> {
        let seat = self.seats.get_mut(place)?.as_mut()?;
        replace(&mut seat.waker, waker)
    }

    /// Has the writer woken when there is room.
    pub(super) fn wait_for_room(&mut self, waker: &Waker) -> Option<Waker> {
        replace(&mut self.writer, waker)
    }

    /// The writer, if it waits for room that there is now.
    pub(super) fn writer_with_room(&mut self) -> Option<Waker> {
        if self.has_room() { self.writer.take() } else { None }
    }

    fn take_wakers(&mut self, place: &mut usize, wakers: &mut [Option<Waker>]) {
        let seats = self.seats.iter_mut().enumerate().skip(*place);
        let waiting = seats.filter_map(|(place, seat)| Some((place, seat.as_mut()?.waker.take()?)));
        for (free, (at, waker)) in wakers.iter_mut().zip(waiting) {
            *free = Some(waker);
            *place = at + 1;
        }
    }

    /// A reader that had read so many pieces has read one more, or is gone.
    fn moved_on(&mut self, read: usize) {
        if self.ahead.is_some() && read == self.gone {
            self.last -= 1;
            if self.last == 0 {
                self.let_go();
            }
        }
    }

    /// From now on pieces go when they have been read, and so many bytes may be held.
    fn let_go_beyond(&mut self, ahead: usize) {
        self.ahead = Some(ahead.max(1));
        self.let_go();
    }

    /// Lets go of what all readers have read.
    fn let_go(&mut self) {
        let read = || self.seats.iter().flatten().filter(|seat| !seat.alone).map(|seat| seat.read);
        let slowest = read().min().unwrap_or(usize::MAX);
        let last = read().filter(|read| *read == slowest).count();
        while self.gone < slowest
            && let Some(piece) = self.pieces.pop_front()
        {
            self.held -= piece.len();
            self.gone += 1;
        }
        self.last = last;
    }
}

/// Puts a waker in the place of another that is not the same.
fn replace(place: &mut Option<Waker>, waker: &Waker) -> Option<Waker> {
    let is_same = place.as_ref().is_some_and(|known| known.will_wake(waker));
    if is_same { None } else { place.replace(waker.clone()) }
}
