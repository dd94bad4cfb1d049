# What the box's own queue could not deliver comes back here and stays here: passed on,
# it would fail as before, and nobody would read it. From outside nothing comes without
# the receipt (smtp-in takes one off that somebody else has written).
require ["envelope", "fileinto"];

if allof (envelope :is "from" "", not exists "X-ProjectX-Receipt") {
    fileinto "INBOX";
    stop;
}
