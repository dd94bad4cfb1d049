// The page of mail from others.

function startInbound() {
  const part = (id) => document.getElementById(id);

  function problem(form, typed) {
    if (form.querySelector("[data-field=domain]") && !typed(form, "domain").trim()) {
      return ["domain", "Please give a domain, like bl.example.org."];
    }
    return null;
  }

  function show({ inbound }, prepare) {
    const fill = (list, none, rows) => {
      part(list).replaceChildren(...rows);
      part(none).hidden = rows.length > 0;
    };
    fill("refused", "nobody", inbound.refused.map((one) => fillTemplate("peer", one, prepare)));
    fill("zones", "no-list", inbound.block_lists.map((domain) =>
      fillTemplate("zone", { domain }, prepare)));
    fill("sealers", "no-sealer", inbound.trusted.map((domain) =>
      fillTemplate("sealer", { domain }, prepare)));
  }

  function clear() {
    for (const list of ["refused", "zones", "sealers"]) part(list).replaceChildren();
  }

  startProof({ look: "/inbound/see", content: "inbound", problem, show, clear });
}

startInbound();
