# Prints every message of a folder, one a line in base64, in the order of the
# folder. Run by the boot tests of mail; see readers/imaplib.rs.
# usage: imap_fetch.py SERVER CERTIFICATE USER PASSWORD FOLDER
import base64
import imaplib
import ssl
import sys

server, certificate, user, password, folder = sys.argv[1:]
trust = ssl.create_default_context(cafile=certificate)
with imaplib.IMAP4_SSL(server, ssl_context=trust, timeout=120) as box:
    box.login(user, password)
    status, answer = box.select(folder, readonly=True)
    if status != "OK":
        sys.exit(f"SELECT {folder}: {answer}")
    for number in box.search(None, "ALL")[1][0].split():
        status, parts = box.fetch(number, "(BODY.PEEK[])")
        if status != "OK":
            sys.exit(f"FETCH {number}: {parts}")
        print(base64.b64encode(parts[0][1]).decode())
