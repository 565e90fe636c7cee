//! Rules for the settings of one proxy process.

use crate::ProxyFile;

use super::{
    Findings, endpoint, name, password,
    rule::{Caution, Rule},
    tls,
};

/// More threads than any machine has cores; a larger number is a slip.
const WORKERS: usize = 1_024;

pub(super) fn check(file: &ProxyFile, findings: &mut Findings) {
    check_proxy(file, findings);
    check_admin(file, findings);
    if !file.metrics.listen.is_empty() {
        endpoint::check_listen(&file.metrics.listen, "/metrics/listen", findings);
    }
    let ratio = file.telemetry.sample_ratio;
    findings.reject_if(!(0.0..=1.0).contains(&ratio), "/telemetry/sample_ratio", Rule::NotARatio);
    findings.warn_if(
        file.telemetry.otlp_endpoint.is_some(),
        "/telemetry/otlp_endpoint",
        Caution::NoEffectYet { setting: "otlp_endpoint" },
    );
}

fn check_proxy(file: &ProxyFile, findings: &mut Findings) {
    let proxy = &file.proxy;
    findings.reject_if(proxy.listen.is_empty(), "/proxy/listen", Rule::NoListeners);
    for (index, address) in proxy.listen.iter().enumerate() {
        endpoint::check_listen_or_directory(address, &format!("/proxy/listen/{index}"), findings);
    }
    // Two listeners on port 0 get two ports.
    let fixed = proxy.listen.iter().map(|address| match address.ends_with(":0") {
        true => "",
        false => address.as_str(),
    });
    findings.reject_duplicates("address", fixed, |index| format!("/proxy/listen/{index}"));
    if proxy.effective_unix_socket_permissions().is_none() {
        let rule = Rule::PermissionsMalformed;
        findings.reject("/proxy/unix_socket_permissions", rule);
    }
    tls::check_client(&proxy.tls, "/proxy/tls", findings);
    let workers = Rule::OutOfRange { what: "workers", least: 0, most: WORKERS };
    findings.reject_if(proxy.workers > WORKERS, "/proxy/workers", workers);
    let zero = proxy.login_timeout.limit().is_none();
    findings.reject_if(zero, "/proxy/login_timeout", Rule::PeriodZero);
    if let Some(address) = &proxy.advertise_address {
        endpoint::check_advertised(address, "/proxy/advertise_address", findings);
    }
}

fn check_admin(file: &ProxyFile, findings: &mut Findings) {
    let users = &file.admin.users;
    let names = users.iter().map(|user| user.name.as_str());
    findings.reject_duplicates("user", names, |index| format!("/admin/users/{index}/name"));
    for (index, user) in users.iter().enumerate() {
        let at = format!("/admin/users/{index}");
        name::check(&user.name, &format!("{at}/name"), findings);
        password::check(&user.password, &format!("{at}/password"), findings);
    }
}
