//! Messages of every kind that SpamAssassin reads in a way of its own.

/// A name, and the bytes.
pub type Message = (&'static str, Vec<u8>);

/// A line of the box's own on top, then the sender's fields. The address is no
/// documentation one: SpamAssassin gives points for those.
pub fn with_fields(rdns: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let mut all = format!(
        "Received: from mail.example.com ({rdns} [93.184.216.34])\n\
         \tby projectx.local (smtp-in) with ESMTPS; Tue, 24 Nov 2026 10:00:00 +0000\n\
         From: Ada <ada@example.com>\nTo: Grace <grace@example.org>\n\
         Date: Tue, 24 Nov 2026 09:59:58 +0000\nMessage-ID: <20261124.1@example.com>\n\
         {fields}"
    )
    .into_bytes();
    all.extend(body);
    all
}

fn known(fields: &str, body: &[u8]) -> Vec<u8> {
    with_fields("mail.example.com", fields, body)
}

fn of_charset(charset: &str, encoding: &str, body: &[u8]) -> Vec<u8> {
    let fields = format!(
        "Subject: A letter\nMIME-Version: 1.0\nContent-Type: text/plain; charset={charset}\n\
         Content-Transfer-Encoding: {encoding}\n\n"
    );
    known(&fields, body)
}

fn with_part(kind: &str, base64: &str) -> Vec<u8> {
    let body = format!(
        "--b\nContent-Type: text/plain\n\nSee what is attached.\n--b\n\
         Content-Type: {kind}\nContent-Transfer-Encoding: base64\n\n{base64}\n--b--\n"
    );
    let fields = "Subject: Attached\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=b\n\n";
    known(fields, body.as_bytes())
}

/// An ordinary letter.
pub fn ham() -> Vec<u8> {
    known(
        "Subject: Lunch on Thursday\n\n",
        b"Dear Grace,\n\nshall we meet at noon, at the usual place?\n\nAda\n",
    )
}

/// The sentence that every SpamAssassin takes for spam.
pub fn gtube() -> Vec<u8> {
    known(
        "Subject: Test\n\n",
        b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\n",
    )
}

/// The words of people's letters, and of offers that nobody asked for.
const WORDS: [&str; 2] = [
    "meeting Tuesday garden letter report train school enclosed photo weather river evening \
     bicycle village budget version draft comments Friday regards office window summer bread",
    "guarantee click offer limited winner cash bonus cheap pills unsubscribe today risk \
     investment dollars urgent confidential discount order exclusive earn credit lowest refund prize",
];

/// A message as people get it, or an offer: other words for each number, and one
/// in eight of the other kind. Short, as SpamAssassin weighs 150 tokens only and
/// leaves to chance which.
pub fn of_kind(spam: bool, number: u32) -> Vec<u8> {
    let mut state = number * 2 + u32::from(spam);
    let mut draw = |most: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize % most
    };
    let words = WORDS.map(|words| words.split_whitespace().collect::<Vec<_>>());
    let body: Vec<&str> = (0..24)
        .map(|_| {
            let other = draw(8) == 0;
            let list = &words[usize::from(spam != other)];
            list[draw(list.len())]
        })
        .collect();
    let html = match number % 3 {
        0 => "MIME-Version: 1.0\nContent-Type: text/html\n",
        _ => "",
    };
    let (subject, body) = (body[0], body.join(" "));
    let message = known(&format!("Subject: {subject}\n{html}\n"), body.as_bytes());
    // Or sa-learn would take all for the same one.
    let message = String::from_utf8(message).unwrap() + "\n";
    message
        .replace("<20261124.1@", &format!("<{spam}.{number}@"))
        .into_bytes()
}

