// The page of the other addresses.

function startAddresses() {
  const part = (id) => document.getElementById(id);
  const has = (form, name) => form.querySelector(`[data-field=${name}]`);

  function problem(form, typed) {
    if (has(form, "domain") && !typed(form, "domain").trim()) {
      return ["domain", "Please give a domain, like example.org."];
    }
    if (has(form, "address") && !typed(form, "address").trim()) {
      return ["address", "Please give a mail address, like sales@example.org."];
    }
    if (has(form, "person") && !typed(form, "person").trim()) {
      return ["address", "Please say whose it is: somebody from “People”."];
    }
    if (has(form, "to") && !typed(form, "to").trim()) {
      return ["to", "Please give an address elsewhere, like bob@example.net."];
    }
    return null;
  }

  function show({ other }, prepare) {
    part("aliases").replaceChildren(...other.aliases.map((one) =>
      fillTemplate("alias", one, prepare, { address: one.address })));
    part("outside").replaceChildren(...other.outside.map((one) =>
      fillTemplate("passed-on", { ...one, to: one.to.join(", ") }, prepare,
        { address: one.address })));
    part("catch-alls").replaceChildren(...other.catch_alls.map((one) =>
      fillTemplate("caught", one, prepare, { domain: one.domain })));
    part("how-many").textContent = other.left_out;
    part("left-out").hidden = other.left_out === 0;
  }

  function clear() {
    for (const list of ["aliases", "outside", "catch-alls"]) part(list).replaceChildren();
  }

  startProof({ look: "/addresses/see", content: "addresses", problem, show, clear });
}

startAddresses();
