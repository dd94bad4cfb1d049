//! Answers `projectx`: what each sandbox may do, computed from what is enforced.
//! A socket of its own, for root only, so that the console can't ask.

use crate::people::Place;
use crate::{dns_records, log};
use control::sandboxes::{SOCKET, SandboxReply, SandboxRequest};
use control::wire;
use init::console_sandbox;
use manifest::closest;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use services::explain::{Explanation, explain};
use services::runtime::Sandboxes;
use std::fmt::Write;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The console's name among the sandboxes.
const CONSOLE: &str = "console";
/// How long one who asks may take to do so.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of the sandboxes.
#[derive(Debug, Default)]
pub struct Desk {
    app: Mutex<Option<Sandboxes>>,
    mail: Mutex<Option<Place>>,
}

/// Begins to answer root. Without the socket the box does all else.
pub fn begin() -> Arc<Desk> {
    let desk = Arc::new(Desk::default());
    let answering = Arc::clone(&desk);
    let begun = listen(Path::new(SOCKET)).and_then(|listener| {
        std::thread::Builder::new()
            .name("sandboxes".into())
            .spawn(move || answering.serve(&listener, 0))
    });
    if let Err(error) = begun {
        log::line(&format!(
            "{SOCKET}: nobody can ask about sandboxes: {error}"
        ));
    }
    desk
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    // A supervisor that was killed has left its own.
    fs::remove_file(path).ok();
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Desk {
    /// Says which app runs now, and where its mail is.
    pub fn running(&self, app: Option<Sandboxes>, mail: Option<Place>) {
        *self.app.lock().unwrap_or_else(PoisonError::into_inner) = app;
        *self.mail.lock().unwrap_or_else(PoisonError::into_inner) = mail;
    }

    /// Answers one request a connection, one after another, to this user only.
    fn serve(&self, listener: &UnixListener, user: u32) {
        for stream in listener.incoming().flatten() {
            if let Err(error) = self.serve_one(stream, user) {
                log::line(&format!("sandboxes: {error}"));
            }
        }
    }

    fn serve_one(&self, mut stream: UnixStream, user: u32) -> Result<(), wire::WireError> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let asking = getsockopt(&stream, PeerCredentials).map_err(io::Error::from)?;
        let reply = if asking.uid() == user {
            self.answer(&wire::read(&mut stream)?)
        } else {
            refused("Only root may ask what the sandboxes may do.")
        };
        wire::write(&mut stream, &reply)
    }

    fn answer(&self, request: &SandboxRequest) -> SandboxReply {
        let answered = match request {
            SandboxRequest::List => self.list(),
            SandboxRequest::Show { service } => self.show(service),
            SandboxRequest::Records { domain } => {
                let text = self.with_mail(|mail| dns_records::told(mail, domain.as_deref()));
                text.map(|text| SandboxReply::Told { text })
            }
            SandboxRequest::RollMailKey => {
                let text = self.with_mail(dns_records::roll);
                text.map(|text| SandboxReply::Told { text })
            }
        };
        answered.unwrap_or_else(|words| refused(&words))
    }

    fn with_mail(
        &self,
        act: impl FnOnce(&Place) -> Result<String, String>,
    ) -> Result<String, String> {
        let mail = self
            .mail
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        act(mail.as_ref().ok_or(NOT_YET)?)
    }

    /// The names that can be asked for now, and whether the app's are among them.
    fn names(&self) -> (Vec<String>, bool) {
        let app = self.app.lock().unwrap_or_else(PoisonError::into_inner);
        let of_app = app.as_ref().map(Sandboxes::names).unwrap_or_default();
        let runs = !of_app.is_empty();
        let names = std::iter::once(CONSOLE.to_owned()).chain(of_app);
        (names.collect(), runs)
    }

    fn list(&self) -> Result<SandboxReply, String> {
        let (names, runs) = self.names();
        let mut text = format!("{:<18}{:>6}\n", "SANDBOX", "SCORE");
        for name in names {
            if let Some(explanation) = self.explained(&name)? {
                let score = explanation.score();
                writeln!(text, "{name:<18}{score:>6}  {}", score.word()).ok();
            }
        }
        if !runs {
            writeln!(text, "{NOT_YET}").ok();
        }
        Ok(SandboxReply::Told { text })
    }

    fn show(&self, service: &str) -> Result<SandboxReply, String> {
        if let Some(explanation) = self.explained(service)? {
            let text = explanation.to_string();
            return Ok(SandboxReply::Told { text });
        }
        let (names, runs) = self.names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let advice = match closest(service, &names) {
            Some(near) => format!("Did you mean {near:?}?"),
            None if !runs => NOT_YET.to_owned(),
            None => format!("There are: {}.", names.join(", ")),
        };
        Err(format!("There is no sandbox {service:?}. {advice}"))
    }

    fn explained(&self, name: &str) -> Result<Option<Explanation>, String> {
        if name == CONSOLE {
            let spec = console_sandbox::spec().map_err(|error| error.to_string())?;
            return Ok(Some(explain(&spec, &console_sandbox::given())));
        }
        let app = self.app.lock().unwrap_or_else(PoisonError::into_inner);
        let explained = app.as_ref().and_then(|app| app.explain(name));
        explained.transpose().map_err(|error| error.to_string())
    }
}

