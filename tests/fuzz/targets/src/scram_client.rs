//! What a server says in SCRAM: one that does not know the password, or whose words were altered
//! on their way, is not believed.

use std::sync::{Arc, OnceLock};

use pgherd_auth::scram::{Verifier, client, server};

use crate::input::Input;
use crate::scram_server::is_same;

const PASSWORD: &str = "the password";

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.below(2) {
        0 => noise(&mut input),
        _ => altered(&mut input),
    }
}

fn noise(input: &mut Input<'_>) {
    let challenge = input.until(0);
    if is_slow(challenge) {
        return;
    }
    let (client, _) = client::Start::new(PASSWORD, "client");
    if let Ok((client, proof)) = client.server_first(challenge) {
        assert!(challenge.starts_with(b"r=client") && proof.starts_with(b"c=biws,r=client"));
        assert!(client.server_final(input.0).is_err(), "nobody guesses a signature");
    }
}

fn altered(input: &mut Input<'_>) {
    static VERIFIER: OnceLock<Arc<Verifier>> = OnceLock::new();
    let verifier = VERIFIER.get_or_init(|| Arc::new(Verifier::derive(PASSWORD, b"salt", 1)));
    let (client, first) = client::Start::new(PASSWORD, "client");
    let server = server::Start::new(Arc::clone(verifier), true);
    let (server, challenge) = server.client_first(&first, "server").expect("a true message");
    let alter_challenge = input.below(2) == 0;
    let challenge_heard = if alter_challenge { input.alter(&challenge) } else { challenge.clone() };
    if is_slow(&challenge_heard) {
        return;
    }
    let Ok((client, proof)) = client.server_first(&challenge_heard) else {
        assert_ne!(challenge_heard, challenge);
        return;
    };
    let believed = server.client_final(&proof);
    assert_eq!(believed.is_ok(), challenge_heard == challenge);
    let Ok((_, signature)) = believed else { return };
    let signature_heard = if alter_challenge { signature.clone() } else { input.alter(&signature) };
    assert_eq!(
        client.server_final(&signature_heard).is_ok(),
        is_same(&signature_heard, &signature)
    );
}

/// Whether a challenge asks for so many iterations that fuzzing would stand still; the limit itself
/// has a test of its own.
fn is_slow(challenge: &[u8]) -> bool {
    let Some(at) = challenge.windows(3).rposition(|it| it == b",i=") else { return false };
    let digits = challenge[at + 3..].iter().take_while(|it| it.is_ascii_digit());
    let iterations =
        digits.fold(0_u64, |sum, it| sum.saturating_mul(10).saturating_add(u64::from(it - b'0')));
    (100..=1_000_000).contains(&iterations)
}
