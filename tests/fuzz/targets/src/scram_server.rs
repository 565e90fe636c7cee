//! What a client says in SCRAM: no one gets in without the password, whatever he says, and no
//! message may be altered on its way.

use std::sync::{Arc, OnceLock};

use pgherd_auth::scram::server::{self, mock_verifier};
use pgherd_auth::scram::{Binding, Channel, Verifier, client};

use crate::input::Input;

const PASSWORD: &str = "the password";

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.below(3) {
        0 => noise(&mut input),
        1 => altered(&mut input, true),
        _ => altered(&mut input, false),
    }
}

fn verifier() -> Arc<Verifier> {
    static VERIFIER: OnceLock<Arc<Verifier>> = OnceLock::new();
    Arc::clone(VERIFIER.get_or_init(|| Arc::new(Verifier::derive(PASSWORD, b"salt", 1))))
}

fn channel(input: &mut Input<'_>) -> Channel {
    let end_point = Arc::from(&b"the hash of a certificate"[..]);
    match input.below(3) {
        0 => Channel::Unbound,
        1 => Channel::Bindable { end_point, chosen: false },
        _ => Channel::Bindable { end_point, chosen: true },
    }
}

fn noise(input: &mut Input<'_>) {
    let server = server::Start::new(verifier(), true).on(channel(input));
    let first = input.until(0);
    if let Ok((server, challenge)) = server.client_first(first, "server") {
        assert!(challenge.starts_with(b"r=") && challenge.ends_with(b"server,s=c2FsdA==,i=1"));
        assert!(server.client_final(input.0).is_err(), "nobody guesses a proof");
    }
    let server = server::Start::new(mock_verifier(b"secret", "nobody"), false);
    if let Ok((server, _)) = server.client_first(first, "server") {
        assert!(server.client_final(input.0).is_err());
    }
}

/// A true dialogue of which one message, or none, is altered.
fn altered(input: &mut Input<'_>, real: bool) {
    let channel = channel(input);
    let binding = match &channel {
        Channel::Bindable { end_point, chosen: true } => Binding::EndPoint(end_point.to_vec()),
        _ => Binding::None,
    };
    let (client, first) = client::Start::bound(PASSWORD, "client", binding);
    let server = server::Start::new(verifier(), real).on(channel);
    let alter_first = input.below(2) == 0;
    let first_heard = if alter_first { input.alter(&first) } else { first.clone() };
    let heard = server.client_first(&first_heard, "server");
    let Ok((server, challenge)) = heard else {
        assert_ne!(first_heard, first);
        return;
    };
    let Ok((_, proof)) = client.server_first(&challenge) else {
        assert_ne!(first_heard, first, "the challenge has the nonce that was heard");
        return;
    };
    let proof_heard = if alter_first { proof.clone() } else { input.alter(&proof) };
    let unaltered = first_heard == first && is_same(&proof_heard, &proof);
    assert_eq!(server.client_final(&proof_heard).is_ok(), real && unaltered);
}

/// Whether two messages say the same: as in Postgres, a comma may stand behind the last attribute.
pub(crate) fn is_same(heard: &[u8], said: &[u8]) -> bool {
    heard.strip_suffix(b",").unwrap_or(heard) == said
}
