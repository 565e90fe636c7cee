//! A client's messages behind its startup.

use pgherd_wire::frame;
use pgherd_wire::frontend::{self, BindNames, Parse, definition_text, tag};

use crate::framing::messages;

pub(crate) fn run(data: &[u8]) {
    for (tag, body) in messages(data).0 {
        message(tag, &body);
    }
}

fn message(tag: u8, body: &[u8]) {
    let mut sent = Vec::new();
    frame::put(&mut sent, tag, |out| out.extend_from_slice(body));
    let mut written = Vec::new();
    match tag {
        tag::PARSE => {
            let Some(parse) = Parse::read(body) else { return };
            assert!(parse.definition.starts_with(parse.text()));
            frontend::put_parse(&mut written, parse.name, parse.definition);
            assert_eq!(written, sent);
            assert_eq!(Parse::read(&body[..body.len() - 1]), None, "without its last byte");
        }
        tag::BIND => {
            let Some(names) = BindNames::parse(body) else { return };
            let length = names.encoded_len();
            assert_eq!([names.portal, b"\0", names.statement, b"\0"].concat(), body[..length]);
            assert_eq!(BindNames::parse(&body[..length]), Some(names));
            assert_eq!(BindNames::parse(&body[..length - 1]), None, "without the last zero");
        }
        tag::DESCRIBE | tag::CLOSE => {
            let Some((target, name)) = frontend::parse_target(body) else { return };
            frontend::put_target(&mut written, tag, target, name);
            assert_eq!(written, sent);
        }
        tag::PASSWORD => {
            let Some((mechanism, data)) = frontend::parse_sasl_initial(body) else { return };
            frontend::put_sasl_initial(&mut written, mechanism, data);
            let again = frontend::parse_sasl_initial(&written[frame::HEADER_LEN..]);
            assert_eq!(again, Some((mechanism, data)));
        }
        tag::QUERY => {
            let text = definition_text(body);
            assert!(!text.contains(&0) && body.starts_with(text));
            frontend::put_query(&mut written, text);
            assert_eq!(sent.starts_with(&written), body == [text, b"\0"].concat());
        }
        _ => {}
    }
}
