//! `bad_inputs.txt`, said to the real program over real TLS: each line that a
//! client might send to get past this server, and the exact reply to it.

use crate::support::*;
use rustls::version::TLS13;
use smtp_in::session::{Came, Limits, run};
use std::io::{BufReader, Read};
use std::net::TcpStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What is done before the first step of a case; each does what those above it do.
const STATES: [&str; 6] = ["connect", "plain", "tls", "mail", "rcpt", "data"];

/// One case of the table.
#[derive(Debug)]
struct Case {
    name: String,
    line: usize,
    state: usize,
    /// A shortened clock: silence and the whole session, in milliseconds.
    clock: Option<(u64, u64)>,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Say(Vec<u8>),
    /// The last line of the reply.
    Hear(String),
    Wait(Duration),
    Closed,
    /// A fatal alert before there is any key, by its number.
    Alert(u8),
    /// The word of the exit code in apps/email/app.yaml.
    Came(String),
}

/// Reads the table; its head says how it is written.
fn table() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (index, line) in include_str!("bad_inputs.txt").lines().enumerate() {
        let number = index + 1;
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        let step = match mark {
            "" | "#" => continue,
            ">" => Step::Say([bytes(rest), b"\r\n".to_vec()].concat()),
            ">>" => Step::Say(bytes(rest)),
            "<" => Step::Hear(rest.to_owned()),
            "wait" => Step::Wait(Duration::from_millis(rest.parse().unwrap())),
            "closed" => Step::Closed,
            "alert" => Step::Alert(rest.parse().unwrap()),
            "=" => Step::Came(rest.to_owned()),
            _ => {
                let begin = line
                    .strip_prefix('[')
                    .and_then(|line| line.split_once("] "));
                let (state, name) = begin.unwrap_or_else(|| panic!("line {number}: {line}"));
                let mut words = state.split(' ');
                let state = words.next().unwrap();
                let mut clock = words.map(|word| word.parse().unwrap());
                cases.push(Case {
                    name: name.to_owned(),
                    line: number,
                    state: STATES.iter().position(|known| *known == state).unwrap(),
                    clock: clock.next().zip(clock.next()),
                    steps: Vec::new(),
                });
                continue;
            }
        };
        cases.last_mut().unwrap().steps.push(step);
    }
    cases
}

/// `\r`, `\n`, `\0`, `\xNN`, and `{N*TEXT}` for a repetition; TEXT `LINE` is a
/// line of 998 octets with its end.
fn bytes(text: &str) -> Vec<u8> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        match letter {
            '\\' => {
                let (code, after) = rest.split_at(1);
                rest = after;
                found.push(match code {
                    "r" => b'\r',
                    "n" => b'\n',
                    "0" => 0,
                    "x" => {
                        let (digits, after) = rest.split_at(2);
                        rest = after;
                        u8::from_str_radix(digits, 16).unwrap()
                    }
                    _ => panic!("\\{code}"),
                });
            }
            '{' => {
                let (inside, after) = rest.split_once('}').unwrap();
                rest = after;
                let (count, text) = inside.split_once('*').unwrap();
                let line = [&[b'x'; 998][..], b"\r\n"].concat();
                let parts: Vec<Vec<u8>> = text.split("LINE").map(bytes).collect();
                let once = parts.join(&line[..]);
                found.extend(once.repeat(count.parse().unwrap()));
            }
            letter => found.extend(letter.to_string().bytes()),
        }
    }
    found
}

/// A client before or behind STARTTLS.
enum Caller {
    Plain(Client<TcpStream>),
    Tls(Box<Tls>),
}

impl Caller {
    fn raw(&mut self, bytes: &[u8]) {
        // Who is closed on in the middle sees it by the replies.
        let _closed = match self {
            Self::Plain(client) => client.try_raw(bytes),
            Self::Tls(client) => client.try_raw(bytes),
        };
    }

    fn reply(&mut self) -> String {
        match self {
            Self::Plain(client) => client.reply(),
            Self::Tls(client) => client.reply(),
        }
    }

    fn say(&mut self, text: &str) -> String {
        self.raw(format!("{text}\r\n").as_bytes());
        self.reply()
    }

    /// The alert that comes in plain text, as its record (RFC 8446 section 5.1).
    fn alert(&mut self) -> String {
        let mut record = [0; 7];
        let read = match self {
            Self::Plain(client) => client.stream.read_exact(&mut record),
            Self::Tls(_) => panic!("this one is not in plain text"),
        };
        match (read, record) {
            (Ok(()), [21, 3, _, 0, 2, 2, number]) => format!("alert {number}"),
            (read, record) => format!("{read:?}, {record:?}"),
        }
    }

