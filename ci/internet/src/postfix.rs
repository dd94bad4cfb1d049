//! A real Postfix for one domain. What it does not say here is Postfix's own
//! default.
//!
//! Debian's start script is left out: it copies files of a host into a chroot
//! that is not needed here. The folders that it would have made are made here
//! (postfix(1), master(8)).

use crate::daemon::Daemon;
use crate::domains::{Certificate, Domain};
use crate::host::Host;
use crate::tree::{LETTERS, POSTDROP, POSTFIX, WORLD};
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// Folders of the queue, their modes and whether `postdrop` is their group.
const QUEUE: [(&str, u32, bool); 13] = [
    ("active", 0o700, false),
    ("bounce", 0o700, false),
    ("corrupt", 0o700, false),
    ("defer", 0o700, false),
    ("deferred", 0o700, false),
    ("flush", 0o700, false),
    ("hold", 0o700, false),
    ("incoming", 0o700, false),
    ("private", 0o700, false),
    ("saved", 0o700, false),
    ("trace", 0o700, false),
    ("maildrop", 0o730, true),
    ("public", 0o710, true),
];
/// Everybody has a mailbox, but for one.
const PEOPLE: &str = "if !/^unknown@/\n/./ inbox/\nendif\n";

pub(crate) fn prepare(host: &Host) -> Result<()> {
    let conf = host.folder.join("conf");
    fs::create_dir_all(conf.join("postfix-files.d"))?;
    fs::write(conf.join("main.cf"), main_cf(host.domain, &host.place()))?;
    fs::write(conf.join("people"), PEOPLE)?;
    let services = host.tree().read("/usr/share/postfix/master.cf.dist")?;
    fs::write(conf.join("master.cf"), without_chroots(&services))?;
    make_queue(&host.folder)?;
    host.lay_over("conf", "/etc/postfix")
}

pub(crate) fn start(host: &Host) -> Result<Daemon> {
    let words = ["/usr/lib/postfix/sbin/master", "-c", "/etc/postfix", "-d"];
    let mut master = host.daemon(host.tree().command(&words), "master.log")?;
    let public = host.folder.join("queue/public/pickup");
    master.wait_until(&host.folder.join("master.log"), || public.exists())?;
    Ok(master)
}

fn main_cf(domain: Domain, place: &str) -> String {
    let mut text = format!(
        "compatibility_level = 3.6\n\
         myhostname = {mx}\n\
         myorigin = {domain}\n\
         mydestination =\n\
         mynetworks = 127.0.0.0/8\n\
         local_recipient_maps =\n\
         alias_maps =\n\
         inet_protocols = ipv4\n\
         import_environment =\n\
         mail_owner = postfix\n\
         setgid_group = postdrop\n\
         queue_directory = {place}/queue\n\
         data_directory = {place}/data\n\
         maillog_file = {place}/log\n\
         maillog_file_prefixes = {WORLD}\n\
         virtual_mailbox_domains = {domain}\n\
         virtual_mailbox_maps = regexp:{place}/conf/people\n\
         virtual_mailbox_base = {place}/mail\n\
         virtual_uid_maps = static:{LETTERS}\n\
         virtual_gid_maps = static:{LETTERS}\n\
         smtp_dns_support_level = dnssec\n\
         smtp_tls_CAfile = {WORLD}/authority.pem\n\
         smtp_tls_loglevel = 1\n\
         message_size_limit = 0\n\
         virtual_mailbox_limit = 0\n",
        mx = domain.mx(),
    );
    if domain.certificate() == Certificate::Absent {
        text.push_str("smtp_tls_security_level = none\n");
    } else {
        // As many do: DANE where there is one, otherwise whatever TLS there is.
        let _ = write!(
            text,
            "smtp_tls_security_level = dane\n\
             smtpd_tls_security_level = may\n\
             smtpd_tls_received_header = yes\n\
             smtpd_tls_cert_file = {place}/cert.pem\n\
             smtpd_tls_key_file = {place}/key.pem\n"
        );
    }
    text.push_str(match domain {
        Domain::Slow => {
            "smtpd_delay_reject = no\n\
             smtpd_client_restrictions = sleep 2\n\
             smtpd_helo_restrictions = sleep 2\n\
             smtpd_sender_restrictions = sleep 2\n\
             smtpd_end_of_data_restrictions = sleep 4\n"
        }
        Domain::Greylisting => {
            "smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:10023\n"
        }
        _ => "",
    });
    text
}

/// Debian's services, none of them in the chroot that is not made.
fn without_chroots(services: &str) -> String {
    let line = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [
            name,
            kind @ ("inet" | "unix"),
            private,
            unprivileged,
            _,
            ref rest @ ..,
        ] => {
            let rest = rest.join(" ");
            format!("{name} {kind} {private} {unprivileged} n {rest}\n")
        }
        _ => format!("{line}\n"),
    };
    services.lines().map(line).collect()
}

/// Makes the folders `queue` and `data` of a Postfix, which Debian's script would
/// have made.
///
/// # Errors
/// When one is there, or the caller is not root.
pub fn make_queue(folder: &Path) -> Result<()> {
    let queue = folder.join("queue");
    fs::create_dir_all(queue.join("pid"))?;
    for (name, mode, postdrop) in QUEUE {
        let path = queue.join(name);
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        let group = postdrop.then_some(POSTDROP);
        chown(&path, Some(POSTFIX), group)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    let data = folder.join("data");
    fs::create_dir(&data)?;
    Ok(chown(&data, Some(POSTFIX), None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_service_is_left_in_a_chroot() {
        let text = "# x\nsmtp      inet  n  -  y  -  -  smtpd\n        -o a=b\n";
        assert_eq!(
            without_chroots(text),
            "# x\nsmtp inet n - n - - smtpd\n        -o a=b\n"
        );
    }

    #[test]
    fn only_who_has_a_certificate_speaks_tls() {
        assert!(!main_cf(Domain::Plaintext, "/p").contains("cert_file"));
        let text = main_cf(Domain::Dane, "/p");
        assert!(
            text.contains("smtpd_tls_cert_file = /p/cert.pem\n"),
            "{text}"
        );
    }
}
