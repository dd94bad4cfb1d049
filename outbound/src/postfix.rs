//! Postfix's configuration: what the image holds, and below it what differs from
//! box to box. The whole is written into memory at each start.

use crate::settings::Settings;
use crate::smarthost::{Port, Smarthost};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The table with the login at the smarthost, in the folder of the configuration.
const LOGIN: &str = "smarthost-login";

/// The lines of main.cf that the box adds to the image's. `folder` is where the
/// configuration is.
pub fn main_cf(
    hostname: &str,
    settings: &Settings,
    smarthost: Option<&Smarthost>,
    folder: &Path,
) -> String {
    let hours = settings.give_up_after_hours.clamp(1, 24 * 30);
    let warn = settings.warn_after_hours.clamp(1, hours);
    let mut text = format!(
        "myhostname = {hostname}
maximal_queue_lifetime = {hours}h
bounce_queue_lifetime = {hours}h
delay_warning_time = {warn}h
"
    );
    if let Some(Smarthost { host, port, .. }) = smarthost {
        let number = port.number();
        let folder = folder.display();
        text += &format!(
            "relayhost = [{host}]:{number}
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:{folder}/{LOGIN}
smtp_sasl_security_options = noanonymous
smtp_sasl_tls_security_options = noanonymous
smtp_sasl_mechanism_filter = plain, login
"
        );
        if *port == Port::ImplicitTls {
            text += "smtp_tls_wrappermode = yes\n";
        }
    }
    text
}

/// The table with the login: texthash, smtp_sasl_password_maps (postconf(5)).
pub fn login_table(smarthost: &Smarthost) -> String {
    let Smarthost {
        host,
        port,
        login,
        password,
    } = smarthost;
    format!("[{host}]:{} {login}:{password}\n", port.number())
}

/// Writes the configuration into `folder`: the image's files in `image`, with
/// what is this box's. The smarthost's login is readable by the caller only.
///
/// # Errors
/// When a file can't be read or written; it names the file.
pub fn write(
    image: &Path,
    folder: &Path,
    hostname: &str,
    settings: &Settings,
    smarthost: Option<&Smarthost>,
) -> io::Result<()> {
    let named = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"))
    };
    fs::create_dir_all(folder).map_err(named(folder))?;
    for name in ["main.cf", "master.cf"] {
        let from = image.join(name);
        let mut text = fs::read_to_string(&from).map_err(named(&from))?;
        if name == "main.cf" {
            text += "\n# This box's own\n";
            text += &main_cf(hostname, settings, smarthost, folder);
        }
        let to = folder.join(name);
        fs::write(&to, text).map_err(named(&to))?;
    }
    if let Some(smarthost) = smarthost {
        let path = folder.join(LOGIN);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options.open(&path);
        written
            .and_then(|mut file| file.write_all(login_table(smarthost).as_bytes()))
            .map_err(named(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn smarthost(port: Port) -> Smarthost {
        Smarthost {
            host: "smtp.example.org".into(),
            port,
            login: "anna".into(),
            password: "open sesame".into(),
        }
    }

    #[test]
    fn without_a_smarthost_mail_goes_to_each_domain_s_own_servers() {
        let text = main_cf(
            "mail.example.org",
            &Settings::default(),
            None,
            Path::new("/run/postfix"),
        );
        assert_eq!(
            text,
            "myhostname = mail.example.org\n\
             maximal_queue_lifetime = 48h\n\
             bounce_queue_lifetime = 48h\n\
             delay_warning_time = 4h\n"
        );
    }

    #[test]
    fn a_smarthost_gets_all_mail_and_the_login_only_under_tls() {
        let folder = Path::new("/run/postfix");
        let settings = Settings::default();
        for (port, number, wrapped) in
            [(Port::ImplicitTls, 465, true), (Port::StartTls, 587, false)]
        {
            let text = main_cf("m.example", &settings, Some(&smarthost(port)), folder);
            let relay = format!("relayhost = [smtp.example.org]:{number}\n");
            assert!(text.contains(&relay), "{text}");
            assert_eq!(text.contains("smtp_tls_wrappermode = yes"), wrapped);
            // No line makes TLS a choice: the image's level stands.
            assert!(!text.contains("security_level"), "{text}");
            assert!(!text.contains("sesame"), "{text}");
        }
    }

    #[test]
    fn hours_that_make_no_sense_are_brought_into_their_range() {
        let settings = Settings {
            give_up_after_hours: 0,
            warn_after_hours: 99,
            ..Settings::default()
        };
        let text = main_cf("m.example", &settings, None, Path::new("/x"));
        assert!(text.contains("maximal_queue_lifetime = 1h\n"), "{text}");
        assert!(text.contains("delay_warning_time = 1h\n"), "{text}");
    }

    #[test]
    fn the_password_is_in_one_file_that_its_owner_alone_reads() {
        let image = tempfile::tempdir().unwrap();
        for name in ["main.cf", "master.cf"] {
            fs::write(image.path().join(name), "# of the image\n").unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let smarthost = smarthost(Port::StartTls);
        write(
            image.path(),
            folder.path(),
            "m.example",
            &Settings::default(),
            Some(&smarthost),
        )
        .unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let secret = path.ends_with(LOGIN);
            assert_eq!(text.contains("sesame"), secret, "{}", path.display());
            if secret {
                assert_eq!(text, "[smtp.example.org]:587 anna:open sesame\n");
                assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
            }
        }
    }
}
