//! On which worker a client is served: as few workers as can do the work in good time.
//!
//! A worker that is woken for one message costs the kernel more than one that finds several. So
//! clients gather on the first workers while these have time to spare, and spread as soon as they
//! have not. A load is the share of a core that a worker used lately, in thousandths.

/// Up to here a worker is given new clients.
const ROOM: u32 = 500;
/// From here on a worker sends clients away.
const BUSY: u32 = 700;
/// The least difference between two workers for which a client moves.
const WORTHWHILE: u32 = 200;
/// Below this a worker gives its clients to another one, if that leaves both as one with room.
const SLACK: u32 = 250;

/// The worker for a new client.
pub fn for_new_client(loads: &[u32]) -> usize {
    loads.iter().position(|&load| load < ROOM).unwrap_or_else(|| least(loads))
}

/// The worker to which clients of `own` should move, if any.
pub fn to_move(loads: &[u32], own: usize) -> Option<usize> {
    let load = *loads.get(own)?;
    if load > BUSY {
        let to = for_new_client(loads);
        return (loads[to] + WORTHWHILE < load).then_some(to);
    }
    // A worker without work has no client that could move.
    if load == 0 || load >= SLACK {
        return None;
    }
    loads[..own].iter().position(|&other| other + load < ROOM)
}

fn least(loads: &[u32]) -> usize {
    let least = loads.iter().enumerate().min_by_key(|&(_, load)| load);
    least.map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_clients_gather_on_the_first_worker_with_room() {
        assert_eq!(for_new_client(&[0, 0, 0]), 0);
        assert_eq!(for_new_client(&[499, 0, 0]), 0);
        assert_eq!(for_new_client(&[600, 300, 0]), 1);
        assert_eq!(for_new_client(&[900, 800, 950]), 1);
    }

    #[test]
    fn a_busy_worker_sends_clients_to_one_with_room() {
        assert_eq!(to_move(&[900, 0, 0], 0), Some(1));
        assert_eq!(to_move(&[900, 600, 100], 0), Some(2));
        assert_eq!(to_move(&[0, 900], 1), Some(0));
        assert_eq!(to_move(&[600, 0], 0), None);
    }

    #[test]
    fn workers_that_are_all_busy_even_out_but_do_not_play_ball() {
        assert_eq!(to_move(&[950, 700], 0), Some(1));
        assert_eq!(to_move(&[900, 750], 0), None);
        assert_eq!(to_move(&[900, 750], 1), None);
        assert_eq!(to_move(&[1000], 0), None);
    }

    #[test]
    fn what_little_is_left_gathers_again() {
        assert_eq!(to_move(&[100, 200], 1), Some(0));
        assert_eq!(to_move(&[400, 200], 1), None);
        assert_eq!(to_move(&[100, 0], 1), None);
        assert_eq!(to_move(&[100, 200], 0), None);
        // And what has gathered is not sent away at once.
        assert_eq!(to_move(&[499, 0], 0), None);
    }
}
