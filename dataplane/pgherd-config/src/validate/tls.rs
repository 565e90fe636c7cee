//! Rules for TLS; whether files exist is for the proxy to see, which has them.

use crate::{ClientTls, ClientTlsMode, ServerTls, ServerTlsMode, is_pem};

use super::{Findings, rule::Rule};

pub(super) fn check_client(tls: &ClientTls, at: &str, findings: &mut Findings) {
    check_files(&[("client_ca", &tls.client_ca)], at, findings);
    check_pair(&tls.cert, &tls.key, at, findings);
    let mode = match tls.effective_mode() {
        ClientTlsMode::Disable => return,
        ClientTlsMode::Allow => "allow",
        ClientTlsMode::Require => "require",
        ClientTlsMode::VerifyCa => "verify-ca",
        ClientTlsMode::VerifyFull => "verify-full",
    };
    let rule = Rule::TlsIncomplete { mode, missing: "cert" };
    findings.reject_if(tls.cert.is_none() && tls.key.is_none(), at, rule);
    let lacks_ca = tls.effective_mode().requires_certificate() && tls.client_ca.is_none();
    findings.reject_if(lacks_ca, at, Rule::TlsIncomplete { mode, missing: "client_ca" });
}

pub(super) fn check_server(tls: &ServerTls, at: &str, findings: &mut Findings) {
    check_files(&[("ca", &tls.ca)], at, findings);
    check_pair(&tls.cert, &tls.key, at, findings);
    let mode = match tls.mode {
        // What is configured beside it may wait for better times.
        ServerTlsMode::Disable => return,
        ServerTlsMode::Prefer | ServerTlsMode::Require => {
            return findings.reject_if(tls.ca.is_some(), format!("{at}/ca"), Rule::TlsCaUnused);
        }
        ServerTlsMode::VerifyCa => "verify-ca",
        ServerTlsMode::VerifyFull => "verify-full",
    };
    findings.reject_if(tls.ca.is_none(), at, Rule::TlsIncomplete { mode, missing: "ca" });
}

fn check_pair(cert: &Option<String>, key: &Option<String>, at: &str, findings: &mut Findings) {
    check_files(&[("cert", cert), ("key", key)], at, findings);
    let missing = match (cert, key) {
        (Some(_), None) => "key",
        (None, Some(_)) => "cert",
        _ => "",
    };
    findings.reject_if(!missing.is_empty(), at, Rule::TlsPairIncomplete { missing });
    let inline = key.as_deref().is_some_and(is_pem);
    findings.reject_if(inline, format!("{at}/key"), Rule::TlsKeyInline);
}

fn check_files(files: &[(&str, &Option<String>)], at: &str, findings: &mut Findings) {
    for (name, file) in files {
        let empty = file.as_ref().is_some_and(String::is_empty);
        findings.reject_if(empty, format!("{at}/{name}"), Rule::PathEmpty);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use crate::ProxyFile;

    const CLUSTER: &str = "[[clusters]]\nname = \"app\"\n\
        users = [{ name = \"u\", password = \"p\" }]\n\
        shards = [{ instances = [{ host = \"10.0.0.1\" }] }]\n";

    fn said(text: &str) -> String {
        match ProxyFile::from_toml(text) {
            Ok(_) => "valid".to_owned(),
            Err(errors) => errors.to_string(),
        }
    }

    #[track_caller]
    fn check_client(tls: &str, expected: Expect) {
        expected.assert_eq(&said(&format!("[proxy]\ntls = {tls}\n")));
    }

    #[track_caller]
    fn check_server(tls: &str, expected: Expect) {
        expected.assert_eq(&said(&format!("{CLUSTER}server_tls = {tls}\n")));
    }

    #[test]
    fn towards_clients() {
        check_client("{}", expect!["valid"]);
        check_client("{ cert = \"c\", key = \"k\" }", expect!["valid"]);
        check_client("{ mode = \"require\", cert = \"c\", key = \"k\" }", expect!["valid"]);
        check_client("{ mode = \"disable\", cert = \"c\", key = \"k\" }", expect!["valid"]);
        check_client(
            "{ mode = \"require\" }",
            expect!["line 2: proxy.tls: mode `require` needs `cert`"],
        );
        check_client(
            "{ mode = \"allow\", cert = \"c\" }",
            expect![
                "line 2: proxy.tls: `key` is needed: a certificate and its key belong together"
            ],
        );
        check_client(
            "{ key = \"k\" }",
            expect![
                "line 2: proxy.tls: `cert` is needed: a certificate and its key belong together"
            ],
        );
        check_client(
            "{ mode = \"verify-ca\", cert = \"c\", key = \"k\" }",
            expect!["line 2: proxy.tls: mode `verify-ca` needs `client_ca`"],
        );
        check_client(
            "{ mode = \"verify\", cert = \"c\", key = \"k\" }",
            expect![
                "line 2: proxy.tls.mode: expected one of `disable`, `allow`, `require`, `verify-ca`, `verify-full`"
            ],
        );
        check_client(
            "{ cert = \"\", key = \"-----BEGIN PRIVATE KEY-----\" }",
            expect![[r#"
            line 2: proxy.tls.cert: a path is needed here, not empty
            line 2: proxy.tls.key: write the key into a file on the proxy and its path here: a key must not travel"#]],
        );
    }

    #[test]
    fn towards_instances() {
        check_server("{}", expect!["valid"]);
        check_server("{ mode = \"verify-full\", ca = \"system\" }", expect!["valid"]);
        check_server("{ mode = \"require\", cert = \"c\", key = \"k\" }", expect!["valid"]);
        check_server("{ mode = \"disable\", ca = \"ca\" }", expect!["valid"]);
        check_server(
            "{ mode = \"verify-full\" }",
            expect!["line 5: clusters[0].server_tls: mode `verify-full` needs `ca`"],
        );
        check_server(
            "{ ca = \"ca\" }",
            expect![[
                r#"line 5: clusters[0].server_tls.ca: `ca` is looked at by the modes `verify-ca` and `verify-full` only: choose one of them"#
            ]],
        );
        check_server(
            "{ mode = \"require\", cert = \"c\" }",
            expect![[
                r#"line 5: clusters[0].server_tls: `key` is needed: a certificate and its key belong together"#
            ]],
        );
    }

    #[test]
    fn unix_sockets_to_listen_on() {
        let check = |listen: &str, expected: Expect| {
            expected.assert_eq(&said(&format!("[proxy]\nlisten = [{listen}]\n")));
        };
        check("\"127.0.0.1:0\", \"/run/pgherd\"", expect!["valid"]);
        check("\"/run/pgherd:6433\"", expect!["valid"]);
        check("\"/run/pgherd:0\"", expect!["line 2: proxy.listen[0]: the port cannot be 0"]);
        check(
            "\"/run/pgherd\", \"/run/pgherd\"",
            expect![
                "line 2: proxy.listen[1]: address `/run/pgherd` is already defined at proxy.listen[0]"
            ],
        );
        check(
            &format!("\"/{}\"", "x".repeat(100)),
            expect![
                "line 2: proxy.listen[0]: the path of the socket would be 116 bytes long; the system allows 107"
            ],
        );
        check(
            "\"run/pgherd\"",
            expect!["line 2: proxy.listen[0]: `run/pgherd` is not of the form host:port"],
        );
        expect!["line 2: proxy.unix_socket_permissions: must be an octal number from 0000 to 0777"]
            .assert_eq(&said("[proxy]\nunix_socket_permissions = \"0888\"\n"));
    }
}
