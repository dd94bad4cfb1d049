# smtp-in takes this header off what comes in and puts its own on (RFC 5228).
require ["fileinto", "mailbox"];

if header :is "X-Spam-Flag" "YES" {
    fileinto :create "Junk";
    stop;
}
