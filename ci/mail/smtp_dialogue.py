# Speaks SMTP line by line as it is told on standard input, and prints every
# reply on a line of its own (those of several lines with " | " in between).
# Run by the boot tests of mail; see scenarios/mail/dialogue.rs.
# usage: smtp_dialogue.py SERVER OWN-ADDRESS
#   say TEXT       sends TEXT as a line and prints the reply
#   send TEXT      sends TEXT, \r and \n as bytes, and waits for nothing
#   fill SIZE      sends SIZE bytes of text in lines, and waits for nothing
#   reply          prints the reply
#   starttls       says STARTTLS, prints the reply, and goes on in TLS
import socket
import ssl
import sys

server, own = sys.argv[1:]
stream = socket.create_connection((server, 25), timeout=180, source_address=(own, 0))
lines = stream.makefile("rb")


def reply():
    said = []
    while True:
        line = lines.readline().decode()
        if not line:
            said.append("(the connection is closed)")
            break
        said.append(line.rstrip("\r\n"))
        if line[3:4] != "-":
            break
    print(" | ".join(said), flush=True)


reply()
for line in sys.stdin:
    what, _, text = line.rstrip("\n").partition(" ")
    if what == "say":
        stream.sendall(text.encode() + b"\r\n")
        reply()
    elif what == "send":
        stream.sendall(text.replace("\\r", "\r").replace("\\n", "\n").encode())
    elif what == "fill":
        row = b"x" * 998 + b"\r\n"
        block = row * 100
        for _ in range(int(text) // len(block)):
            stream.sendall(block)
    elif what == "reply":
        reply()
    elif what == "starttls":
        stream.sendall(b"STARTTLS\r\n")
        reply()
        # Whoever sends to an MX without DANE checks no certificate.
        trust = ssl.create_default_context()
        trust.check_hostname = False
        trust.verify_mode = ssl.CERT_NONE
        stream = trust.wrap_socket(stream)
        lines = stream.makefile("rb")
    else:
        sys.exit(f"not known: {line}")
