// The page of the box's records in the DNS.

function startRecords() {
  const part = (id) => document.getElementById(id);

  function show({ records }, prepare) {
    part("no-name").hidden = records.hostname !== null;
    part("no-domain").hidden = records.domain !== null;
    part("looked").textContent = records.looked || "Not yet.";
    part("domain").textContent = records.domain || "";
    part("list").replaceChildren(...records.records.map((one) =>
      fillTemplate("record", one, prepare)));
    const others = records.domains.filter((domain) => domain !== records.domain);
    part("others").replaceChildren(...others.map((domain) =>
      fillTemplate("other", { domain }, prepare)));
  }

  function clear() {
    for (const list of ["list", "others"]) part(list).replaceChildren();
    for (const text of ["looked", "domain"]) part(text).textContent = "";
  }

  const problem = () => null;
  startProof({ look: "/records/see", content: "records", problem, show, clear });
}

startRecords();
