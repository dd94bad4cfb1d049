//! Whoever wrote down a setup code must never find his box open to everybody.

use wifi_txt::{CardFile, SetupCodeLine, read};

fn setup_code_in(name: &str, file: &[u8]) -> SetupCodeLine {
    let file = CardFile {
        name: name.into(),
        bytes: file.into(),
    };
    read(&[file]).setup_code
}

/// The code that is given; `None` if a line wants one and gives none.
fn code(file: &[u8]) -> Option<String> {
    match setup_code_in("wifi.txt", file) {
        SetupCodeLine::Given(code) => Some(code.reveal().to_owned()),
        SetupCodeLine::Unusable => None,
        SetupCodeLine::Absent => panic!("no line: {}", String::from_utf8_lossy(file)),
    }
}

#[test]
fn a_setup_code_line_that_gives_no_code_is_not_taken_for_none() {
    let long = format!("setup-code = {}", "x".repeat(65));
    let lines: [&[u8]; 17] = [
        b"setup-code = abc",
        b"setup-code =",
        long.as_bytes(),
        b"setup-code = ab\x00cd",
        b"setup-code = schl\xfcssel",
        b"  SETUP-Code = schl\xfcssel",
        b"\xa0setup-code = blue-7",
        b"setup\x96code = blue-7",
        b"set-up-code = blue-7",
        b"setpu-code = blue-7",
        b"setup-cdoe2 = blue-7",
        b"stup-cod = blue-7",
        b"setup = blue-7",
        b"setup-password = blue-7",
        b"setup-code",
        b"setpu-code: blue-7",
        b"setup-code blue-7",
    ];
    for line in lines {
        assert_eq!(code(line), None, "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn what_people_write_for_setup_code_gives_it() {
    for line in [
        "setup-code = blue-7",
        "Setup Code = blue-7",
        "setup_code = blue-7",
        "setupcode = blue-7",
        "setup-code: blue-7",
        "setup–code = blue-7",
        "setup-code = “blue-7”",
        "setup-code = blue-7\nsetup-code = x",
        "setup_code = x\nsetup-code = blue-7",
        "s\u{e9}tup = x\rsetup-code = blue-7",
    ] {
        assert_eq!(code(line.as_bytes()).as_deref(), Some("blue-7"), "{line}");
    }
    // As Notepad's "Unicode" without its mark.
    let utf16: Vec<u8> = "setup-code = blue-7"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(code(&utf16).as_deref(), Some("blue-7"));
}

#[test]
fn a_file_without_a_setup_code_line_wants_none() {
    let files: [&[u8]; 7] = [
        b"",
        b"# setup-code = invent-something",
        b"# setup-code = schl\xfcssel",
        b"network = setup-code\npassword = setup-code",
        b"colour = red\ncode = 1234\nhello",
        b"network = a\npassword = schl\xfcssel",
        b"{\\rtf1\\ansi # setup-code = invent-something\\\n}",
    ];
    for file in files {
        let said = setup_code_in("wifi.txt", file);
        assert_eq!(
            said,
            SetupCodeLine::Absent,
            "{}",
            String::from_utf8_lossy(file)
        );
    }
}

#[test]
fn a_document_that_may_hold_one_keeps_the_box_closed() {
    for file in [
        &b"{\\rtf1\\ansi setup-code = blue-7\\\n}"[..],
        b"PK\x03\x04",
        &[b'x'; 70_000],
    ] {
        assert_eq!(setup_code_in("wifi.txt", file), SetupCodeLine::Unusable);
    }
}
