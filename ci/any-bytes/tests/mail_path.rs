//! Some seconds of what `fuzz/` does for as long as one likes.

use std::path::{Path, PathBuf};

fn seeds(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(name)
}

#[test]
fn a_command_is_refused_or_is_what_it_says() {
    let pieces = [
        "MAIL FROM:",
        "RCPT TO:",
        "<",
        ">",
        "<>",
        "@",
        "a",
        "example",
        ".",
        "..",
        "\"",
        "\\",
        " ",
        "\t",
        "EHLO ",
        "HELO ",
        "BDAT ",
        "LAST",
        "1",
        "18446744073709551616",
        "SIZE=",
        "BODY=",
        "8BITMIME",
        "SMTPUTF8",
        "REQUIRETLS",
        "RET=",
        "ORCPT=",
        "AUTH=",
        "DATA",
        "RSET",
        "QUIT",
        "STARTTLS",
        "NOOP",
        "VRFY",
        "[",
        "]",
        "IPv6:",
        "::1",
        ":",
        ",",
        "\r",
        "\n",
        "\0",
        "\u{e4}",
        "postmaster",
        "=",
        "+",
        "%",
        "-",
    ];
    any_bytes::run(&seeds("command"), &pieces, 30_000, any_bytes::command);
}

#[test]
fn lines_messages_and_chunks_are_cut_where_a_plain_search_cuts_them() {
    let pieces = [
        "\r\n",
        "\r\n.\r\n",
        "\r\n..\r\n",
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r\n.\r",
        ".",
        "..",
        "\r",
        "\n",
        "\0",
        "x",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "a: b\r\n",
        "\u{1}",
        "\u{2}",
        "BDAT 3\r\nabc",
    ];
    any_bytes::run(&seeds("wire"), &pieces, 60_000, any_bytes::wire);
}

const HEADERS: [&str; 28] = [
    "From: a@b.example\r\n",
    "From",
    ":",
    " ",
    "\r\n",
    "\r\n ",
    "\t",
    "\r",
    "\n",
    "\0",
    "X-Spam-Flag: NO\r\n",
    "X-ProjectX-Receipt: x\r\n",
    "x-spam-",
    "Authentication-Results: mx.example; dkim=pass\r\n",
    "Authentication-Results: (",
    ")",
    "\"",
    "\\",
    ";",
    "mx.example",
    "\r\n\r\n",
    "body",
    "<",
    ">",
    "@",
    ",",
    "Received: x\r\n",
    "\u{e4}",
];

#[test]
fn what_is_taken_for_a_message_is_one_and_our_fields_are_out_of_it() {
    any_bytes::run(&seeds("content"), &HEADERS, 60_000, any_bytes::content);
}

#[test]
fn no_byte_of_a_message_leaves_the_field_with_its_results() {
    let more = [
        "DKIM-Signature: v=1; a=rsa-sha256; d=b.example; s=s; h=from; bh=AA==; b=AA==\r\n",
        "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=b.example; s=s; b=AA==\r\n",
        "ARC-Message-Signature: i=1; a=rsa-sha256; d=b.example; s=s; h=from; bh=AA==; b=AA==\r\n",
        "ARC-Authentication-Results: i=1; b.example; dmarc=pass header.from=b.example\r\n",
        "d=",
        "s=",
        "h=",
        "i=",
        "l=1;",
        "x=1;",
        "t=9;",
        "a=ed25519-sha256;",
        "c=relaxed/simple;",
        "z=",
        "b=",
        "bh=",
        "DKIM-Signature:",
        "=?utf-8?q?=0d=0a?=",
    ];
    let pieces = [&HEADERS[..], &more].concat();
    any_bytes::run(&seeds("message"), &pieces, 1_500, any_bytes::message);
}

#[test]
fn a_sealer_s_word_counts_for_whom_it_names_alone() {
    let pieces = [
        "dmarc=pass",
        "dmarc=fail",
        "header.from=a.example",
        "header.from=",
        "a.example",
        ";",
        " ",
        "(",
        ")",
        "\\",
        "\"",
        "\n",
        "i=1",
        "DMARC=PASS",
        "=",
    ];
    any_bytes::run(&seeds("seal"), &pieces, 60_000, any_bytes::seal);
}

#[test]
fn each_message_between_services_is_in_its_protocol_or_an_error() {
    let pieces = [
        "\0",
        "\u{1}",
        "\u{2}",
        "\u{3}",
        "\u{4}",
        "\u{5}",
        "\u{6}",
        "\u{7}",
        "\t",
        "\n",
        "a@b.example",
        "yes",
        "no",
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        "\"sender\"",
        "\"recipients\"",
        "\"size\"",
        "1",
        "99999999999",
        "score=",
        "required=",
        "tests=",
        "A,B",
        " ",
        "block-list ",
        "trust-seals-of ",
        "a.example",
        "#",
        "{\"request\":\"certificate\"}\n",
        "\"block_lists\"",
        "\"trusted_sealers\"",
        "null",
        "1e9",
        "NaN",
    ];
    any_bytes::run(&seeds("channels"), &pieces, 60_000, any_bytes::channels);
}

#[test]
fn a_reply_of_dovecot_s_is_one_and_no_message_ends_early() {
    let pieces = [
        "250 ",
        "250-",
        "550 5.1.1 no\r\n",
        "354 go\r\n",
        "2",
        "50",
        "\r\n",
        "\r",
        "\n",
        ".",
        "\r\n.\r\n",
        "..",
        "\0",
        "\u{1b}[1m",
        "x",
        "421 bye\r\n",
        "250\r\n",
        "\u{e4}",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ];
    any_bytes::run(&seeds("lmtp"), &pieces, 60_000, any_bytes::lmtp);
}