    /// Whether nothing more comes, and the connection is at its end.
    fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        let read = match self {
            Self::Plain(client) => client.stream.read(&mut byte),
            Self::Tls(client) => client.stream.read(&mut byte),
        };
        // A reset is an end, too; silence is none.
        !matches!(read, Ok(1)) && !read.is_err_and(|error| is_silence(&error))
    }
}

fn is_silence(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock)
}

/// The program, or with a clock of its own the library in a thread.
enum Served {
    Program(std::process::Child),
    Here(JoinHandle<(String, Came)>),
}

impl Served {
    fn came(self) -> String {
        let code = match self {
            Self::Program(program) => program.wait_with_output().unwrap().status.code().unwrap(),
            Self::Here(thread) => thread.join().unwrap().1 as i32,
        };
        let words = [
            (0, "nothing"),
            (10, "delivered"),
            (11, "junk"),
            (12, "refused"),
            (13, "later"),
            (14, "broken"),
            (15, "no-tls"),
        ];
        let word = words.iter().find(|(number, _)| *number == code);
        word.map_or(format!("exit code {code}"), |(_, word)| (*word).to_owned())
    }
}

/// What does not go as the table says.
fn differs(case: &Case) -> Option<String> {
    let (client, connection) = tcp_pair();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut caller = Caller::Plain(Client {
        stream: BufReader::new(client),
    });
    let mut steps = case.steps.iter().peekable();
    // Who talks early does so before there is anybody.
    if case.state == 0 {
        while let Some(Step::Say(bytes)) = steps.peek() {
            caller.raw(bytes);
            steps.next();
        }
    }
    let (channels, delivered, _scanned) = played(Play::default(), connection);
    let served = match case.clock {
        None => Served::Program(program(channels)),
        Some((idle, session)) => {
            let limits = Limits {
                idle: Duration::from_millis(idle),
                session: Duration::from_millis(session),
                ..Limits::default()
            };
            Served::Here(thread::spawn(move || {
                run(channels, "mx.example", &identity(), limits)
            }))
        }
    };
    let mut served = Some(served);
    for state in &STATES[1..=case.state] {
        let reply = match *state {
            "plain" => {
                caller.reply();
                caller.say("EHLO client.example")
            }
            "tls" => {
                let Caller::Plain(client) = caller else {
                    panic!("TLS in TLS");
                };
                caller = Caller::Tls(Box::new(secure(client, &TLS13)));
                continue;
            }
            "mail" => caller.say("MAIL FROM:<a@sender.example>"),
            "rcpt" => caller.say("RCPT TO:<me@box.example>"),
            _ => caller.say("DATA"),
        };
        assert!(
            reply.starts_with(['2', '3']),
            "{}: {state}: {reply}",
            case.name
        );
    }
    for step in steps {
        let (expected, got) = match step {
            Step::Say(bytes) => {
                caller.raw(bytes);
                continue;
            }
            Step::Wait(time) => {
                thread::sleep(*time);
                continue;
            }
            Step::Hear(reply) => {
                let got = caller.reply();
                let last = got.lines().last().unwrap_or("(closed)").to_owned();
                (reply.clone(), last)
            }
            Step::Alert(number) => (format!("alert {number}"), caller.alert()),
            Step::Closed if caller.is_closed() => continue,
            Step::Closed => ("closed".to_owned(), "open".to_owned()),
            Step::Came(word) => {
                if let Caller::Plain(client) = &caller {
                    client
                        .stream
                        .get_ref()
                        .shutdown(std::net::Shutdown::Both)
                        .ok();
                }
                if let Caller::Tls(client) = &caller {
                    client
                        .stream
                        .get_ref()
                        .sock
                        .shutdown(std::net::Shutdown::Both)
                        .ok();
                }
                (word.clone(), served.take().unwrap().came())
            }
        };
        if expected != got {
            let Case { name, line, .. } = case;
            return Some(format!(
                "line {line}, {name}:\n  expected {expected}\n  got      {got}"
            ));
        }
    }
    let whole = case
        .steps
        .iter()
        .any(|step| matches!(step, Step::Hear(reply) if reply.starts_with("250 2.0.0 Delivered")));
    let came = delivered.try_recv().is_ok();
    (came != whole).then(|| format!("{}: delivered: {came}", case.name))
}

#[test]
fn each_bad_input_of_the_table_gets_exactly_its_reply() {
    let cases = table();
    assert!(cases.len() >= 100, "{} cases", cases.len());
    let (half, other) = cases.split_at(cases.len() / 2);
    let wrong: Vec<String> = thread::scope(|scope| {
        let first = scope.spawn(|| half.iter().filter_map(differs).collect::<Vec<_>>());
        let second: Vec<_> = other.iter().filter_map(differs).collect();
        [first.join().unwrap(), second].concat()
    });
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}