/// All of them.
pub fn all() -> Vec<Message> {
    let utf16: Vec<u8> = "\u{feff}Sehr geehrte Damen und Herren, grüße\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let nested = |depth: usize| {
        let mut text = "Subject: inner\n\nThe innermost.\n".to_owned();
        for level in 0..depth {
            text = format!(
                "Subject: level {level}\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"n{level}\"\n\n\
                 --n{level}\nContent-Type: message/rfc822\n\n{text}\n--n{level}--\n"
            );
        }
        text.into_bytes()
    };
    let png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    // "%PDF-1.4 ... %%EOF", and the magic number of winmail.dat.
    let pdf = "JVBERi0xLjQKMSAwIG9iago8PCAvVHlwZSAvQ2F0YWxvZyA+PgplbmRvYmoKdHJhaWxlcgo8PCAvUm9vdCAxIDAgUiA+PgolJUVPRgo=";
    let tnef =
        "eJ8+IgEAAQaQCAAEAAAAAAABAAEAAQeQBgAIAAAA5AQAAAAAAADoAAEIgAcAGAAAAElQTS5NaWNyb3NvZnQg";
    vec![
        ("ham", ham()),
        ("gtube", gtube()),
        ("iso-2022-jp", of_charset("ISO-2022-JP", "7bit", b"\x1b$B$3$s$K$A$O\x1b(B, \x1b$B@$3&\x1b(B\n")),
        ("gb18030", of_charset("GB18030", "8bit", b"\xc4\xe3\xba\xc3\xa3\xac\xca\xc0\xbd\xe7 \x81\x30\x81\x30\n")),
        ("gb2312", of_charset("GB2312", "8bit", b"\xc4\xe3\xba\xc3\xa3\xac\xca\xc0\xbd\xe7\n")),
        ("big5", of_charset("Big5", "8bit", b"\xa7A\xa6n\xa1A\xa5@\xac\xc9\n")),
        ("euc-kr", of_charset("EUC-KR", "8bit", b"\xbe\xc8\xb3\xe7\xc7\xcf\xbc\xbc\xbf\xe4\n")),
        ("koi8-r", of_charset("KOI8-R", "8bit", b"\xf0\xd2\xc9\xd7\xc5\xd4, \xcd\xc9\xd2! \xeb\xd5\xd0\xc9\xd4\xc5\n")),
        ("windows-1251", of_charset("windows-1251", "8bit", b"\xcf\xf0\xe8\xe2\xe5\xf2, \xec\xe8\xf0!\n")),
        ("utf-16", of_charset("UTF-16", "8bit", &utf16)),
        ("utf-7", of_charset("UTF-7", "7bit", b"Hi Mom +Jjo--!\n")),
        ("no such charset", of_charset("x-nonsense", "8bit", b"\x80\xff what\n")),
        ("base64", of_charset("utf-8", "base64", b"Qm9uam91ciwgbGUgbW9uZGUhIENsaWNrIGhlcmU6IGh0dHA6Ly9leGFtcGxlLmNvbS8=\n")),
        ("quoted-printable", of_charset("iso-8859-15", "quoted-printable", b"gr=FC=DFe f=FCr 5 =A4=\n und mehr\n")),
        ("html", known(
            "Subject: =?utf-8?B?RlJFRSEhISBPRkZFUg==?=\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n",
            b"<html><body bgcolor=#fff><font color=#fefefe size=1>hidden</font><h1>CLICK NOW</h1>\
              <a href=\"http://203.0.113.9/login\">https://bank.example</a><img src=http://example.net/1.gif></body></html>\n",
        )),
        ("image", with_part("image/png; name=a.png", png)),
        ("pdf", with_part("application/pdf; name=invoice.pdf", pdf)),
        ("tnef", with_part("application/ms-tnef; name=winmail.dat", tnef)),
        ("60 levels of rfc822", known("", &nested(60))),
        ("NULs", known("Subject: nothing\0at all\n\n", b"a\0b\0\0\0c\n")),
        ("an advance fee", with_fields(
            "unknown",
            "Subject: URGENT BUSINESS PROPOSAL\nReply-To: <barrister@example.net>\n\n",
            b"Dear Friend,\n\nI am Barrister Smith. The sum of US$ 18,500,000 (million United States dollars) of my late client, \
              next of kin, is in a bank account. This transaction is risk free and confidential. Kindly send your \
              bank account number, telephone and fax. You will have 30% of the total sum. God bless.\n",
        )),
        ("no header", b"just a line\n".to_vec()),
        ("empty", Vec::new()),
    ]
}
