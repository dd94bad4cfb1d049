//! A real Exim for one domain. Its configuration is the smallest that receives
//! for the domain and sends where the names lead (Exim's specification,
//! chapters 14, 15, 20, 26, 30 and 58); the rest are Exim's defaults. That of
//! `exim.example` also relays for a customer (chapters 33 and 34): a smarthost.

use crate::daemon::Daemon;
use crate::domains::Domain;
use crate::host::Host;
use crate::tree::{EXIM, WORLD};
use crate::zones::SELECTOR;
use anyhow::Result;
use std::fs;
use std::os::unix::fs::chown;

pub(crate) fn prepare(host: &Host) -> Result<()> {
    let spool = host.folder.join("spool");
    fs::create_dir_all(&spool)?;
    chown(&spool, Some(EXIM), Some(EXIM))?;
    for key in ["key.pem", "dkim.pem"] {
        let path = host.folder.join(key);
        if path.exists() {
            chown(path, Some(EXIM), Some(EXIM))?;
        }
    }
    // Exim writes its log into a folder that is its own.
    chown(&host.folder, Some(EXIM), Some(EXIM))?;
    let conf = configuration(host.domain, &host.place());
    fs::write(host.folder.join("exim.conf"), conf)?;
    host.lay_over("exim.conf", "/etc/exim4/exim4.conf")
}

pub(crate) fn start(host: &Host) -> Result<Daemon> {
    host.daemon(
        host.tree().command(&["exim4", "-bdf", "-q1m"]),
        "daemon.log",
    )
}

/// The login of a customer of `exim.example`, who may relay on [`PORTS`].
pub const CUSTOMER: (&str, &str) = ("customer-25@exim.example", "a password: with words");
/// 465 with TLS from the first byte, 587 with STARTTLS.
const PORTS: [u16; 2] = [465, 587];

/// The lines of the main part, of the list for recipients, and of the end.
fn relay(domain: Domain) -> [String; 3] {
    if domain != Domain::Exim {
        return Default::default();
    }
    let [wrapped, other] = PORTS;
    let (login, password) = CUSTOMER;
    let main = format!(
        "daemon_smtp_ports = 25 : {wrapped} : {other}\n\
         tls_on_connect_ports = {wrapped}\n\
         auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}\n"
    );
    // A colon is doubled in a list only.
    let end = format!(
        "begin authenticators\n\
         plain:\n  driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n  \
         server_set_id = $auth2\n  server_condition = \
         ${{if and{{{{eq{{$auth2}}{{{login}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}\n"
    );
    [main, "  accept\n    authenticated = *\n".into(), end]
}

fn configuration(domain: Domain, place: &str) -> String {
    let [main, customers, end] = relay(domain);
    let signed = match domain {
        Domain::Strict => format!(
            "  dkim_domain = {domain}\n  dkim_selector = {SELECTOR}\n  \
             dkim_private_key = {place}/dkim.pem\n"
        ),
        _ => String::new(),
    };
    format!(
        "primary_hostname = {mx}\n\
         qualify_domain = {domain}\n\
         exim_user = Debian-exim\n\
         exim_group = Debian-exim\n\
         never_users =\n\
         keep_environment =\n\
         disable_ipv6\n\
         spool_directory = {place}/spool\n\
         log_file_path = {place}/%slog\n\
         log_selector = +tls_certificate_verified +tls_cipher +dnssec +dkim_verbose\n\
         tls_advertise_hosts = *\n\
         tls_certificate = {place}/cert.pem\n\
         tls_privatekey = {place}/key.pem\n\
         acl_smtp_rcpt = recipient\n\
         acl_smtp_data = accept\n\
         {main}begin acl\n\
         recipient:\n  \
         deny\n    local_parts = unknown\n    message = 5.1.1 nobody has this address\n  \
         accept\n    domains = {domain}\n\
         {customers}  \
         deny\n    message = 5.7.1 no relay\n\
         begin routers\n\
         here:\n  driver = accept\n  domains = {domain}\n  transport = keep\n\
         world:\n  driver = dnslookup\n  transport = smtp\n\
         begin transports\n\
         keep:\n  driver = appendfile\n  directory = {place}/mail/inbox\n  maildir_format\n  \
         create_directory\n  user = letters\n  group = letters\n  return_path_add\n  \
         envelope_to_add\n  delivery_date_add\n\
         smtp:\n  driver = smtp\n  tls_verify_certificates = {WORLD}/authority.pem\n{signed}\
         begin retry\n\
         * * F,2h,1m\n{end}",
        mx = domain.mx(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_strict_domain_signs() {
        assert!(configuration(Domain::Strict, "/p").contains("dkim_selector = s1\n"));
        assert!(!configuration(Domain::Exim, "/p").contains("dkim_private_key"));
    }
}
