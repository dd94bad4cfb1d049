# Moves messages of one folder into another with a single command (RFC 6851), as
# mail programs do it, and prints how many they were and how many seconds it took.
# Run by the boot tests of mail; see readers/imaplib.rs.
# usage: imap_move.py SERVER CERTIFICATE USER PASSWORD FROM TO ID
#   ID is what the Message-ID of each of them contains.
import imaplib
import ssl
import sys
import time

server, certificate, user, password, source, target, wanted = sys.argv[1:]
trust = ssl.create_default_context(cafile=certificate)
with imaplib.IMAP4_SSL(server, ssl_context=trust, timeout=600) as box:
    box.login(user, password)
    status, answer = box.select(source)
    if status != "OK":
        sys.exit(f"SELECT {source}: {answer}")
    status, answer = box.uid("SEARCH", "HEADER", "Message-ID", f'"{wanted}"')
    if status != "OK":
        sys.exit(f"SEARCH: {answer}")
    found = answer[0].split()
    if not found:
        sys.exit(f"no message {wanted} in {source}")
    begun = time.monotonic()
    status, answer = box.uid("MOVE", b",".join(found).decode(), target)
    if status != "OK":
        sys.exit(f"MOVE to {target}: {answer}")
    print(len(found), f"{time.monotonic() - begun:.1f}")
