//! The handshake with clients of another make: aws-lc-rs, as rustls ships it.

use crate::support::*;
use channels::deliver::Outcome;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, NamedGroup, StreamOwned};
use std::io::{BufReader, Read};
use std::sync::Arc;

fn offering(groups: &[&'static dyn SupportedKxGroup]) -> CryptoProvider {
    CryptoProvider {
        kx_groups: groups.to_vec(),
        ..aws_lc_rs::default_provider()
    }
}

#[test]
fn a_message_goes_over_each_group_that_is_taken_and_names_it() {
    use aws_lc_rs::kx_group::{SECP256R1, X25519, X25519MLKEM768};
    let all: &[_] = &[X25519MLKEM768, X25519, SECP256R1];
    for (version, groups, agreed) in [
        (&TLS13, all, NamedGroup::X25519MLKEM768),
        (&TLS13, &[X25519MLKEM768][..], NamedGroup::X25519MLKEM768),
        // The client guessed another group, and is asked for a share of this one.
        (
            &TLS13,
            &[SECP256R1, X25519MLKEM768],
            NamedGroup::X25519MLKEM768,
        ),
        (&TLS13, &[SECP256R1, X25519], NamedGroup::X25519),
        // Who would rather not have the hybrid is not made to.
        (&TLS13, &[X25519, X25519MLKEM768], NamedGroup::X25519),
        (&TLS12, all, NamedGroup::X25519),
    ] {
        let (client, ends) = start(Play::default());
        let mut client = handshake(client, version, offering(groups));
        client.say("EHLO client.example");
        let connection = &client.stream.get_ref().conn;
        let group = connection.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, agreed);
        let message = b"From: <a@sender.example>\r\n\r\nbody\r\n";
        assert_eq!(client.send("", message), "250 2.0.0 Delivered");
        let message = String::from_utf8(ends.delivered.recv().unwrap()).unwrap();
        let group = format!(" and group {agreed:?})\r\n");
        assert!(message.contains(&group), "{message}");
    }
}

#[test]
fn other_groups_are_refused_by_an_alert() {
    use aws_lc_rs::kx_group::{MLKEM768, SECP256R1, SECP256R1MLKEM768, SECP384R1};
    let cases: [(_, &[&'static dyn SupportedKxGroup]); 3] = [
        (&TLS13, &[SECP256R1, SECP384R1]),
        (&TLS13, &[MLKEM768, SECP256R1MLKEM768]),
        (&TLS12, &[SECP256R1, SECP384R1]),
    ];
    for (version, groups) in cases {
        let (client, _ends) = start(Play {
            outcome: Outcome::Delivered,
            ..Play::default()
        });
        let mut client = handshake(client, version, offering(groups));
        let error = client.stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.to_string(), "received fatal alert: HandshakeFailure");
    }
}

#[test]
fn no_ticket_is_given_so_nothing_is_resumed_and_there_is_no_early_data() {
    let config = Arc::new(client_config(&TLS13, aws_lc_rs::default_provider()));
    for _first_and_second in 0..2 {
        let (mut client, _ends) = start(Play::default());
        assert!(client.say("STARTTLS").starts_with("220 "));
        let name = "mx.example".try_into().unwrap();
        let connection = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let stream = StreamOwned::new(connection, client.stream.into_inner());
        let mut client = Client {
            stream: BufReader::new(stream),
        };
        client.say("EHLO client.example");
        let connection = &mut client.stream.get_mut().conn;
        assert!(connection.early_data().is_none());
        assert_eq!(connection.tls13_tickets_received(), 0);
        assert_eq!(
            connection.handshake_kind(),
            Some(rustls::HandshakeKind::Full)
        );
    }
}
