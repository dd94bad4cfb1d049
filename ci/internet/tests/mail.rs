//! Mail between the foreign domains: that each takes it with the TLS that it
//! should have, stores it byte for byte, and fails as it is meant to.

use internet::{Domain, Internet, Received};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);

/// A message that says something, with lines that need care on the way.
fn letter(from: &str, to: &str, about: &str) -> Vec<u8> {
    format!(
        "From: Ada <{from}>\r\nTo: <{to}>\r\nSubject: {about}\r\n\
         Date: Sun, 29 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{about}@letters.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n\
         .a dot first, a blank last \r\n\r\n..two\r\nGrüße\r\n"
    )
    .into_bytes()
}

/// The end of a message after what its own mail server put before it.
fn ends_as_sent(received: &Received, sent: &[u8]) {
    let (got, sent) = (
        String::from_utf8_lossy(&received.message),
        String::from_utf8_lossy(sent),
    );
    let body = |text: &str| text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    assert_eq!(body(&got), body(&sent), "{got}");
    for field in sent.split("\r\n\r\n").next().unwrap().split("\r\n") {
        assert!(got.contains(&format!("{field}\r\n")), "no {field:?}: {got}");
    }
}

fn send(internet: &Internet, from: Domain, to: Domain, about: &str) -> Vec<u8> {
    let (sender, recipient) = (format!("ada@{from}"), format!("ben@{to}"));
    let sent = letter(&sender, &recipient, about);
    internet
        .host(from)
        .send(&sender, &recipient, &sent)
        .unwrap();
    sent
}

#[test]
fn postfix_exim_and_opensmtpd_send_each_other_mail_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let all = [Domain::Postfix, Domain::Exim, Domain::OpenSmtpd];
    let internet = Internet::with(folder.path(), &all).unwrap();
    let mut sent = Vec::new();
    for (from, to) in all.into_iter().flat_map(|from| all.map(|to| (from, to))) {
        if from != to {
            let about = format!("{from}-{to}");
            sent.push((from, to, send(&internet, from, to, &about), about));
        }
    }
    for (from, to, sent, about) in sent {
        let received = internet.host(to).wait_for(2, SOON).unwrap();
        let field = format!("Subject: {about}\r\n");
        let found = received
            .iter()
            .find(|one| String::from_utf8_lossy(&one.message).contains(&field));
        let received = found.unwrap_or_else(|| panic!("{about}: {received:?}"));
        ends_as_sent(received, &sent);
        assert_eq!(received.from, format!("ada@{from}"));
        assert_eq!(received.to, format!("ben@{to}"));
        let tls = received
            .tls
            .as_ref()
            .unwrap_or_else(|| panic!("{}", received.trace));
        assert_eq!(tls.protocol, "TLSv1.3", "{}", received.trace);
        assert!(
            tls.cipher.contains("AES") || tls.cipher.contains("CHACHA"),
            "{tls:?}"
        );
    }
}

#[test]
fn who_knows_no_tls_sends_and_gets_mail_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let internet = Internet::with(folder.path(), &[Domain::Postfix, Domain::Plaintext]).unwrap();
    for (from, to) in [
        (Domain::Postfix, Domain::Plaintext),
        (Domain::Plaintext, Domain::Postfix),
    ] {
        let sent = send(&internet, from, to, "clear");
        let received = internet.host(to).wait_for(1, SOON).unwrap();
        ends_as_sent(&received[0], &sent);
        assert_eq!(received[0].tls, None, "{}", received[0].trace);
    }
}

#[test]
fn a_recipient_who_is_not_there_is_refused_and_the_sender_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let domains = [Domain::Postfix, Domain::Exim, Domain::OpenSmtpd];
    let internet = Internet::with(folder.path(), &domains).unwrap();
    for (from, to) in [
        (Domain::Exim, Domain::Postfix),
        (Domain::OpenSmtpd, Domain::Exim),
        (Domain::Postfix, Domain::OpenSmtpd),
    ] {
        let (sender, recipient) = (format!("ada@{from}"), format!("unknown@{to}"));
        let sent = letter(&sender, &recipient, "nobody");
        internet
            .host(from)
            .send(&sender, &recipient, &sent)
            .unwrap();
        let report = internet.host(from).wait_for(1, SOON).unwrap().remove(0);
        assert_eq!((report.from.as_str(), report.to), ("", sender));
        let said = String::from_utf8_lossy(&report.message).into_owned();
        assert!(said.contains("550"), "{to}: {said}");
        // It may hold a report of its own from the round before.
        let received = internet.host(to).received().unwrap();
        assert!(
            received.iter().all(|one| one.to != recipient),
            "{received:?}"
        );
    }
}

#[test]
fn greylisting_says_451_first_and_takes_the_message_when_it_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let domains = [Domain::Postfix, Domain::Greylisting];
    let internet = Internet::with(folder.path(), &domains).unwrap();
    let sent = send(&internet, Domain::Postfix, Domain::Greylisting, "later");
    let postfix = internet.host(Domain::Postfix);
    let words = ["status=deferred", "said: 451 4.7.1 "];
    postfix.wait_for_log(&words, SOON).unwrap();
    assert_eq!(internet.host(Domain::Greylisting).received().unwrap(), []);
    std::thread::sleep(Duration::from_secs(internet::PATIENCE + 1));
    postfix.flush().unwrap();
    let received = internet
        .host(Domain::Greylisting)
        .wait_for(1, SOON)
        .unwrap();
    ends_as_sent(&received[0], &sent);
}

#[test]
fn who_is_down_refuses_connections_and_gets_what_waited_once_up() {
    let folder = tempfile::tempdir().unwrap();
    let domains = [Domain::Postfix, Domain::Down];
    let internet = Internet::with(folder.path(), &domains).unwrap();
    let sent = send(&internet, Domain::Postfix, Domain::Down, "waits");
    let postfix = internet.host(Domain::Postfix);
    let words = ["status=deferred", "Connection refused"];
    postfix.wait_for_log(&words, SOON).unwrap();
    let down = internet.host(Domain::Down);
    down.up().unwrap();
    postfix.flush().unwrap();
    ends_as_sent(&down.wait_for(1, SOON).unwrap()[0], &sent);
    down.down().unwrap();
    send(&internet, Domain::Postfix, Domain::Down, "again");
    let mut refused = 0;
    let end = Instant::now() + SOON;
    while refused < 2 {
        let log = postfix.log().unwrap();
        let lines = log.lines();
        refused = lines
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count();
        assert!(Instant::now() < end, "{log}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_slow_one_takes_a_message_after_ten_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let internet = Internet::with(folder.path(), &[Domain::Postfix, Domain::Slow]).unwrap();
    let begun = Instant::now();
    let sent = send(&internet, Domain::Postfix, Domain::Slow, "slowly");
    let received = internet.host(Domain::Slow).wait_for(1, SOON).unwrap();
    ends_as_sent(&received[0], &sent);
    assert!(
        begun.elapsed() >= Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn names_with_wrong_signatures_get_no_mail() {
    let folder = tempfile::tempdir().unwrap();
    let internet = Internet::with(folder.path(), &[Domain::Postfix, Domain::Bogus]).unwrap();
    send(&internet, Domain::Postfix, Domain::Bogus, "bogus");
    let postfix = internet.host(Domain::Postfix);
    let words = [
        "status=deferred",
        "Host or domain name not found",
        "try again",
    ];
    postfix.wait_for_log(&words, SOON).unwrap();
    assert_eq!(internet.host(Domain::Bogus).received().unwrap(), []);
}
