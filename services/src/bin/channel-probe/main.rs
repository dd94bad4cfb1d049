//! Runs as every service of the app in `tests/channels.rs`. It is never
//! installed.
//!
//! `/probe NAME VERB…`: the verbs say which descriptors and ports it serves and
//! which it uses. Whoever uses a channel says one line, and its provider
//! answers with one that holds its own name, a number that it has for this life
//! only, the channel's name, and what it heard. So a line that comes back went
//! through that channel in both directions.

mod sys;
mod zygote;

use channels::handed::Handed;
use channels::passed::Passed;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{SockaddrStorage, getpeername};
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::thread::{sleep, spawn};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let name = words.next().ok_or("the name is missing")?;
    let life = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    // Before any descriptor is taken or made.
    let open: Vec<i32> = (0..256).filter(|number| is_open(*number)).collect();
    let mut passed = match std::env::var("LISTEN_FDS") {
        Ok(_) => Some(Passed::take_all()?),
        Err(_) => None,
    };
    end_when_asked()?;
    let mut take = |channel: &str| -> Result<OwnedFd, Box<dyn Error>> {
        Ok(passed.as_mut().ok_or("nothing was passed")?.take(channel)?)
    };
    let mut threads = Vec::new();
    for word in words {
        let (verb, rest) = word.split_once(':').unwrap_or((&word, ""));
        let (channel, port) = rest.split_once(':').unwrap_or((rest, "0"));
        // Of the verbs that have one.
        let port: u16 = port.parse().unwrap_or_default();
        let own = channel.to_owned();
        let me = format!("{name}#{life}");
        match verb {
            "serve-port" => {
                let listener = TcpListener::bind(("127.0.0.1", port))?;
                threads.push(spawn(move || serve_tcp(&listener, &me, &own)));
            }
            "serve-listener" => {
                let listener = TcpListener::from(take(channel)?);
                threads.push(spawn(move || serve_tcp(&listener, &me, &own)));
            }
            "serve-listening" => {
                let listener = UnixListener::from(take(channel)?);
                threads.push(spawn(move || {
                    loop {
                        let (stream, _) = listener.accept()?;
                        answer(TcpStream::from(OwnedFd::from(stream)), &me, &own)?;
                    }
                }));
            }
            "serve-handed" => {
                let handed = Handed::<1>::from_socket(take(channel)?)?;
                threads.push(spawn(move || {
                    while let Some([stream]) = handed.receive().map_err(io::Error::other)? {
                        answer(stream.into(), &me, &own)?;
                    }
                    Ok(())
                }));
            }
            "serve-pair" => answer(take(channel)?.into(), &me, channel)?,
            "call" => eprintln!("heard {}", ask(take(channel)?.into(), &name)?),
            "dial" => {
                let me = name.clone();
                threads.push(spawn(move || {
                    loop {
                        // One that is cut off is told, and tried again.
                        match TcpStream::connect(("127.0.0.1", port)).and_then(|s| ask(s, &me)) {
                            Ok(text) => eprintln!("heard {text}"),
                            Err(error) => eprintln!("not heard over {own}: {error}"),
                        }
                        sleep(Duration::from_millis(200));
                    }
                }));
            }
            "front" => {
                let mut stranger = TcpStream::from(take("connection")?);
                for channel in rest.split(',') {
                    let text = ask(take(channel)?.into(), &name)?;
                    writeln!(stranger, "{text}")?;
                }
            }
            "leave" => {
                let mut line = String::new();
                let stranger = TcpStream::from(take("connection")?);
                BufReader::new(stranger).read_line(&mut line)?;
                // Nobody waits for an answer, and an empty line is nothing to leave.
                let left = line.strip_suffix('\n').filter(|words| !words.is_empty());
                TcpStream::from(take(channel)?).write_all(left.unwrap_or_default().as_bytes())?;
            }
            "hear" => {
                let mut line = String::new();
                BufReader::new(TcpStream::from(take(channel)?)).read_line(&mut line)?;
                eprintln!("{me} heard {}", line.trim_end());
            }
            "report" => {
                let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
                eprintln!("report open={open:?} names={names}");
                for port in rest.split(',') {
                    let port: u16 = port.parse()?;
                    let error = TcpStream::connect(("127.0.0.1", port)).err();
                    let code = error.and_then(|error| error.raw_os_error());
                    eprintln!("report connect {port}={:?}", code.map(Errno::from_raw));
                }
                eprintln!("report end");
            }
            "zygote" => zygote::serve(&take("control")?, &name, rest)?,
            "child" => child(&me, rest)?,
            "pause" => sleep(Duration::from_secs(rest.parse()?)),
            "sleep" => loop {
                sleep(Duration::from_secs(60));
            },
            "forbidden" => {
                // Not in the policy of the test.
                nix::unistd::getsid(None)?;
            }
            _ => return Err(format!("no verb {verb}").into()),
        }
    }
    for thread in threads {
        let ended: io::Result<()> = thread.join().map_err(|_| "a thread panicked")?;
        ended?;
    }
    Ok(())
}

/// A zygote's child: its user is at descriptor 0, a channel of its own at 1.
fn child(me: &str, verb: &str) -> io::Result<()> {
    let mut user = TcpStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut line = String::new();
    BufReader::new(&user).read_line(&mut line)?;
    let words = match verb {
        "answer" => String::new(),
        "ask-and-answer" => {
            let channel = io::stdout().as_fd().try_clone_to_owned()?;
            format!(" ({})", ask(channel.into(), me)?)
        }
        _ => loop {
            sleep(Duration::from_secs(60));
        },
    };
    writeln!(user, "judge of {me} answers: {}{words}", line.trim_end())
}

/// Process 1 of a namespace gets no signal that it does not wait for:
/// pid_namespaces(7).
fn end_when_asked() -> nix::Result<()> {
    let mut asked = SigSet::empty();
    asked.add(Signal::SIGTERM);
    // Before there are other threads, which take it over.
    asked.thread_block()?;
    spawn(move || {
        if asked.wait().is_ok() {
            std::process::exit(0);
        }
    });
    Ok(())
}

fn serve_tcp(listener: &TcpListener, me: &str, channel: &str) -> io::Result<()> {
    loop {
        answer(listener.accept()?.0, me, channel)?;
    }
}

/// The provider's side of one connection. One without a line is let go: the
/// supervisor looks whether somebody listens.
fn answer(mut stream: TcpStream, me: &str, channel: &str) -> io::Result<()> {
    let mut line = String::new();
    match BufReader::new(&stream).read_line(&mut line) {
        Ok(0) | Err(_) => Ok(()),
        Ok(_) => writeln!(stream, "{channel} of {me} answers: {}", line.trim_end()),
    }
}

/// The user's side.
fn ask(mut stream: TcpStream, name: &str) -> io::Result<String> {
    writeln!(stream, "hello from {name}")?;
    stream.shutdown(Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    match text.strip_suffix('\n') {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::Error::other("ended without a line")),
    }
}

/// getpeername(2) says of any number whether it is open.
fn is_open(number: i32) -> bool {
    getpeername::<SockaddrStorage>(number) != Err(Errno::EBADF)
}
