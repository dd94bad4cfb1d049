//! Serves the two tables, each of Postfix's processes on its own thread.

use crate::decide::Decide;
use crate::socketmap::{self, Answer, Question};
use outbound::settings::Settings;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Connections at once: each is one process of Postfix's (default_process_limit).
const MOST: usize = 24;
/// How long a process may hold one without a question; Postfix opens another.
const IDLE: Duration = Duration::from_secs(120);
/// Where Postfix finds Dovecot: a channel, for the box's own domains.
const HERE: &str = "lmtp:inet:127.0.0.1:24";

/// Serves for ever.
///
/// # Errors
/// When the listening socket broke.
pub fn serve(listener: &TcpListener, decide: &Arc<Decide>) -> io::Result<()> {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        if open.fetch_add(1, Ordering::SeqCst) >= MOST {
            open.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (decide, counter) = (Arc::clone(decide), Arc::clone(&open));
        let spawned = std::thread::Builder::new()
            .stack_size(512 << 10)
            .spawn(move || {
                // Who says nonsense or nothing is closed.
                connection(stream, &decide).ok();
                counter.fetch_sub(1, Ordering::SeqCst);
            });
        if spawned.is_err() {
            open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn connection(mut stream: TcpStream, decide: &Decide) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    stream.set_nodelay(true)?;
    while let Some(question) = socketmap::read(&mut stream)? {
        let answer = answer(decide, &question);
        socketmap::write(&mut stream, &answer)?;
    }
    Ok(())
}

/// The answer to a question.
pub fn answer(decide: &Decide, question: &Question) -> Answer {
    let Question { table, key } = question;
    match table.as_str() {
        "policy" => match decide.demand(key) {
            Ok(demand) => {
                let line = demand.line();
                eprintln!("policy {key}: {line}");
                Answer::Found(line)
            }
            Err(why) => {
                eprintln!("policy {key}: waits: {why}");
                Answer::Later(why.to_string())
            }
        },
        "transport" => match Settings::read(&decide.settings) {
            // Asked for a whole address: Postfix looks for no parts of it here.
            Ok(settings) => match settings.domain(domain_of(key)) {
                Some(_) => Answer::Found(HERE.into()),
                None => Answer::NotFound,
            },
            Err(why) => Answer::Later(why.to_string()),
        },
        _ => Answer::Later(format!("there is no table {table}")),
    }
}

fn domain_of(address: &str) -> &str {
    address.rsplit('@').next().unwrap_or_default()
}