/// Said while only the console runs.
const NOT_YET: &str = "The mail services do not run yet: unlock the box on its page, wait until \
                       it says that mail runs, and ask again.";

fn refused(words: &str) -> SandboxReply {
    SandboxReply::Refused {
        words: words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(desk: &Desk, service: &str) -> SandboxReply {
        let service = service.to_owned();
        desk.answer(&SandboxRequest::Show { service })
    }

    fn told(reply: SandboxReply) -> String {
        match reply {
            SandboxReply::Told { text } => text,
            SandboxReply::Refused { words } => panic!("refused: {words}"),
        }
    }

    /// Asks over a real socket that answers only `user`.
    fn asked_over_a_socket(user: u32) -> SandboxReply {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sandboxes");
        let listener = listen(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let mut stream = UnixStream::connect(&path).unwrap();
        wire::write(&mut stream, &SandboxRequest::List).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        Desk::default().serve_one(accepted, user).unwrap();
        wire::read(&mut stream).unwrap()
    }

    #[test]
    fn before_unlock_there_is_the_console_and_advice() {
        let desk = Desk::default();
        let text = told(show(&desk, CONSOLE));
        assert!(text.starts_with("console: 0."), "{text}");
        assert!(
            text.contains("- control (descriptor 3): the supervisor, which"),
            "{text}"
        );
        assert!(text.contains("It has no network at all"), "{text}");
        let list = told(desk.answer(&SandboxRequest::List));
        assert!(
            list.contains("\nconsole ") && list.contains("unlock the box"),
            "{list}"
        );
        let SandboxReply::Refused { words } = show(&desk, "smtp-in") else {
            panic!("nothing runs");
        };
        assert!(
            words.contains("\"smtp-in\"") && words.contains("unlock the box"),
            "{words}"
        );
    }

    #[test]
    fn root_is_told_the_records_of_a_box_whose_mail_runs() {
        let desk = Desk::default();
        let records = || desk.answer(&SandboxRequest::Records { domain: None });
        assert_eq!(records(), refused(NOT_YET));
        assert_eq!(desk.answer(&SandboxRequest::RollMailKey), refused(NOT_YET));
        let folder = tempfile::tempdir().unwrap();
        let place = crate::people::tests::place(folder.path());
        fs::create_dir(&place.outbound).unwrap();
        outbound::settings::Settings::own(&place.outbound, ["home.example"]).unwrap();
        desk.running(None, Some(place));
        let text = told(records());
        assert!(
            text.contains("\nhome.example. 3600 IN MX 10 box.example.org.\n"),
            "{text}"
        );
        let SandboxReply::Refused { words } = desk.answer(&SandboxRequest::RollMailKey) else {
            panic!("nobody knows the next key");
        };
        assert!(words.ends_with("Nothing was changed."), "{words}");
    }

    #[test]
    fn a_near_name_is_offered() {
        let expected = "There is no sandbox \"consol\". Did you mean \"console\"?";
        assert_eq!(show(&Desk::default(), "consol"), refused(expected));
    }

    #[test]
    fn only_the_user_that_it_is_for_is_answered() {
        let me = nix::unistd::getuid().as_raw();
        assert!(told(asked_over_a_socket(me)).contains("console"));
        let SandboxReply::Refused { words } = asked_over_a_socket(me + 1) else {
            panic!("another user was answered");
        };
        assert!(words.contains("Only root"), "{words}");
    }
}
