# A message was taken out of Junk, or out of the Inbox, and filed: it is none.
# Not so if it went to where it is thrown away, or into Junk, or where what
# somebody wrote lies.
require ["vnd.dovecot.pipe", "copy", "imapsieve", "environment"];

if not environment :is "imap.mailbox" ["Trash", "Junk", "Drafts", "Sent"] {
    pipe :copy "learn" ["ham"];
}
